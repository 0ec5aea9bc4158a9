"""Garbage collection and removal: what no ref leads to, what crashes left over, and nothing else."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.store.faults import translated
from s2rctl.store.lineage import closure
from s2rctl.store.store import Artifact, Store

GRACE_S = 3600.0  # a publication under way has written blobs that no manifest names yet


@dataclass(frozen=True)
class Garbage:
    """What can go: ids of manifests, digests of blobs, leftover paths, and the bytes all of it takes."""

    manifests: tuple[str, ...]
    keys: tuple[str, ...]
    blobs: tuple[str, ...]
    leftovers: tuple[Path, ...]
    size: int


def find_garbage(store: Store, grace_s: float = GRACE_S, now: float | None = None) -> Garbage:
    """Return everything that neither a ref nor a run under way leads to and that is older than ``grace_s`` seconds."""
    limit = (time.time() if now is None else now) - grace_s
    kept = closure(store, [*store.refs.all().values(), *_open_runs(store)])
    young = {identity for identity in store.ids() if _time(store.root / "manifests" / f"{identity}.json") > limit}
    kept |= closure(store, young)
    dead = tuple(identity for identity in store.ids() if identity not in kept and _readable(store, identity))
    needed = {
        file.sha256
        for identity in store.ids()
        if identity not in dead and _readable(store, identity)
        for file in store.get(identity).manifest.content.files
    }
    blobs = tuple(blob for blob in store.blobs.all() if blob not in needed and _time(store.blobs.path(blob)) <= limit)
    leftovers = tuple(path for path in _leftovers(store) if _time(path) <= limit)
    sizes = [store.blobs.path(blob).stat().st_size for blob in blobs]
    sizes += [path.stat().st_size for path in leftovers if path.is_file()]
    keys = tuple(key for key, identity in store.keys().items() if identity in dead or not _readable(store, identity))
    return Garbage(dead, keys, blobs, leftovers, sum(sizes))


def collect(store: Store, grace_s: float = GRACE_S, now: float | None = None) -> Garbage:
    """Delete the garbage, under the store's lock, and return what went. Order: keys, manifests, blobs."""
    with translated(store.root), store.lock():
        garbage = find_garbage(store, grace_s, now)
        for key in garbage.keys:
            (store.root / "keys" / key).unlink(missing_ok=True)
        for identity in garbage.manifests:
            (store.root / "manifests" / f"{identity}.json").unlink(missing_ok=True)
            shutil.rmtree(store.root / "checkouts" / identity, ignore_errors=True)
        for blob in garbage.blobs:
            store.blobs.path(blob).unlink(missing_ok=True)
        for path in garbage.leftovers:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return garbage


def remove(store: Store, artifact: Artifact, why: str) -> list[str]:
    """Remove an artifact and every ref to it and return those refs; its blobs go with the next ``collect``.

    Raises UsageError when other artifacts were made from it: their lineage would break.
    """
    with translated(store.root), store.lock():
        users = [
            other.ref for other in store.list() if any(item.id == artifact.id for item in other.manifest.content.inputs)
        ]
        if users:
            raise UsageError(
                f"{artifact.ref} ({artifact.id[:12]}) is an input of {', '.join(sorted(set(users)))}",
                "remove those first: s2rctl artifacts lineage --down " + artifact.id[:12],
            )
        refs = [ref for ref, identity in store.refs.all().items() if identity == artifact.id]
        for ref in refs:
            store.refs.remove(ref, why)
        for key, identity in store.keys().items():
            if identity == artifact.id:
                (store.root / "keys" / key).unlink(missing_ok=True)
        (store.root / "manifests" / f"{artifact.id}.json").unlink(missing_ok=True)
        shutil.rmtree(store.root / "checkouts" / artifact.id, ignore_errors=True)
    return refs


def _open_runs(store: Store) -> list[str]:
    """Return the ids that unfinished runs read (``state.json`` names them)."""
    found: list[str] = []
    for state in (store.root / "runs").glob("*/state.json"):
        try:
            found += json.loads(state.read_text(encoding="utf-8")).get("inputs", {}).values()
        except (OSError, ValueError, AttributeError):
            continue
    return found


def _leftovers(store: Store) -> list[Path]:
    """Return temporary files that a killed process left: they begin with a dot, or lie in tmp/."""
    hidden = [path for folder in ("manifests", "keys", "checkouts") for path in (store.root / folder).glob(".*")]
    hidden += list((store.root / "refs").rglob(".*"))
    return sorted([*(store.root / "tmp").glob("*"), *hidden, *store.root.glob(".VERSION.*")])


def _readable(store: Store, identity: str) -> bool:
    try:
        store.get(identity)
    except ArtifactError:
        return False  # a damaged manifest is verify's business
    return True


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
