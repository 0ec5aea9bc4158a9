"""The report's training part: curves, and what other settings gave."""

from collections.abc import Iterator, Mapping
from typing import Any

from s2rctl.core.progress import duration
from s2rctl.evaluation.report_material import Figure, Material, pictures
from s2rctl.schema.manifest import Content
from s2rctl.schema.moved import upgraded
from s2rctl.schema.source import dotted, leaves
from s2rctl.store.store import Artifact
from s2rctl.systems import SYSTEMS, system_named

TRAINED = ("teacher", "encoder", "student", "reach")
"""Kinds of artifacts that training makes."""
_MOST_CHANGES = 6


def curves(material: Material) -> list[Figure]:
    """Return the pictures of the training stages."""
    trained = [a for a in material.artifacts.values() if a.manifest.content.kind in TRAINED]
    return [figure for a in trained for figure in pictures(a, f"{a.manifest.content.stage.name}: ")]


def ablations(material: Material) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return rows per training stage: this run and the others of the store, with what they changed and reached."""
    found = []
    for artifact in material.artifacts.values():
        rivals = [other for other in material.others if other.ref == artifact.ref and other.id != artifact.id]
        if rivals and artifact.manifest.content.kind in TRAINED:
            rows = [("this run", "", *_reached(artifact)), *(_rival(artifact, other) for other in rivals)]
            found.append((artifact.ref, rows))
    return found


def _rival(artifact: Artifact, other: Artifact) -> tuple[str, ...]:
    mine, theirs = artifact.manifest.content, other.manifest.content
    found = list(changes(upgraded(mine.profile), upgraded(theirs.profile), _parts(mine)))
    if mine.seed != theirs.seed:
        found.insert(0, f"seed {mine.seed} → {theirs.seed}")
    if mine.stage.version != theirs.stage.version:
        found.insert(0, f"stage version {mine.stage.version} → {theirs.stage.version}")
    more = f" and {len(found) - _MOST_CHANGES} more" if len(found) > _MOST_CHANGES else ""
    said = "; ".join(found[:_MOST_CHANGES]) + more
    return f"{theirs.profile.get('name', '')} {other.id[:8]}", said or "other inputs", *_reached(other)


def _parts(content: Content) -> tuple[str, ...]:
    """Return the parts of the profile that the artifact's stage reads."""
    system = str(content.profile.get("system"))
    training = system_named(system).training if system in SYSTEMS.names() else ()
    return next((stage.reads for stage in training if stage.name == content.stage.name), ())


def changes(mine: Mapping[str, Any], theirs: Mapping[str, Any], parts: tuple[str, ...]) -> Iterator[str]:
    """Yield what two resolved profiles set differently in these parts (dotted paths)."""
    old, new = ({dotted(path): value for path, value in leaves(dict(tree))} for tree in (mine, theirs))
    for path in sorted({*old, *new}):
        if any(path == part or path.startswith(f"{part}.") for part in parts) and old.get(path) != new.get(path):
            yield f"{path} {old.get(path)} → {new.get(path)}"


def _reached(artifact: Artifact) -> tuple[str, str]:
    origin = artifact.manifest.origin
    known = ("text", "env_steps", "steps", "action_error", "variance_explained", "final_error_mm_median")
    parts = []
    for name in known:
        value = origin.metrics.get(name)
        if value is not None:
            parts.append(value if name == "text" else f"{name.replace('_', ' ')} {value:.4g}")
    return ", ".join(parts) or "-", duration(origin.duration_s)
