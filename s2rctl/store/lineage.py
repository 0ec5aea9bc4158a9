"""Which artifacts an artifact was made from, and which were made from it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from s2rctl.core.errors import ArtifactError
from s2rctl.store.index import entries_of
from s2rctl.store.store import Artifact, Store

_LARGEST, _DEEPEST = 10_000, 100  # nodes, generations


@dataclass(frozen=True)
class Node:
    """One artifact in a lineage tree; ``artifact`` is None where the store no longer (or never) had it."""

    role: str
    id: str
    artifact: Artifact | None
    children: tuple["Node", ...]


def ancestors(store: Store, identity: str, role: str = "") -> Node:
    """Return the tree of everything the artifact was made from; ArtifactError if it is too large to show."""
    known: dict[str, Artifact | None] = {}

    def look(current: str) -> tuple[Artifact | None, list[tuple[str, str]]]:
        if current not in known:
            try:
                known[current] = store.get(current)
            except ArtifactError:
                known[current] = None
        artifact = known[current]
        return artifact, [(item.id, item.role) for item in artifact.manifest.content.inputs] if artifact else []

    return _grown(look, identity, role)


def descendants(store: Store, identity: str, role: str = "") -> Node:
    """Return the tree of everything that was made from the artifact; ArtifactError if it is too large to show."""
    whole = {one: entry for one, entry in entries_of(store).items() if entry is not None}
    made: dict[str, list[tuple[str, str]]] = {}
    for one in sorted(whole, key=lambda one: (whole[one].created_at, one)):
        for item, made_from in whole[one].inputs:
            made.setdefault(made_from, []).append((one, item))
    artifacts: dict[str, Artifact | None] = {}

    def look(current: str) -> tuple[Artifact | None, list[tuple[str, str]]]:
        if current not in artifacts:
            try:
                artifacts[current] = store.get(current)
            except ArtifactError:
                artifacts[current] = None
        return artifacts[current], made.get(current, [])

    return _grown(look, identity, role)


def _grown(look: Callable[[str], tuple[Artifact | None, list[tuple[str, str]]]], identity: str, role: str) -> Node:
    """Return the tree below ``identity``; ``look`` gives an artifact and the (id, role) of its children."""
    count = 0

    def grow(current: str, current_role: str, depth: int) -> Node:
        nonlocal count
        count += 1
        # A few dozen manifests, each with the one before as two inputs, have more paths than can be walked.
        if count > _LARGEST or depth > _DEEPEST:
            raise ArtifactError(
                f"the lineage of {identity[:12]} is too large to show as a tree",
                f"s2rctl artifacts show {identity[:12]}   (its own inputs)",
            )
        artifact, children = look(current)
        return Node(current_role, current, artifact, tuple(grow(child, name, depth + 1) for child, name in children))

    return grow(identity, role, 0)


def closure(store: Store, roots: Iterable[str]) -> set[str]:
    """Return the roots and all their ancestors, as far as the store has them."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        identity = waiting.pop()
        if identity in reached:
            continue
        try:
            artifact = store.get(identity)
        except ArtifactError:
            continue
        reached.add(identity)
        waiting += [item.id for item in artifact.manifest.content.inputs]
    return reached
