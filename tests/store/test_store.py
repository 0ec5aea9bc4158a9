import errno
import os
import stat
from pathlib import Path

import pytest
from filelock import FileLock

from s2rctl.core.errors import ArtifactError, MissingEnvironmentError, StoreLockedError, UsageError
from s2rctl.store.location import find_store
from s2rctl.store.store import Store
from s2rctl.store.verify import verify


def test_publish_gives_named_read_only_files_and_equal_content_an_equal_id(store, publish):
    first = publish(store)
    again = publish(store)
    other = publish(store, content=b"other")
    assert first.id == again.id != other.id
    assert first.path("policy/own.bin").read_bytes() == b"weights"
    assert stat.S_IMODE(first.path("policy/own.bin").stat().st_mode) == 0o444
    assert first.manifest.origin.metrics == {"reward": 1.5, "bad": None}
    folder = first.folder()
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "policy/own.bin",
        "shared.json",
    ]
    assert len(list(store.blobs.all())) == 3  # the shared file is stored once
    assert verify(store, full=True).clean


def test_resolve_by_ref_alias_and_prefix(store, publish):
    artifact = publish(store)
    store.set_ref("teacher/pick", artifact.id, "test")
    store.set_ref("teacher/pick:good", artifact.id, "test")
    for ref in ("teacher/pick", "teacher/pick:latest", "teacher/pick:good", artifact.id, artifact.id[:6]):
        assert store.resolve(ref).id == artifact.id
    with pytest.raises(ArtifactError, match="no artifact 'teacher/pik'") as caught:
        store.resolve("teacher/pik")
    assert "teacher/pick:latest" in caught.value.hint
    with pytest.raises(UsageError):
        store.resolve("../../etc/passwd")
    with pytest.raises(ArtifactError):
        store.resolve("0000" if not artifact.id.startswith("0000") else "1111")
    moves = store.refs.history()
    assert [(m["ref"], m["previous"]) for m in moves] == [("teacher/pick:latest", None), ("teacher/pick:good", None)]


def test_reading_an_absent_store_changes_nothing(tmp_path):
    store = Store(tmp_path / "none")
    assert store.list() == [] and store.refs.all() == {} and store.lookup_key("0" * 64) is None
    with pytest.raises(ArtifactError):
        store.resolve("teacher/pick")
    assert not (tmp_path / "none").exists()


def test_find_store_goes_upwards_and_obeys_option_and_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("S2RCTL_STORE", raising=False)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert find_store() == inner / ".s2rctl"
    (tmp_path / ".s2rctl").mkdir()
    assert find_store() == tmp_path / ".s2rctl"
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "variable"))
    assert find_store() == tmp_path / "variable"
    assert find_store(Path("option")) == inner / "option"


def _damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def test_corrupt_blob_is_refused_found_quarantined_and_healed_by_publishing_again(store, publish):
    artifact = publish(store)
    store.set_ref("teacher/pick", artifact.id, "test")
    _damage(artifact.path("policy/own.bin"), b"w3ights")  # same size: only hashing can tell
    fresh = Store(store.root)
    with pytest.raises(ArtifactError, match="corrupt") as caught:
        fresh.resolve("teacher/pick").folder()
    assert "verify" in caught.value.hint
    assert verify(fresh).clean
    verdict = verify(fresh, full=True)
    assert [p.fault for p in verdict.problems] == ["blob-corrupt"]
    assert "teacher/pick" in verdict.problems[0].affected[0]
    assert Path(verdict.problems[0].quarantined).read_bytes() == b"w3ights"
    assert [p.fault for p in verify(fresh).problems] == ["blob-missing"]
    assert not fresh.resolve("teacher/pick").intact()
    publish(fresh)
    assert verify(fresh, full=True).clean
    assert (fresh.resolve("teacher/pick").folder() / "policy/own.bin").read_bytes() == b"weights"


def test_publishing_over_a_corrupt_blob_replaces_it(store, publish):
    artifact = publish(store)
    _damage(artifact.path("policy/own.bin"), b"w3ights")
    assert publish(Store(store.root)).path("policy/own.bin").read_bytes() == b"weights"


def test_a_stale_checkout_is_made_again(store, publish):
    artifact = publish(store)
    copy = artifact.folder() / "policy" / "own.bin"
    copy.unlink()
    copy.write_bytes(b"tampered")
    assert (artifact.folder() / "policy" / "own.bin").read_bytes() == b"weights"


def test_corrupt_manifest_is_named_and_set_aside(store, publish):
    artifact = publish(store)
    store.set_ref("teacher/pick", artifact.id, "test")
    _damage(store.root / "manifests" / f"{artifact.id}.json", b"{ half")
    with pytest.raises(ArtifactError, match=r"manifest .* corrupt"):
        store.resolve("teacher/pick")
    assert store.list() == []
    faults = {problem.fault for problem in verify(store).problems}
    assert faults == {"manifest-corrupt", "ref-dangling"}
    publish(store)
    assert verify(store).clean


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_full_or_read_only_disk_keeps_what_was_there(store, publish, monkeypatch, number):
    kept = publish(store)

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(MissingEnvironmentError) as caught:
        publish(store, content=b"more")
    assert caught.value.hint and int(caught.value.exit_code) == 7
    monkeypatch.undo()
    assert [artifact.id for artifact in store.list()] == [kept.id]
    assert list((store.root / "tmp").iterdir()) == []
    assert verify(store, full=True).clean


def test_store_path_that_is_no_folder_is_a_usage_error_before_anything_is_read(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "file/inside", "nowhere", "pipe", "x" * 300):
        with pytest.raises(UsageError, match="not a folder") as caught:
            Store(tmp_path / name)
        assert caught.value.hint and int(caught.value.exit_code) == 2
    assert (tmp_path / "file").read_text() == "x"


def test_lock_names_its_holder(store, publish):
    artifact = publish(store)
    impatient = Store(store.root, lock_timeout=0.05)
    with store.lock(), pytest.raises(StoreLockedError, match=str(os.getpid())) as caught:
        impatient.set_ref("teacher/pick", artifact.id, "test")
    assert int(caught.value.exit_code) == 8
    impatient.set_ref("teacher/pick", artifact.id, "test")
    assert impatient.resolve("teacher/pick").id == artifact.id


def test_lock_never_names_a_holder_that_has_let_go(store, publish):
    artifact = publish(store)
    store.set_ref("teacher/pick", artifact.id, "test")
    with FileLock(store.root / "lock"), pytest.raises(StoreLockedError) as caught:  # a holder that leaves no number
        Store(store.root, lock_timeout=0.05).set_ref("teacher/pick", artifact.id, "test")
    assert str(os.getpid()) not in caught.value.message + caught.value.hint


def test_a_file_of_an_artifact_that_is_no_json_object_is_an_artifact_error(store, publish):
    assert publish(store).json("shared.json") == {}
    for content in (b"[" * 100_000, b"[]", b"{", b"\xff", b'{"a": NaN}', b'{"a": "\\ud800"}'):
        with pytest.raises(ArtifactError, match="not a JSON object"):
            publish(store, content=content).json("policy/own.bin")
