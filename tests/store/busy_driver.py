"""One of several processes that publish, tag, forget and collect in one store at the same time.

``python -m tests.store.busy_driver STORE NAME SECONDS GRACE_S``: prints a JSON line with what it tagged last, by name,
and how often it did what. Contents repeat, within a process and between them, so that what one has just forgotten and
is about to collect is what another one publishes.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from s2rctl.schema.manifest import InputRef, StageRef
from s2rctl.store.gc import collect, remove_ref
from s2rctl.store.store import Artifact, Store
from s2rctl.store.verify import verify

CONTENTS = 12
NAMES = 5


def publish(store: Store, folder: Path, content: int, inputs: tuple[str, ...]) -> Artifact:
    own, shared = folder / "own.bin", folder / "shared.json"
    own.write_bytes(bytes([content]) * 20_000)
    shared.write_bytes(b"{}")
    return store.publish(
        "teacher",
        f"content-{content}",
        {"own.bin": own, "shared.json": shared},
        stage=StageRef(name="train", version=1),
        profile={"content": content},
        seed=0,
        inputs=[InputRef(role=f"input{number}", id=identity) for number, identity in enumerate(inputs)],
        key=f"{content:064x}",
    )


def main(root: Path, name: str, seconds: float, grace_s: float) -> None:
    store, random = Store(root, lock_timeout=60.0), np.random.default_rng(len(name) + sum(name.encode()))
    folder = root.parent / f"files-{name}"
    folder.mkdir()
    tagged: dict[str, str] = {}
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end or not all(done[deed] for deed in ("published", "forgot", "collected", "verified")):
        deed = random.choice(["published", "forgot", "collected", "verified"], p=[0.6, 0.2, 0.15, 0.05])
        if deed == "published":
            before = tuple(random.permutation(sorted(set(tagged.values())))[: random.integers(0, 2)].tolist())
            artifact = publish(store, folder, int(random.integers(CONTENTS)), before)
            ref = f"teacher/{name}-{random.integers(NAMES)}:latest"
            store.set_ref(ref, artifact.id, "test")
            tagged[ref] = artifact.id
        elif deed == "forgot" and tagged:
            ref = str(random.choice(sorted(tagged)))
            remove_ref(store, ref, "test")
            del tagged[ref]
        elif deed == "collected":
            collect(store, grace_s=grace_s)
        elif deed == "verified":
            verify(store)
        done[str(deed)] += 1
    sys.stdout.write(json.dumps({"tagged": tagged, "done": done}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
