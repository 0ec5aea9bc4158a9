"""Kills one store operation at every writing system call in turn (or at some of them); prints a JSON line per kill.

Run as a program: ``python -m tests.store.kill_driver OPERATION FOLDER POINTS`` (0: all). The forks must happen in a
process without threads.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from s2rctl.core.progress import NullReporter
from s2rctl.pipeline import graph
from s2rctl.pipeline.grid import grid_of
from s2rctl.pipeline.launch import Local
from s2rctl.pipeline.sweep import Sweep, run_sweep
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import InputRef, StageRef
from s2rctl.store import provenance
from s2rctl.store.archive import export_archive, import_archive
from s2rctl.store.gc import collect
from s2rctl.store.store import Artifact, Store
from s2rctl.store.verify import verify
from tests.pipeline import fake_sweep
from tests.store.tracer import Untraceable, traced

LATER_S = 10_000.0


def publish(store: Store, name: str, inputs: tuple[str, ...] = (), key: str | None = None) -> Artifact:
    folder = store.root.parent / "files"
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("own.bin", "shared.json"):
        (folder / file).write_bytes(name.encode() * 3000 if file == "own.bin" else b"{}")
    return store.publish(
        "teacher",
        name,
        {"policy/own.bin": folder / "own.bin", "shared.json": folder / "shared.json"},
        stage=StageRef(name="train", version=1),
        profile={"name": "tiny"},
        seed=0,
        inputs=[InputRef(role=f"input{number}", id=identity) for number, identity in enumerate(inputs)],
        key=key,
    )


def base(folder: Path) -> Store:
    """A store with two artifacts that have refs, one that has none, a cache key, a checkout, and an archive beside."""
    store = Store(folder / "store")
    kept = publish(store, "kept", key="a" * 64)
    user = publish(store, "user", (kept.id,))
    for artifact in (kept, user):
        store.set_ref(f"{artifact.ref}:latest", artifact.id, "base")
    publish(store, "garbage", (user.id,), key="b" * 64).folder()
    kept.folder()
    other = Store(folder / "other")
    export_archive(other, {"teacher/other:latest": publish(other, "other")}, folder / "other.tar")
    shutil.rmtree(other.root)
    return store


def do_publish(store: Store) -> None:
    artifact = publish(store, "new", (store.resolve("teacher/kept").id,), key="c" * 64)
    store.set_ref("teacher/new:latest", artifact.id, "test")
    artifact.folder()


def do_tag(store: Store) -> None:
    store.set_ref("teacher/kept:candidate", store.resolve("teacher/kept").id, "test")
    store.set_ref("teacher/kept:candidate", store.resolve("teacher/user").id, "test")


def do_gc(store: Store) -> None:
    collect(store, now=time.time() + LATER_S)


def do_import(store: Store) -> None:
    import_archive(store, store.root.parent / "other.tar")


def do_sweep(store: Store) -> None:
    grid = grid_of("0..1", ["simulation.substeps=5,8"])
    profiles = tuple(load_profile("xarm7-smoke", cell.changes, cell.seed).profile for cell in grid.cells)
    sweep = Sweep(grid, load_profile("xarm7-smoke").profile, profiles, "judge", None, "swept", "again")
    run_sweep(sweep, store, Local(), NullReporter())


OPERATIONS: dict[str, Callable[[Store], None]] = {
    "publish": do_publish, "tag": do_tag, "gc": do_gc, "import": do_import, "sweep": do_sweep,
}  # fmt: skip


def state(store: Store) -> dict[str, object]:
    """Return what a store holds, apart from when it was made."""
    return {"ids": list(store.ids()), "refs": store.refs.all(), "keys": store.keys()}


def at_point(source: Store, folder: Path, operation: str, point: int, torn: bool, whole: object) -> dict[str, object]:
    """Kill the operation on a copy of the store at one point, and tell what is left of it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source.root.parent, folder)
    root = folder / "store"
    before = source.refs.all()
    killed, _ = traced(lambda: OPERATIONS[operation](Store(root)), point, torn)
    store = Store(root)
    clean = verify(store, full=True).clean
    kept = all(store.resolve(ref).id == identity and store.get(identity).intact() for ref, identity in before.items())
    OPERATIONS[operation](Store(root))
    again = state(Store(root)) == whole and verify(Store(root), full=True).clean
    return {"point": point, "torn": torn, "killed": killed, "clean": clean, "kept": kept, "again": again}


def main(operation: str, folder: Path, points: int) -> None:
    graph.graph_of = lambda system: fake_sweep.GRAPH  # type: ignore[assignment]
    provenance.make_origin({}, 0.0)  # what is found out once per process, before the forks
    source = base(folder / "base")
    shutil.copytree(source.root.parent, folder / "whole")
    OPERATIONS[operation](Store(folder / "whole" / "store"))
    whole = state(Store(folder / "whole" / "store"))
    for torn in (False, True):
        shutil.copytree(source.root.parent, folder / f"count-{torn}")
        counted = Store(folder / f"count-{torn}" / "store")
        try:
            _, count = traced(lambda store=counted: OPERATIONS[operation](store), 0, torn)
        except Untraceable as error:
            sys.stdout.write(json.dumps({"untraceable": str(error)}) + "\n")
            return
        share = points if not torn else points // 3
        chosen = range(1, count + 1) if not points else sorted({1 + i * count // share for i in range(share)})
        for point in chosen:
            found = at_point(source, folder / "point", operation, point, torn, whole)
            sys.stdout.write(json.dumps(found | {"of": count}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
