"""Which artifacts an artifact was made from, and which were made from it."""

from collections.abc import Iterable
from dataclasses import dataclass

from s2rctl.core.errors import ArtifactError
from s2rctl.store.store import Artifact, Store


@dataclass(frozen=True)
class Node:
    """One artifact in a lineage tree; ``artifact`` is None where the store no longer (or never) had it."""

    role: str
    id: str
    artifact: Artifact | None
    children: tuple["Node", ...]


def ancestors(store: Store, identity: str, role: str = "") -> Node:
    """Return the tree of everything the artifact was made from."""
    try:
        artifact = store.get(identity)
    except ArtifactError:
        return Node(role, identity, None, ())
    children = tuple(ancestors(store, item.id, item.role) for item in artifact.manifest.content.inputs)
    return Node(role, identity, artifact, children)


def descendants(store: Store, identity: str, role: str = "") -> Node:
    """Return the tree of everything that was made from the artifact."""
    artifacts = store.list()

    def grow(current: str, current_role: str) -> Node:
        children = [
            grow(artifact.id, item.role)
            for artifact in artifacts
            for item in artifact.manifest.content.inputs
            if item.id == current
        ]
        found = next((artifact for artifact in artifacts if artifact.id == current), None)
        return Node(current_role, current, found, tuple(children))

    return grow(identity, role)


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
