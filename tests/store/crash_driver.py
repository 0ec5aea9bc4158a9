"""Kills a publication with SIGKILL before each of its operating-system calls in turn; prints one JSON line per kill.

Run as a program: the forks must happen in a process without threads.
"""

import json
import os
import signal
import sys
from pathlib import Path

from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Store
from s2rctl.store.verify import verify

STEPS = ("open", "os.rename", "os.mkdir", "os.chmod", "os.remove", "os.link", "os.truncate", "os.utime", "os.rmdir")


def publish(store: Store, source: Path) -> None:
    artifact = store.publish(
        "teacher",
        "pick",
        {"policy.bin": source},
        stage=StageRef(name="train", version=1),
        profile={"name": "tiny"},
        seed=0,
        key="a" * 64,
    )
    store.set_ref("teacher/pick", artifact.id, "crash test")
    artifact.folder()


def die_at(step: int, root: Path) -> None:
    """Kill this process before its ``step``-th touch of the store."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in STEPS and str(root) in str(arguments):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(folder: Path) -> None:
    source = folder / "policy.bin"
    source.write_bytes(b"weights" * 1000)
    for step in range(1, 500):
        root = folder / f"store-{step}"
        child = os.fork()
        if child == 0:
            die_at(step, root)
            publish(Store(root), source)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        store = Store(root)
        clean = verify(store, full=True).clean
        publish(store, source)
        whole = store.resolve("teacher/pick").intact() and verify(store, full=True).clean
        line = json.dumps({"step": step, "killed": killed, "clean": clean, "whole_after": whole})
        sys.stdout.write(line + "\n")
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
