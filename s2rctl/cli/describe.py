"""Artifacts and outcomes as data for programs and as text for people."""

from typing import TYPE_CHECKING, Any

from s2rctl.cli.output import Answer, facts
from s2rctl.core.progress import duration

if TYPE_CHECKING:
    from s2rctl.pipeline.run import Outcome
    from s2rctl.store.store import Artifact


def artifact_data(artifact: "Artifact", aliases: dict[str, str] | None = None) -> dict[str, Any]:
    """Return what programs want to know of an artifact."""
    content, origin = artifact.manifest.content, artifact.manifest.origin
    data: dict[str, Any] = {
        "id": artifact.id,
        "ref": artifact.ref,
        "kind": content.kind,
        "name": content.name,
        "created_at": origin.created_at,
        "stage": content.stage.name,
        "profile": content.profile.get("name", ""),
        "seed": content.seed,
        "duration_s": origin.duration_s,
        "bytes": sum(file.size for file in content.files),
    }
    if aliases is not None:
        data["refs"] = sorted(ref for ref, identity in aliases.items() if identity == artifact.id)
    return data


def short_metrics(metrics: dict[str, Any]) -> str:
    """Return the scalar figures on one line."""
    parts = []
    for name, value in metrics.items():
        if isinstance(value, bool | int | str):
            parts.append(f"{name}={value}")
        elif isinstance(value, float):
            parts.append(f"{name}={value:.4g}")
    return " ".join(parts)


def size(value: float) -> str:
    """Return bytes as ``950 B``, ``1.2 MB``."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.1f} {unit}"
    return f"{value:.0f} B"


def outcome_answer(outcome: "Outcome") -> Answer:
    """Return the answer of a command that ran one stage: figures first; a gate that is missed sets the fault."""
    from s2rctl.core.errors import GateError
    from s2rctl.pipeline.run import check_gates

    artifact = outcome.artifact
    metrics = artifact.manifest.origin.metrics
    data = dict(metrics) | {
        "artifact": artifact.id,
        "ref": artifact.ref,
        "stage": outcome.stage.name,
        "cached": outcome.cached,
        "seconds": round(outcome.seconds, 3),
    }
    state = "cached" if outcome.cached else f"made in {duration(outcome.seconds)}"
    lines: dict[str, object] = {"artifact": f"{artifact.ref} {artifact.id[:12]} ({state})"}
    lines |= {
        name: f"{value:.4g}" if isinstance(value, float) else value
        for name, value in metrics.items()
        if isinstance(value, bool | int | float | str)
    }
    fault = None
    try:
        check_gates([outcome])
    except GateError as error:
        fault = error
    return Answer(data, facts(lines), fault)
