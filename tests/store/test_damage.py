"""Whatever lies in a store: an ArtifactError, repaired by what its hint names, and nothing outside is touched."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from s2rctl.core.errors import ArtifactError, MissingEnvironmentError, S2rError
from s2rctl.store.gc import collect, find_garbage, remove, remove_ref
from s2rctl.store.lineage import ancestors, descendants
from s2rctl.store.store import Artifact, Store
from s2rctl.store.verify import verify

LATER = 10_000.0  # s; more than the grace period
KEY = "a" * 64


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder with files that a store has no business with, called as a store would call them."""
    folder = tmp_path / "outside"
    for name in ("latest", KEY, "blob-old", "sub/latest", f"{'b' * 64}.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"not ours")
    return folder


@pytest.fixture
def filled(store: Store, publish: Callable[..., Artifact]) -> Store:
    artifact = publish(store, key=KEY)
    store.set_ref("teacher/pick", artifact.id, "test")
    artifact.folder()
    store.run_folder("c" * 64)
    return store


def _state(folder: Path) -> list[tuple[str, bytes]]:
    return [(str(p), p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()]


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse


def _full_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"kept")


SORTS: dict[str, Callable[[Path, Path], object]] = {
    "random bytes": lambda path, outside: path.write_bytes(bytes(range(256))),
    "deep": lambda path, outside: path.write_bytes(b"[" * 100_000),
    "deep object": lambda path, outside: path.write_bytes(b'{"content":' * 100_000),
    "huge": lambda path, outside: _huge(path),
    "empty": lambda path, outside: path.write_bytes(b""),
    "file": lambda path, outside: path.write_bytes(b"kept"),
    "folder": lambda path, outside: _full_folder(path),
    "pipe": lambda path, outside: os.mkfifo(path),
    "link to a file": lambda path, outside: path.symlink_to(outside / "latest"),
    "link to a folder": lambda path, outside: path.symlink_to(outside),
    "dangling link": lambda path, outside: path.symlink_to(outside / "nothing"),
}


def _put(path: Path, sort: str, outside: Path) -> None:
    """Put something else where ``path`` is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    SORTS[sort](path, outside)


FILES = {
    "ref": lambda store, id: store.root / "refs/teacher/pick/latest",
    "key": lambda store, id: store.root / "keys" / KEY,
    "VERSION": lambda store, id: store.root / "VERSION",
    "manifest": lambda store, id: store.root / "manifests" / f"{id}.json",
    "log": lambda store, id: store.root / "refs.log",
    "run state": lambda store, id: store.root / "runs" / ("c" * 16) / "state.json",
    "lock": lambda store, id: store.root / "lock",
    "lock holder": lambda store, id: store.root / "lock.pid",
}
FOLDERS = (
    "blobs", "blobs/sha256", "manifests", "keys", "refs", "refs/teacher", "refs/teacher/pick", "checkouts", "runs",
    "runs/cccccccccccccccc", "tmp", "quarantine",
)  # fmt: skip


def _work(root: Path) -> list[S2rError]:
    """Do everything that reads, writes or deletes; return what was refused. Anything but S2rError fails the test."""
    refused = []

    def attempt(work: Callable[[Store], object]) -> None:
        try:
            work(Store(root, lock_timeout=0.05))
        except S2rError as error:
            assert isinstance(error, ArtifactError | MissingEnvironmentError) and error.hint, error
            refused.append(error)

    attempt(lambda store: store.list())
    attempt(lambda store: store.refs.all())
    attempt(lambda store: store.resolve("teacher/pick").folder())
    attempt(lambda store: store.lookup_key(KEY))
    attempt(lambda store: store.refs.history())
    attempt(lambda store: find_garbage(store))
    attempt(lambda store: store.run_folder("c" * 64))
    attempt(lambda store: store.bind_key("d" * 64, "e" * 64))
    attempt(lambda store: collect(store, now=time.time() + LATER))
    return refused


def _repair(root: Path) -> None:
    """Do what the hints say until the store is clean."""
    for _ in range(4):
        store = Store(root, repair=True)
        problems = verify(store, full=True).problems
        if all(problem.fault == "blob-missing" for problem in problems):  # the test makes it again, as the hint says
            return
        for problem in problems:
            assert problem.hint
            if problem.fault in ("ref-dangling", "ref-damaged"):
                ref = problem.what.split()[1]
                remove_ref(store, ref, "test")
        if any(problem.fault == "key-dangling" for problem in problems):
            collect(store, now=time.time() + LATER)
    raise AssertionError(problems)


_SOME = ("random bytes", "huge", "folder", "pipe", "link to a file")
_CASES = [(name, sort) for name in FILES for sort in SORTS if sort in _SOME or name in ("ref", "manifest")]


@pytest.mark.parametrize(("name", "sort"), _CASES)
def test_a_damaged_file_is_an_artifact_error_and_is_repaired(name, sort, filled, outside, publish):
    identity = next(iter(filled.ids()))
    path = FILES[name](filled, identity)
    before = _state(outside)
    _put(path, sort, outside)
    _work(filled.root)
    _repair(filled.root)
    assert _work(filled.root) == [] or not list(Store(filled.root).ids())
    store = Store(filled.root)
    made = publish(store, key=KEY)
    for ref in ("teacher/pick", "teacher/pick:again"):
        store.set_ref(ref, made.id, "test")
    assert store.lookup_key(KEY) == made and store.refs.history()[-1]["id"] == made.id
    assert verify(store, full=True).clean and store.resolve("teacher/pick").folder().is_dir()
    assert _state(outside) == before


@pytest.mark.parametrize("sort", ["file", "link to a folder", "dangling link"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_something_else_is_never_followed_and_is_repaired(name, sort, filled, outside, publish):
    before = _state(outside)
    identity = next(iter(filled.ids()))
    _put(filled.root / name, sort, outside)
    _work(filled.root)
    for work in (
        lambda store: publish(store, content=b"more", key="f" * 64),
        lambda store: store.set_ref("teacher/pick:other", identity, "test"),
        lambda store: remove(store, store.get(identity), "test"),
    ):
        try:
            work(Store(filled.root, lock_timeout=0.05))
        except S2rError as error:
            assert int(error.exit_code) == 4, error
    assert _state(outside) == before
    _repair(filled.root)
    store = Store(filled.root)
    made = publish(store, key=KEY)
    store.set_ref("teacher/pick", made.id, "test")
    assert verify(store, full=True).clean and made.folder().is_dir()
    assert _state(outside) == before


@pytest.mark.parametrize("level", ["blobs/sha256/{}", "checkouts/{}", "checkouts/{}/policy"])
def test_links_deeper_inside_are_not_followed_either(level, filled, outside, publish):
    artifact = filled.resolve("teacher/pick")
    sha256 = artifact.files["policy/own.bin"].sha256
    path = filled.root / level.format(sha256[:2] if level.startswith("blobs") else artifact.id)
    # What lies outside is called as the store's own files, so that a link would lead to it.
    for name in (sha256[2:], "own.bin", "policy/own.bin", "shared.json"):
        (outside / name).parent.mkdir(exist_ok=True)
        (outside / name).write_bytes(b"not ours")
    before = _state(outside)
    _put(path, "link to a folder", outside)
    _work(filled.root)
    assert _state(outside) == before
    _repair(filled.root)
    made = publish(Store(filled.root))
    assert (made.folder() / "policy/own.bin").read_bytes() == b"weights"
    assert made.folder().resolve().is_relative_to(filled.root.resolve())
    assert _state(outside) == before


def test_a_blob_that_is_a_link_is_replaced_and_what_it_leads_to_stays(filled, outside, publish):
    artifact = filled.resolve("teacher/pick")
    (outside / "same").write_bytes(b"weights")
    os.utime(outside / "same", (1, 1))
    blob = artifact.path("policy/own.bin")
    blob.unlink()
    blob.symlink_to(outside / "same")
    with pytest.raises(ArtifactError):
        Store(filled.root).resolve("teacher/pick").path("policy/own.bin")
    publish(Store(filled.root))
    assert not blob.is_symlink() and (outside / "same").stat().st_mtime == 1


def test_garbage_collection_keeps_what_a_damaged_ref_may_have_led_to(filled, outside, publish):
    kept = filled.resolve("teacher/pick").id
    lost = publish(filled, name="insert", content=b"lost")
    (filled.root / "refs/teacher/pick/latest").write_bytes(b"\xff\xfe")
    garbage = collect(filled, now=time.time() + LATER)
    assert garbage.manifests == (lost.id,) and list(filled.ids()) == [kept]
    problem = next(p for p in verify(filled).problems if p.fault == "ref-damaged")
    assert problem.hint == f"s2rctl artifacts tag {kept[:12]} latest"
    filled.set_ref("teacher/pick:latest", kept, "test")
    assert verify(filled).clean


def test_garbage_collection_deletes_nothing_while_manifests_or_refs_are_elsewhere(filled, outside):
    blobs = list(filled.blobs.all())
    (filled.root / "refs").rename(filled.root / "moved")
    (filled.root / "refs").symlink_to(filled.root / "moved")
    assert collect(filled, now=time.time() + LATER).manifests == ()
    (filled.root / "manifests").rename(filled.root / "moved-too")
    (filled.root / "manifests").symlink_to(filled.root / "moved-too")
    with pytest.raises(ArtifactError, match="damaged"):
        collect(filled, now=time.time() + LATER)
    assert list(filled.blobs.all()) == blobs


def test_nothing_that_was_set_aside_is_replaced_by_what_follows(filled):
    path = filled.root / "refs/teacher/pick"
    for content in (b"one", b"two"):
        (path / "Ä").write_bytes(content)
        verify(filled)
    kept = sorted(p.read_bytes() for p in (filled.root / "quarantine").iterdir())
    assert kept == [b"one", b"two"]


def test_run_states_from_elsewhere_do_not_lead_out_of_the_store(filled, tmp_path):
    state = filled.root / "runs" / ("c" * 16) / "state.json"
    for inputs in ('{"pick": "../../outside/x"}', '{"pick": ["a"]}', "[1]", '{"pick": 7}'):
        state.write_text(f'{{"inputs": {inputs}}}')
        find_garbage(filled)
    with pytest.raises(ArtifactError):
        filled.get("../../outside/x")


def test_a_layout_of_a_later_version_is_not_called_damage(filled):
    (filled.root / "VERSION").write_text("2\n")
    for repair in (False, True):
        with pytest.raises(MissingEnvironmentError, match="layout"):
            Store(filled.root, repair=repair)


def test_a_lineage_with_more_paths_than_can_be_walked_is_refused(store, publish):
    made = publish(store, name="a0")
    for number in range(1, 40):
        made = publish(store, name=f"a{number}", inputs={"left": made.id, "right": made.id})
    first = next(a.id for a in store.list() if a.ref == "teacher/a0")
    for look in (lambda: ancestors(store, made.id), lambda: descendants(store, first)):
        with pytest.raises(ArtifactError, match="too large"):
            look()
