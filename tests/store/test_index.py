"""The index of manifests: never needed, never believed where it does not fit, never in the way."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from s2rctl.core.errors import ArtifactError
from s2rctl.schema.manifest import StageRef
from s2rctl.store import index
from s2rctl.store.gc import collect
from s2rctl.store.index import entries_of, entry_of
from s2rctl.store.lineage import descendants
from s2rctl.store.store import Store
from s2rctl.store.verify import verify

MANY = 40
LATER_S = 10_000.0


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Return the folder of a store with many artifacts and no index."""
    folder = tmp_path_factory.mktemp("many")
    store, file = Store(folder / "store"), folder / "file"
    for number in range(MANY):
        file.write_bytes(b"%d" % number)
        stage = StageRef(name="train", version=1)
        store.publish("teacher", f"n{number}", {"f": file}, stage=stage, profile={"name": "tiny"}, seed=0)
    return store.root


@pytest.fixture
def filled(many, tmp_path):
    shutil.copytree(many, tmp_path / "store")
    return Store(tmp_path / "store")


def reads(monkeypatch) -> list[str]:
    """Return a list that grows by every manifest that is read."""
    seen: list[str] = []
    get = Store.get
    monkeypatch.setattr(Store, "get", lambda store, identity: (seen.append(identity), get(store, identity))[1])
    return seen


def test_what_was_read_once_is_not_read_again(filled, publish, monkeypatch):
    expected = {artifact.id: entry_of(artifact.manifest) for artifact in filled.list()}
    seen = reads(monkeypatch)
    assert entries_of(filled) == expected and len(seen) == MANY and (filled.root / "index.json").is_file()
    assert list(expected) != sorted(expected) and list(entries_of(filled)) == sorted(expected)
    assert len(seen) == MANY, "nothing was read the second time"
    monkeypatch.undo()
    one = publish(filled, name="later", content=b"later")
    seen = reads(monkeypatch)
    assert entries_of(filled)[one.id] == entry_of(one.manifest) and seen == [one.id]


def test_a_manifest_that_changed_or_went_is_noticed(filled):
    entries_of(filled)
    changed, gone = list(filled.ids())[:2]
    path = filled.root / "manifests" / f"{changed}.json"
    content = bytearray(path.read_bytes())
    status = path.stat()
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nobody had written
    (filled.root / "manifests" / f"{gone}.json").unlink()
    found = entries_of(filled)
    assert found[changed] is None and gone not in found and len(found) == MANY - 1


def test_an_index_of_a_copy_does_not_fit_it(filled, tmp_path, monkeypatch):
    entries_of(filled)
    shutil.copytree(filled.root, tmp_path / "copy")
    seen = reads(monkeypatch)
    entries_of(Store(tmp_path / "copy"))
    assert len(seen) == MANY


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff" * 100, b"0" * 64 + b"\n{}", b'x\n{"schema": 1, "entries": {}}']
)
def test_a_damaged_index_is_no_index(filled, content):
    expected = entries_of(filled)
    (filled.root / "index.json").write_bytes(content)
    assert entries_of(filled) == expected


def test_a_flipped_bit_in_the_index_is_noticed(filled, monkeypatch):
    expected = entries_of(filled)
    path = filled.root / "index.json"
    good = path.read_bytes()
    for byte in range(0, len(good), len(good) // 50):
        content = bytearray(good)
        content[byte] ^= 1 << byte % 8
        path.write_bytes(content)
        assert entries_of(filled) == expected


def test_a_forged_index_with_a_right_seal_still_has_to_fit_the_files(filled):
    expected = entries_of(filled)
    path = filled.root / "index.json"
    value = json.loads(path.read_bytes().partition(b"\n")[2])
    moved = {one: [[1, 2, 3, 4, 5], row] for one, (_, row) in value["entries"].items()}
    for rows in ([1, 2], {"x": []}, {"x": [[], ["a"] * 9]}, moved):
        body = json.dumps({"schema": 1, "entries": rows}).encode()
        path.write_bytes(index._seal(body).encode() + b"\n" + body)
        assert entries_of(filled) == expected


@pytest.mark.parametrize("sort", ["folder", "link", "pipe"])
def test_something_else_in_its_place_is_set_aside_by_verify(filled, tmp_path, sort):
    expected = entries_of(filled)
    path = filled.root / "index.json"
    path.unlink()
    {"folder": path.mkdir, "link": lambda: path.symlink_to(tmp_path / "other"), "pipe": lambda: os.mkfifo(path)}[sort]()
    assert entries_of(filled) == expected and not (tmp_path / "other").exists()
    assert [problem.fault for problem in verify(filled).problems] == ["misplaced"]
    assert verify(filled).clean


def test_a_store_that_cannot_be_written_and_one_that_is_not_there(filled, tmp_path, monkeypatch):
    def refused(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index.tempfile, "mkstemp", refused)
    assert len(entries_of(filled)) == MANY and not (filled.root / "index.json").exists()
    assert entries_of(Store(tmp_path / "none")) == {} and not (tmp_path / "none").exists()
    (filled.root / "manifests").rename(tmp_path / "elsewhere")
    (filled.root / "manifests").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="damaged"):
        entries_of(filled)


def test_garbage_collection_and_lineage_go_by_it(filled, publish):
    first = next(iter(filled.ids()))
    child = publish(filled, name="child", content=b"child", inputs={"parent": first})
    filled.set_ref("teacher/child", child.id, "test")
    for _ in range(2):  # without an index, and with one
        assert [node.id for node in descendants(filled, first).children] == [child.id]
    garbage = collect(filled, now=time.time() + LATER_S)
    assert len(garbage.manifests) == MANY - 1 and sorted(filled.ids()) == sorted([first, child.id])
    assert verify(filled, full=True).clean
    (filled.root / ".index.json.x").touch()
    assert Path(filled.root / ".index.json.x") in collect(filled, now=time.time() + LATER_S).leftovers
