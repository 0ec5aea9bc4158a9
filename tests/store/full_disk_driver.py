"""Fills the disk of a store, then runs commands on it; prints one JSON line with their exit codes and what is left.

Run as a program: what makes the disk full cannot be undone in the process. ``tmpfs`` needs a mount namespace of its own
(``unshare -m``) in which it may mount; ``injected`` needs nothing: the kernel's limit on the size of files stops every
write, and an audit hook every new file and folder.
"""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from s2rctl.cli.main import main
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Artifact, Store

OLD = 1_000_000  # s since 1970


def publish(store: Store, name: str) -> Artifact:
    source = store.root.parent / "weights.bin"
    source.write_bytes(name.encode() * 20_000)
    stage = StageRef(name="train", version=1)
    return store.publish("teacher", name, {"w.bin": source}, stage=stage, profile={"name": "tiny"}, seed=0)


def fill(place: Path) -> None:
    """Take every byte and every file that the file system still has."""
    for size in (1 << 14, 1 << 10, 1, 0):
        for number in range(100_000):
            try:
                (place / f"fill-{size}-{number}").write_bytes(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
                break


def inject(root: Path) -> None:
    """Let no file under ``root`` be made or grow from now on."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in ("open", "os.mkdir") or not str(arguments[0]).startswith(str(root)):
            return
        creating = event == "os.mkdir" or bool(int(str(arguments[2])) & os.O_CREAT)
        if creating and not os.path.lexists(str(arguments[0])):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    sys.addaudithook(hook)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def run(how: str, lock: str, folder: Path) -> None:
    if how == "tmpfs":
        options = "size=1m,nr_inodes=200"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, timeout=60)
    store = Store(folder / "store")
    for name in ("kept", "named", "lost"):
        artifact = publish(store, name)
        if name != "lost":
            store.set_ref(f"teacher/{name}", artifact.id, "test")
    (store.root / "refs/teacher/gone").mkdir()
    (store.root / "refs/teacher/gone/latest").write_text("0" * 64)
    for path in store.root.rglob("*"):
        os.utime(path, (OLD, OLD))
    if lock == "no lock file":  # as a store of an earlier version may be
        (store.root / "lock").unlink()
    inject(store.root) if how == "injected" else fill(folder)
    codes = {}
    for words in (
        ("rm", "teacher/gone", "--yes"),
        ("rm", "teacher/named", "--yes"),
        ("gc", "--yes"),
        ("verify",),
        ("list",),
    ):
        codes[" ".join(words)] = main(["artifacts", *words, "--store", str(store.root), "-q"])
    left = {"manifests": len(list(store.ids())), "blobs": len(list(store.blobs.all())), "refs": list(store.refs.all())}
    sys.stderr.flush()
    sys.stdout.write("\nRESULT " + json.dumps({"codes": codes, **left}) + "\n")


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
