"""Garbage collection and removal: what no ref leads to, what crashes left over, and nothing else."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.store.faults import translated
from s2rctl.store.index import ancestry, entries_of
from s2rctl.store.place import discard, discard_old, entries, is_folder, is_regular, subfolder
from s2rctl.store.reading import read_json
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
    """Return everything that neither a ref nor a run under way leads to and that is older than ``grace_s`` seconds.

    What a damaged ref may have led to stays. ArtifactError when the folder of the manifests is something else: nothing
    would seem to be needed.
    """
    limit = (time.time() if now is None else now) - grace_s
    known = entries_of(store)  # a damaged manifest is verify's business
    young = [identity for identity in known if _time(store.root / "manifests" / f"{identity}.json") > limit]
    kept = ancestry(known, [*store.refs.all().values(), *_held(store), *_open_runs(store), *young])
    whole = {identity: entry for identity, entry in known.items() if entry is not None}
    dead = tuple(identity for identity in whole if identity not in kept)
    gone = set(dead)
    needed = {sha256 for identity in kept for sha256, _ in whole[identity].files}
    blobs = tuple(blob for blob in store.blobs.all() if blob not in needed and _time(store.blobs.path(blob)) <= limit)
    leftovers = tuple(path for path in _leftovers(store) if _time(path) <= limit)
    sizes = [_size(path) for path in (*map(store.blobs.path, blobs), *leftovers) if is_regular(path)]
    bound = store.keys()
    keys = tuple(key for key, one in bound.items() if one in gone or (one not in whole and not _readable(store, one)))
    return Garbage(dead, keys, blobs, leftovers, sum(sizes))


def collect(store: Store, grace_s: float = GRACE_S, now: float | None = None) -> Garbage:
    """Delete the garbage, under the store's lock, and return what was found. Order: keys, manifests, blobs.

    Publishing takes no lock: what it touches meanwhile is young again, and stays.
    """
    limit = (time.time() if now is None else now) - grace_s
    with translated(store.root), store.lock():
        garbage = find_garbage(store, grace_s, now)
        for key in garbage.keys:
            if store.lookup_key(key) is None:  # it leads nowhere, however young it is
                discard(store.root, "keys", key)
            else:
                discard_old(store.root, limit, "keys", key)
        for identity in garbage.manifests:
            if discard_old(store.root, limit, "manifests", f"{identity}.json"):
                discard(store.root, "checkouts", identity)
        for blob in garbage.blobs:
            discard_old(store.root, limit, *store.blobs.path(blob).relative_to(store.root).parts)
        for path in garbage.leftovers:
            discard(store.root, *path.relative_to(store.root).parts)
    return garbage


def remove(store: Store, artifact: Artifact, why: str) -> list[str]:
    """Remove an artifact and every ref to it and return those refs; its blobs go with the next ``collect``.

    Raises UsageError when other artifacts were made from it: their lineage would break.
    """
    with translated(store.root), store.lock():
        known = (entry for entry in entries_of(store).values() if entry is not None)
        users = [entry.ref for entry in known if any(made_from == artifact.id for _, made_from in entry.inputs)]
        if users:
            raise UsageError(
                f"{artifact.ref} ({artifact.id[:12]}) is an input of {', '.join(sorted(set(users)))}",
                "remove those first: s2rctl artifacts lineage --down " + artifact.id[:12],
            )
        subfolder(store.root, "manifests")
        refs = [ref for ref, identity in store.refs.all().items() if identity == artifact.id]
        for ref in refs:
            store.refs.remove(ref, why)
        for key, identity in store.keys().items():
            if identity == artifact.id:
                discard(store.root, "keys", key)
        discard(store.root, "manifests", f"{artifact.id}.json")
        discard(store.root, "checkouts", artifact.id)
    return refs


def remove_ref(store: Store, ref: str, why: str) -> None:
    """Remove a ref whose artifact is gone or that is damaged, under the store's lock."""
    with translated(store.root), store.lock():
        store.refs.remove(ref, why)


def _held(store: Store) -> list[str]:
    """Return the ids of artifacts that damaged refs may have led to."""
    damaged = store.refs.damaged()
    if not damaged:
        return []
    contents = {artifact.id: artifact.manifest.content for artifact in store.list()}
    return [
        identity
        for identity, content in contents.items()
        if any(kind in ("", content.kind) and name in ("", content.name) for kind, name in damaged)
    ]


def _open_runs(store: Store) -> list[str]:
    """Return the ids that unfinished runs read (``state.json`` names them)."""
    found: list[str] = []
    for run in entries(store.root / "runs"):
        with contextlib.suppress(OSError, ArtifactError):
            inputs = read_json(run / "state.json").get("inputs")
            if isinstance(inputs, dict):
                found += [identity for identity in inputs.values() if isinstance(identity, str)]
    return found


def _leftovers(store: Store) -> list[Path]:
    """Return temporary files that a killed process left: they begin with a dot, or lie in tmp/."""
    root = store.root
    places = [root / name for name in ("manifests", "keys", "checkouts", "refs")]
    places += [kind for kind in entries(root / "refs") if is_folder(kind)]
    places += [name for kind in entries(root / "refs") for name in entries(kind) if is_folder(name)]
    hidden = [path for place in places for path in entries(place) if path.name.startswith(".")]
    return sorted([*entries(root / "tmp"), *hidden, *root.glob(".VERSION.*"), *root.glob(".index.json.*")])


def _readable(store: Store, identity: str) -> bool:
    """Return whether the artifact is there now: it may have been published since everything was listed."""
    try:
        store.get(identity)
    except ArtifactError:
        return False
    return True


def _time(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
