import io
import json
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import ArtifactError
from s2rctl.store.archive import export_archive, import_archive
from s2rctl.store.store import Store
from s2rctl.store.verify import verify


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(contents=st.lists(st.binary(max_size=3000), min_size=1, max_size=4))
def test_import_of_export_is_the_same_and_the_bytes_are_deterministic(contents, tmp_path_factory, publish):
    folder = tmp_path_factory.mktemp("archive")
    store, other = Store(folder / "one"), Store(folder / "two")
    previous: dict[str, str] = {}
    for number, content in enumerate(contents):
        artifact = publish(store, name=f"a{number}", content=content, inputs=previous)
        previous = {"parent": artifact.id}
    ids = export_archive(store, {f"{artifact.ref}:pretrained": artifact}, folder / "x.tar")
    assert sorted(ids) == sorted(store.ids())
    for _ in range(2):  # the second import changes nothing
        done = import_archive(other, folder / "x.tar")
        assert list(done.ids) == list(store.ids())
    assert other.resolve(f"{artifact.ref}:pretrained").manifest == artifact.manifest
    assert other.get(artifact.id).path("policy/own.bin").read_bytes() == contents[-1]
    assert verify(other, full=True).clean
    export_archive(other, {f"{artifact.ref}:pretrained": other.get(artifact.id)}, folder / "y.tar")
    assert (folder / "x.tar").read_bytes() == (folder / "y.tar").read_bytes()


def test_export_without_parents_and_import_under_another_alias(store, publish, tmp_path):
    parent = publish(store)
    child = publish(store, name="insert", content=b"child", inputs={"pick": parent.id})
    assert export_archive(store, {"teacher/insert:good": child}, tmp_path / "x.tar", parents=False) == [child.id]
    other = Store(tmp_path / "other")
    assert import_archive(other, tmp_path / "x.tar", alias="theirs").refs == {"teacher/insert:theirs": child.id}
    assert verify(other, full=True).clean


def test_export_of_a_corrupt_blob_leaves_no_file(store, publish, tmp_path):
    artifact = publish(store)
    blob = store.blobs.path(artifact.files["policy/own.bin"].sha256)
    blob.chmod(0o644)
    blob.write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="corrupt"):
        export_archive(Store(store.root), {"teacher/pick:x": artifact}, tmp_path / "x.tar")
    assert not list(tmp_path.glob("*.tar*")) and not list(tmp_path.glob(".*part"))


def _members(path):
    with tarfile.open(path) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar if m.isreg()]


def _write(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return (name, info)


def _changed_json(members, prefix, change):
    out = []
    for name, data in members:
        if name.startswith(prefix):
            value = json.loads(data)
            change(value)
            data = json.dumps(value).encode()
        out.append((name, data))
    return out


ATTACKS = {
    "path outside": lambda m: [("../evil", b"x"), *m],
    "absolute path": lambda m: [("/tmp/evil", b"x"), *m],
    "unknown member": lambda m: [*m, ("run.py", b"print(1)")],
    "symlink": lambda m: [_link("blobs/sha256/aa/" + "a" * 62, "/etc/passwd", tarfile.SYMTYPE), *m],
    "hard link": lambda m: [*m, _link("manifests/" + "a" * 64 + ".json", "index.json", tarfile.LNKTYPE)],
    "unnamed blob": lambda m: [*m, ("blobs/sha256/aa/" + "a" * 62, b"x")],
    "changed blob": lambda m: [(n, d + b"!" if n.startswith("blobs") else d) for n, d in m],
    "missing blob": lambda m: [(n, d) for n, d in m if not n.startswith("blobs")],
    "changed manifest": lambda m: _changed_json(m, "manifests", lambda v: v["content"].update(name="other")),
    "manifest is a list": lambda m: [(n, b"[]" if n.startswith("manifests") else d) for n, d in m],
    "deep JSON": lambda m: [(n, b"[" * 100_000 if n.startswith("manifests") else d) for n, d in m],
    "NaN": lambda m: [(n, b'{"content": NaN}' if n.startswith("manifests") else d) for n, d in m],
    "ref to nothing": lambda m: _changed_json(m, "index", lambda v: v["refs"].update({"teacher/x:y": "0" * 64})),
    "ref of another kind": lambda m: _changed_json(
        m, "index", lambda v: v.update(refs={"onnx/pick:y": next(iter(v["refs"].values()))})
    ),
    "ref that climbs": lambda m: _changed_json(m, "index", lambda v: v["refs"].update({"../../x/y:z": "0" * 64})),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_import_refuses_anything_unexpected_and_writes_only_to_the_store(attack, store, publish, tmp_path):
    artifact = publish(store)
    export_archive(store, {"teacher/pick:x": artifact}, tmp_path / "good.tar")
    place = tmp_path / "place"
    place.mkdir()
    _write(place / "bad.tar", ATTACKS[attack](_members(tmp_path / "good.tar")))
    other = Store(place / "store")
    with pytest.raises(ArtifactError):
        import_archive(other, place / "bad.tar")
    assert sorted(p.name for p in place.iterdir()) == ["bad.tar", "store"]
    assert other.list() == [] and other.refs.all() == {}
    assert verify(other, full=True).clean


@pytest.mark.parametrize("keep", [0, 100, 700, 3000])
def test_truncated_or_foreign_file_is_refused(keep, store, publish, tmp_path):
    artifact = publish(store, content=b"x" * 5000)
    export_archive(store, {"teacher/pick:x": artifact}, tmp_path / "x.tar")
    (tmp_path / "x.tar").write_bytes((tmp_path / "x.tar").read_bytes()[:keep])
    other = Store(tmp_path / "other")
    with pytest.raises(ArtifactError):
        import_archive(other, tmp_path / "x.tar")
    assert other.list() == [] and verify(other, full=True).clean


def test_import_of_no_file(store, tmp_path):
    with pytest.raises(ArtifactError, match="cannot read"):
        import_archive(store, tmp_path / "none.tar")


def test_an_archive_that_begins_with_its_end_is_not_an_empty_success(store, tmp_path):
    (tmp_path / "zeros.tar").write_bytes(bytes(10240) + b"what follows the end of a tar file")
    with pytest.raises(ArtifactError, match="holds no artifact"):
        import_archive(store, tmp_path / "zeros.tar")
