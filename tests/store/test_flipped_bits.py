"""One flipped bit anywhere in a blob or a manifest: found, named, set aside, never served, and the store heals."""

import json
from pathlib import Path

import pytest

from s2rctl.core.errors import ArtifactError
from s2rctl.store.archive import export_archive, import_archive
from s2rctl.store.store import Store
from s2rctl.store.verify import verify


def flip(path: Path, byte: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.chmod(0o644)
    path.write_bytes(content)


def test_in_a_blob(store, publish):
    """At every byte, each time another bit."""
    artifact = publish(store, content=b"weights of a policy")
    store.set_ref("teacher/pick:tiny", artifact.id, "test")
    user = publish(store, name="insert", content=b"other", inputs={"pick": artifact.id})
    folder = artifact.folder()
    sha256 = artifact.files["policy/own.bin"].sha256
    for byte in range(len(b"weights of a policy")):
        flip(store.blobs.path(sha256), byte, byte % 8)
        fresh = Store(store.root)
        for read in (
            lambda damaged: damaged.path("policy/own.bin"),
            lambda damaged: damaged.folder(),
            lambda damaged: damaged.lasting_folder(),
            lambda damaged: export_archive(damaged.store, {damaged.ref + ":x": damaged}, store.root.parent / "x.tar"),
        ):
            with pytest.raises(ArtifactError, match="corrupt"):
                read(fresh.get(artifact.id))
        (problem,) = verify(fresh, full=True).problems
        assert problem.fault == "blob-corrupt" and sha256 in problem.what
        assert problem.affected == (f"teacher/pick ({artifact.id[:12]})",) and user.ref not in problem.affected
        assert problem.rebuild == (f"s2rctl reproduce {artifact.id[:12]} --keep",)
        assert Path(problem.quarantined).parent == store.root / "quarantine"
        assert not folder.exists(), "its folder held a link to the damaged bytes"
        assert not fresh.get(artifact.id).intact()
        publish(fresh, content=b"weights of a policy")
        assert verify(fresh, full=True).clean and fresh.get(artifact.id).folder() == folder


def test_in_a_blob_that_two_artifacts_share(store, publish):
    one, two = publish(store), publish(store, name="insert", content=b"other")
    flip(one.path("shared.json"), 0, 0)
    (problem,) = verify(Store(store.root), full=True).problems
    assert set(problem.affected) == {f"{a.ref} ({a.id[:12]})" for a in (one, two)}
    assert set(problem.rebuild) == {f"s2rctl reproduce {a.id[:12]} --keep" for a in (one, two)}


def test_in_a_manifest(store, publish):
    """At every byte, each time another bit; the figures of its origin, which no id covers, are no exception."""
    artifact = publish(store)
    path = store.root / "manifests" / f"{artifact.id}.json"
    good = path.read_bytes()
    for byte in range(len(good)):
        flip(path, byte, byte % 7)
        with pytest.raises(ArtifactError, match="corrupt"):
            store.get(artifact.id)
        path.write_bytes(good)
    assert store.get(artifact.id) == artifact


def test_a_damaged_manifest_is_named_by_its_refs_with_the_command_that_rebuilds_it(store, publish):
    artifact = publish(store)
    for alias in ("latest", "xarm7-smoke"):  # a pipeline's refs: the second is the profile's name
        store.set_ref(f"teacher/pick:{alias}", artifact.id, "test")
    folder = artifact.folder()
    path = store.root / "manifests" / f"{artifact.id}.json"
    good = path.read_bytes()
    flip(path, good.index(b"1.5"), 1)  # the reward
    problem = next(p for p in verify(store).problems if p.fault == "manifest-corrupt")
    assert "teacher/pick:latest" in problem.what and problem.affected[0] == artifact.id
    assert problem.rebuild == ("s2rctl pipeline run -p xarm7-smoke",) and problem.hint.endswith(problem.rebuild[0])
    assert Path(problem.quarantined).is_file() and not folder.exists() and store.list() == []
    publish(store)
    assert verify(store, full=True).clean


def test_publishing_again_replaces_a_manifest_with_damaged_figures(store, publish):
    artifact = publish(store)
    path = store.root / "manifests" / f"{artifact.id}.json"
    flip(path, path.read_bytes().index(b"1.5"), 1)
    publish(store)
    assert store.get(artifact.id).manifest.origin.metrics["reward"] == 1.5


def test_an_archive_with_damaged_figures_is_refused(store, publish, tmp_path):
    artifact = publish(store)
    export_archive(store, {"teacher/pick:x": artifact}, tmp_path / "x.tar")
    data = bytearray((tmp_path / "x.tar").read_bytes())
    data[data.index(b'"reward":1.5') + 9] ^= 1
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(ArtifactError, match="does not hash"):
        import_archive(Store(tmp_path / "other"), tmp_path / "x.tar")


def test_older_manifests_without_a_seal_stay_what_they_are(store, publish):
    artifact = publish(store)
    path = store.root / "manifests" / f"{artifact.id}.json"
    raw = json.loads(path.read_bytes())
    assert len(raw.pop("origin_sha256")) == 64
    path.chmod(0o644)
    path.write_text(json.dumps(raw))
    old = Store(store.root).get(artifact.id)
    assert old.manifest.model_dump(mode="json") == raw and verify(store, full=True).clean


@pytest.mark.parametrize("place", ["keys/" + "a" * 64, "refs/teacher/pick/latest"])
def test_in_a_key_or_a_ref(store, publish, place):
    artifact = publish(store, key="a" * 64)
    store.set_ref("teacher/pick", artifact.id, "test")
    path = store.root / place
    good = path.read_bytes()
    for byte in range(64):
        path.write_bytes(good)
        flip(path, byte, byte % 7)
        assert not verify(store).clean
        if place.startswith("keys"):
            assert store.lookup_key("a" * 64) is None
        else:
            with pytest.raises(ArtifactError):
                store.resolve("teacher/pick")
