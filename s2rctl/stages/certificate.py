"""The certificate of a rehearsal, and the checks that live runs make before they touch the robot."""

from collections.abc import Mapping
from typing import Any

from s2rctl import __version__
from s2rctl.control.policy import Policy
from s2rctl.core.errors import GateError
from s2rctl.schema.load import load_resolved
from s2rctl.schema.profile import Profile
from s2rctl.stages.protocol import Context
from s2rctl.store.artifact import Artifact
from s2rctl.store.canonical import digest
from s2rctl.systems import system_named
from s2rctl.systems.protocol import APART

CERTIFICATE_FILE = "certificate.json"


def certificate(context: Context, policy: Policy, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``live`` asks for: which file was rehearsed, under which limits, and how it went."""
    return {
        "schema": 1,
        "version": __version__,
        "onnx_id": context.inputs["onnx"].id,
        "onnx_sha256": policy.sha256,
        "profile": context.profile.name,
        "profile_sha256": digest(context.profile.model_dump(mode="json")),
        "limits_sha256": limits_digest(context.profile),
        "robot": context.profile.robot.name,
        **{name: figures[name] for name in ("episodes", "successes", "safety_stops", "clock", "through")},
    }


def limits_digest(profile: Profile) -> str:
    """Return the digest of what must not differ between rehearsal and live: robot, rate and safety limits."""
    return digest(
        {
            "robot": profile.robot.name,
            "rate_hz": profile.simulation.rate_hz,
            "safety": profile.deploy.safety.model_dump(mode="json"),
        }
    )


def tiers_digest(profile: Profile, task: str) -> str:
    """Return the digest of what decides the worlds of all tiers: figures of other ranges say nothing here."""
    tiers = profile.evaluate.tiers
    return digest(
        {
            "tiers": [part.model_dump(mode="json") for part in (tiers.look, tiers.harsh, tiers.camera, tiers.controls)],
            "task": profile.task(task).model_dump(mode="json"),
            "vision": profile.vision.model_dump(mode="json"),
            "rate_hz": profile.simulation.rate_hz,
        }
    )


def in_worlds_of(evaluation: Artifact, profile: Profile) -> bool:
    """Return whether a plain evaluation was made in the worlds that a profile describes.

    With ``--set``, an evaluation can be made easier: such a one must not open the gate.
    """
    task = system_named(profile.system).deployed.task
    made = load_resolved(evaluation.manifest.content.profile).profile
    return made.system == profile.system and _worlds(made, task) == _worlds(profile, task)


def _worlds(profile: Profile, task: str) -> dict[str, Any]:
    """Return what decides the worlds of a plain evaluation; how far training draws physics is no part of them."""
    section = profile.task(task).model_dump(mode="json")
    return {
        "task": {name: value for name, value in section.items() if name not in APART},
        "vision": profile.vision.model_dump(mode="json"),
        "motion": profile.robot.model_dump(mode="json")["motion"],
        "rate_hz": profile.simulation.rate_hz,
    }


def tier_gate(bounds: Mapping[str, float], found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return how the tiers that were played stand against a gate's bounds, by name; a void tier meets none."""
    rows = {}
    for name, bound in sorted(bounds.items()):
        if name in found:
            low, void = float(found[name]["wilson_low"]), bool(found[name]["void"])
            rows[name] = {"needed": bound, "wilson_low": low, "void": void, "passed": low >= bound and not void}
    return rows


def require_tiers(context: Context) -> None:
    """Raise GateError unless this very policy passed every tier that the profile's gate names, in its very worlds."""
    bounds, onnx = context.profile.evaluate.gate.tiers, context.inputs["onnx"]
    if not bounds:
        return
    run = f"s2rctl evaluate {onnx.id[:12]} --tiers {','.join(sorted(bounds))}"
    played = context.inputs.get("tiers")
    if played is None:
        raise GateError(f"{onnx.ref} ({onnx.id[:12]}) was never evaluated in the tiers that its gate names", run)
    figures = played.manifest.origin.metrics
    if figures.get("settings_sha256") != tiers_digest(context.profile, str(figures.get("task"))):
        raise GateError("the tiers were evaluated in other worlds than today's profile describes", run)
    rows = tier_gate(bounds, figures["tiers"])
    for name, bound in sorted(bounds.items()):
        row = rows.get(name)
        if row is None or row["void"]:
            state = "was not played" if row is None else "is void: a control failed"
            raise GateError(f"{onnx.ref} ({onnx.id[:12]}): the tier {name} {state}", run)
        if not row["passed"]:
            raise GateError(
                f"{onnx.ref} ({onnx.id[:12]}) did not pass the tier {name}: the Wilson lower bound "
                f"{100 * row['wilson_low']:.1f} % is below {100 * bound:g} %",
                "train longer or in more varied worlds, then evaluate",
            )


def preflight(context: Context) -> None:
    """Raise GateError unless this very policy passed its evaluation gate and a rehearsal under these limits."""
    onnx = context.inputs["onnx"]
    evaluation = context.inputs.get("evaluation")
    if evaluation is None:
        raise GateError(f"{onnx.ref} ({onnx.id[:12]}) was never evaluated", f"s2rctl evaluate {onnx.id[:12]}")
    # The profile's own gate: one that an evaluation was told with --set says nothing here.
    gate = context.profile.evaluate.gate.success_low
    if gate <= 0:
        raise GateError(
            "the profile's evaluation gate is 0, so passing it proves nothing",
            "set evaluate.gate.success_low in the profile, for example to 0.8, then evaluate",
        )
    if not evaluation.manifest.origin.metrics.get("wilson_low", 0.0) >= gate:
        raise GateError(f"{onnx.ref} ({onnx.id[:12]}) did not pass its evaluation gate", "train longer, then evaluate")
    if not in_worlds_of(evaluation, context.profile):
        raise GateError(
            f"{onnx.ref} ({onnx.id[:12]}) was evaluated in other worlds than today's profile describes",
            f"s2rctl evaluate {onnx.id[:12]}   (with the profile that is to be deployed)",
        )
    require_tiers(context)
    rehearse = f"s2rctl deploy {onnx.id[:12]} --mode rehearse"
    rehearsal = context.inputs.get("rehearsal")
    if rehearsal is None or CERTIFICATE_FILE not in rehearsal.files:
        raise GateError(f"{onnx.ref} ({onnx.id[:12]}) was never rehearsed", rehearse)
    card = rehearsal.json(CERTIFICATE_FILE)
    if card.get("onnx_id") != onnx.id:
        raise GateError("the certificate belongs to another policy", rehearse)
    if card.get("limits_sha256") != limits_digest(context.profile):
        raise GateError("the safety limits, the robot or the rate changed since the rehearsal", rehearse)
