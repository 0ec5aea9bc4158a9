"""Artifacts and outcomes as data for programs and as text for people."""

from typing import TYPE_CHECKING, Any

from s2rctl.cli.output import Answer, facts
from s2rctl.core.progress import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from s2rctl.pipeline.run import Outcome
    from s2rctl.schema.contract import Contract
    from s2rctl.store.index import Entry
    from s2rctl.store.store import Artifact


def artifact_data(artifact: "Artifact", aliases: dict[str, str]) -> dict[str, Any]:
    """Return what programs want to know of an artifact."""
    from s2rctl.store.index import entry_of

    refs = [ref for ref, identity in aliases.items() if identity == artifact.id]
    return entry_data(artifact.id, entry_of(artifact.manifest), refs)


def entry_data(identity: str, entry: "Entry", refs: "Iterable[str]") -> dict[str, Any]:
    """Return what programs want to know of an artifact that is known in short."""
    return {
        "id": identity,
        "ref": entry.ref,
        "kind": entry.kind,
        "name": entry.name,
        "created_at": entry.created_at,
        "stage": entry.stage,
        "profile": entry.profile,
        "seed": entry.seed,
        "duration_s": entry.duration_s,
        "bytes": entry.size,
        "refs": sorted(refs),
    }


def contract_text(contract: "Contract") -> str:
    """Return the contract card as a person reads it."""
    scale = contract.action_scale
    lines: dict[str, object] = {
        "contract of": f"{contract.policy} for the robot {contract.robot}, at {contract.rate_hz:g} Hz",
        "action": contract.action_meaning,
        "action scale": f"{scale[0]:g} for all {len(scale)}" if len(set(scale)) == 1 else _listed(scale),
        "action delay": _delays(contract.action_delay_steps),
        "observation delay": _delays(contract.observation_delay_steps),
    }
    for camera in contract.cameras:
        depth = "no depth"
        if camera.depth_unit_m is not None:
            low, high = camera.depth_range_m or (0.0, 0.0)
            depth = f"depth in counts of {camera.depth_unit_m:g} m from {low:g} to {high:g} m"
        lines[f"camera {camera.name}"] = (
            f"{camera.width}x{camera.height}, {camera.fovy_deg:g} deg, on {camera.parent} "
            f"at {_listed(camera.position_m)} m ± {_listed(camera.position_range_m)} m, "
            f"± {camera.rotation_range_deg:g} deg; {depth}"
        )
    for way, tensors in (("input", contract.inputs), ("output", contract.outputs)):
        for tensor in tensors:
            shape = "x".join("N" if extent == "batch" else str(extent) for extent in tensor.shape)
            unit = f" in {tensor.unit}" if tensor.unit else ""
            lines[f"{way} {tensor.name}"] = f"{tensor.dtype} {shape}{unit}: {tensor.meaning}"
            for number, name in enumerate(tensor.elements):
                ends = [limits[number] for limits in (tensor.low, tensor.high) if limits and number < len(limits)]
                limits = f" {ends[0]:.4g} to {ends[1]:.4g}" if len(ends) == 2 else ""
                lines[f"  {tensor.name}[{number}]"] = f"{name}{limits}"
    for memory in contract.memory:
        start = f"{memory.initial:g}" if isinstance(memory.initial, float) else "values of its own"
        shape = "x".join(str(extent) for extent in memory.shape) or "one number"
        lines[f"memory {memory.name}"] = f"{memory.dtype} {shape}, an episode begins with {start}"
    for item in contract.estimates:
        figures = {"median": item.median_m, "95 %": item.p95_m, "99 %": item.p99_m, "filtered": item.filtered_max_m}
        errors = ", ".join(f"{name} {value * 1e3:.1f}" for name, value in figures.items())
        whose = "what is held by" if item.frame == "gripper" else "the place of"
        lines[f"estimate {item.output}"] = (
            f"of {whose} '{item.of}', errors in mm: {errors} max ({item.episodes} episodes)"
        )
    for tier in contract.tiers:
        state = "void" if tier.void else f"at least {100 * tier.wilson_low:.1f} % (Wilson)"
        lines[f"success in {tier.name}"] = f"{tier.successes}/{tier.episodes}, {state}: {tier.title}"
    if contract.versions:
        lines["made with"] = ", ".join(f"{name} {version}" for name, version in contract.versions.items())
    for role, identity in contract.trained_from.items():
        lines[f"trained from {role}"] = identity[:12]
    return facts(lines)


def _listed(values: "Iterable[float]") -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _delays(weights: "Sequence[float]") -> str:
    """Return ``0 steps 83 %, 1 step 17 %``."""
    return ", ".join(
        f"{steps} step{'' if steps == 1 else 's'} {100 * weight:.3g} %"
        for steps, weight in enumerate(weights)
        if weight
    )


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
    shown = {name: value for name, value in metrics.items() if isinstance(value, bool | int | float | str)}
    if "text" in shown:  # the figure that was asked for comes first
        lines["success"] = shown.pop("text")
    lines |= {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in shown.items()}
    fault = None
    try:
        check_gates([outcome])
    except GateError as error:
        fault = error
    return Answer(data, facts(lines), fault)
