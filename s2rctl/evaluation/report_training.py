"""The report's training part: curves, and what other settings gave."""

from collections.abc import Iterator, Mapping
from typing import Any

from s2rctl.core.progress import duration
from s2rctl.evaluation import html
from s2rctl.evaluation.html import Html, fill
from s2rctl.evaluation.report_material import Material, files
from s2rctl.schema.manifest import Content
from s2rctl.schema.moved import upgraded
from s2rctl.schema.source import dotted, leaves
from s2rctl.store.store import Artifact
from s2rctl.systems import SYSTEMS, system_named

TRAINED = ("teacher", "encoder", "student", "reach")
"""Kinds of artifacts that training makes."""
_MOST_CHANGES = 6


def curves(material: Material) -> Html:
    """Return the pictures of the training stages."""
    figures = [
        html.picture(content, "image/png", f"{artifact.manifest.content.stage.name}: {name.replace('-', ' ')}")
        for artifact in material.artifacts.values()
        if artifact.manifest.content.kind in TRAINED
        for name, content in files(artifact, "image/png")
    ]
    return fill("<h2>How it was trained</h2>{}", html.join(figures)) if figures else Html()


def ablations(material: Material) -> Html:
    """Return a table per training stage: this run and the others of the store, with what they changed and reached."""
    parts = []
    for artifact in material.artifacts.values():
        content = artifact.manifest.content
        if content.kind not in TRAINED:
            continue
        rivals = [other for other in material.others if other.ref == artifact.ref and other.id != artifact.id]
        if rivals:
            mine = ("this run", "", *_reached(artifact))
            rows = [mine, *(_rival(artifact, other) for other in rivals)]
            head = ("run", "settings changed from this run", "reached", "time")
            parts.append(fill("<h3>{}</h3>{}", artifact.ref, html.table(head, rows)))
    if not parts:
        return Html()
    return fill(
        "<h2>Ablations</h2><p>Every other run of the same stage in this store. Success is of each training's own final "
        "judgement.</p>{}",
        html.join(parts),
    )


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
