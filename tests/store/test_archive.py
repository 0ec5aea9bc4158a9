import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.store.archive import export_archive, import_archive
from s2rctl.store.canonical import digest
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


def _sparse(name):
    info = tarfile.TarInfo(name)
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    return (name, info)


def _with_file_names(members, *names):
    """Return the members with other names for the manifest's files, and ids that fit."""
    data = next(data for name, data in members if name.startswith("manifests"))
    index = json.loads(members[0][1])
    value = json.loads(data)
    first = value["content"]["files"][0]
    value["content"]["files"] = [first | {"path": name} for name in names]
    identity = digest(value["content"])
    refs = {ref: identity for ref in index["refs"]}
    return [
        ("index.json", json.dumps({"schema": 1, "refs": refs}).encode()),
        (f"manifests/{identity}.json", json.dumps(value).encode()),
        *(m for m in members if m[0].endswith(first["sha256"][2:])),
    ]


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
    "member twice": lambda m: [*m, m[-1]],
    "index twice": lambda m: [*m, m[0]],
    "sparse blob": lambda m: [*m[:-1], _sparse(m[-1][0])],
    "deep but JSON": lambda m: [(n, b'{"a":' * 900 + b"1" + b"}" * 900 if n.startswith("man") else d) for n, d in m],
    "half a character": lambda m: [(n, rb'{"content":"\ud800"}' if n.startswith("man") else d) for n, d in m],
    "ref with an overlong part": lambda m: _changed_json(
        m, "index", lambda v: v.update(refs={"teacher/pick:" + "y" * 300: next(iter(v["refs"].values()))})
    ),
    "ref that climbs": lambda m: _changed_json(m, "index", lambda v: v["refs"].update({"../../x/y:z": "0" * 64})),
}


BAD_NAMES = {
    "climbing": ["x/../../../../victim/f"],
    "breaking the store": ["x/../../../VERSION"],
    "absolute": ["/tmp/victim"],
    "here": ["./f"],
    "empty part": ["x//f"],
    "trailing slash": ["x/"],
    "empty": [""],
    "backslash": ["x\\..\\f"],
    "line break": ["x\nf"],
    "NUL": ["x\0f"],
    "overlong part": ["x" * 256],
    "overlong path": ["/".join(["x" * 100] * 20)],
    "twice": ["f", "f"],
    "file and folder": ["f", "f/g"],
}


@pytest.mark.parametrize("sort", BAD_NAMES)
def test_an_archive_cannot_name_files_that_lie_elsewhere(sort, store, publish, tmp_path):
    artifact = publish(store)
    export_archive(store, {"teacher/pick:x": artifact}, tmp_path / "good.tar")
    place = tmp_path / "place"
    (place / "victim").mkdir(parents=True)
    (place / "victim" / "f").write_bytes(b"victim")
    _write(place / "bad.tar", _with_file_names(_members(tmp_path / "good.tar"), *BAD_NAMES[sort]))
    other = Store(place / "store")
    with pytest.raises(ArtifactError, match="is invalid"):
        import_archive(other, place / "bad.tar")
    assert other.list() == [] and other.refs.all() == {} and verify(other, full=True).clean
    assert (place / "victim" / "f").read_bytes() == b"victim"
    assert (place / "store" / "VERSION").read_text() == "1\n"
    assert sorted(p.name for p in place.iterdir()) == ["bad.tar", "store", "victim"]


def test_an_archive_with_good_names_of_any_length_still_imports(store, publish, tmp_path):
    export_archive(store, {"teacher/pick:x": publish(store)}, tmp_path / "good.tar")
    names = ["x" * 255, "a/b/c.bin", "a/b/d"]
    _write(tmp_path / "new.tar", _with_file_names(_members(tmp_path / "good.tar"), *names))
    done = import_archive(store, tmp_path / "new.tar", alias="y" * 255)
    artifact = store.resolve(next(iter(done.refs)))
    folder = artifact.folder()
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == sorted(names)
    assert verify(store, full=True).clean


def test_an_alias_that_no_ref_can_have_is_refused_before_anything_is_written(store, publish, tmp_path):
    artifact = publish(store)
    export_archive(store, {"teacher/pick:x": artifact}, tmp_path / "x.tar")
    other = Store(tmp_path / "other")
    for alias in ("y" * 300, "..", "a/b", "A"):
        with pytest.raises(UsageError):
            import_archive(other, tmp_path / "x.tar", alias=alias)
        with pytest.raises(UsageError):
            export_archive(store, {f"teacher/pick:{alias}": artifact}, tmp_path / "y.tar")
    assert not (tmp_path / "other").exists() and not (tmp_path / "y.tar").exists()


def test_an_archive_that_cannot_be_read_is_no_bug(store, tmp_path):
    (tmp_path / "folder").mkdir()
    for source in (tmp_path / "folder", Path("/proc/self/mem")):
        with pytest.raises(ArtifactError):
            import_archive(store, source)


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
    with pytest.raises(ArtifactError, match="contains no artifact"):
        import_archive(store, tmp_path / "zeros.tar")
