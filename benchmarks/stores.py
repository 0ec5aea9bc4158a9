"""How the store's commands grow with it: a no-op pipeline, ``artifacts list``, ``why``, ``gc`` and ``verify``.

Each command is a process of its own on a store that is laid down by hand: the manifests are real ones (a whole profile,
inputs, figures), their files are small. ``python -m benchmarks.stores [artifacts ...]`` prints CPU time and clock time.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.startup import seconds
from s2rctl.pipeline.graph import graph_of
from s2rctl.pipeline.key import cache_key
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import StageRef
from s2rctl.schema.profile import Profile
from s2rctl.store.canonical import canonical, digest
from s2rctl.store.store import Store

PROFILE = "xarm7-smoke"
SIZES = (1_000, 10_000)
OLD_S = 1e6
"""Age of the files: garbage collection spares young ones."""
CHAIN = 8
"""Artifacts that are made from one another, as in a pipeline."""


def main() -> None:
    """Measure and print one row for each command and size."""
    print(f"{'artifacts':>9} {'command':<44} {'CPU s':>7} {'clock s':>8}")
    for size in [int(word) for word in sys.argv[1:] if word.isdecimal()] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            measure(size, Path(folder))


def measure(size: int, folder: Path) -> None:
    """Print the rows of one size."""
    store = Store(folder / "store")
    finished = publish_pipeline(store, load_profile(PROFILE).profile, folder)
    fill(store, finished, size)
    commands = {
        "pipeline run, nothing to do": ("pipeline", "run", "-p", PROFILE, "-q"),
        "pipeline status": ("pipeline", "status", "-p", PROFILE),
        "artifacts list, the first time": ("artifacts", "list"),
        "artifacts list": ("artifacts", "list"),
        "artifacts lineage, both ways": ("artifacts", "lineage", finished),
        "artifacts verify": ("artifacts", "verify"),
        "artifacts verify --full": ("artifacts", "verify", "--full"),
        "artifacts gc, nothing deleted": ("artifacts", "gc"),
        "artifacts gc --yes, nearly all of it garbage": ("artifacts", "gc", "--yes"),
    }
    for name, words in commands.items():
        if "--yes" in words:
            shutil.rmtree(store.root / "refs" / "teacher" / "filler")
        program = [sys.executable, "-m", "s2rctl.cli.main", *words, "--store", str(store.root)]
        cpu, wall = seconds(program, dict(os.environ))
        print(f"{size:9d} {name:<44} {cpu:7.2f} {wall:8.2f}", flush=True)
    left = sum(1 for _ in store.ids())
    if left >= size:
        raise RuntimeError(f"garbage collection left {left} artifacts")


def publish_pipeline(store: Store, profile: Profile, folder: Path) -> str:
    """Publish a stand-in for every stage of the profile's pipeline under its cache key; return the last one's id."""
    made: dict[tuple[str, str], str] = {}
    identity = ""
    for stage in graph_of(profile.system):
        file = folder / "report.html"
        file.write_text(f"<p>{stage.name}</p>")
        inputs = {wanted.role: made[(wanted.kind, wanted.name)] for wanted in stage.inputs}
        key = cache_key(stage, profile, inputs)
        artifact = store.publish(
            stage.kind,  # type: ignore[arg-type]
            stage.output,
            {"report.html": file},
            stage=StageRef(name=stage.name, version=stage.version),
            profile=profile.model_dump(mode="json"),
            seed=profile.seed,
            key=key,
        )
        made[(stage.kind, stage.output)] = identity = artifact.id
    for (kind, name), one in made.items():
        store.set_ref(f"{kind}/{name}:latest", one, "benchmark")
    return identity


def fill(store: Store, like: str, size: int) -> None:
    """Lay down as many artifacts as are missing to ``size``, in chains, with refs, keys and files, all of them old."""
    model = store.get(like).manifest.model_dump(mode="json")
    past = time.time() - OLD_S
    refs = store.root / "refs" / "teacher" / "filler"
    refs.mkdir(parents=True)
    before = ""
    for number in range(size - sum(1 for _ in store.ids())):
        data = f"weights {number}".encode()
        sha256 = _lay(store, data)
        content = json.loads(json.dumps(model["content"])) | {"kind": "teacher", "name": "filler", "seed": number}
        content["files"] = [
            {"path": "w.bin", "sha256": sha256, "size": len(data), "media_type": "application/octet-stream"}
        ]
        content["inputs"] = [{"role": "before", "id": before}] if before and number % CHAIN else []
        before = digest(content)
        path = store.root / "manifests" / f"{before}.json"
        path.write_bytes(canonical(model | {"content": content}))
        (store.root / "keys" / digest(number)).write_text(f"{before}\n")
        if number % CHAIN == CHAIN - 1:
            (refs / f"v{number}").write_text(f"{before}\n")
        os.utime(path, (past, past))


def _lay(store: Store, data: bytes) -> str:
    from hashlib import sha256

    name = sha256(data).hexdigest()
    blob = store.blobs.path(name)
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    past = time.time() - OLD_S
    os.utime(blob, (past, past))
    return name


if __name__ == "__main__":
    main()
