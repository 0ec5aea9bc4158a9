"""Writes an identification into a profile: each joint's figures, and how far they may be off in training."""

from collections.abc import Mapping

import numpy as np

from s2rctl.core.errors import ArtifactError
from s2rctl.core.yaml_lines import with_value
from s2rctl.operations.calibration.apply import Plan, source_of
from s2rctl.operations.identification import camera, camera_apply
from s2rctl.operations.identification.steps import find, load
from s2rctl.operations.identification.work import Work
from s2rctl.schema.dynamics import KINDS, Dynamics
from s2rctl.schema.identification import Identification
from s2rctl.schema.load import Loaded
from s2rctl.systems import system_named

_FACTORS = ("armature", "damping", "friction_loss", "gain")
_DIGITS = 5
_LEAST = 0.05
"""Least half width of a range: a robot is not the same every day (our choice)."""


def plan(work: Work, loaded: Loaded, profile: str, ref: str) -> Plan:
    """Return what applying an identification changes in a profile's file; ArtifactError for one of another robot.

    Values are written, not a reference: a person sees what changes, and the profile says it all.
    """
    artifact = find(work, ref or None)
    if camera.is_of_cameras(artifact):
        return camera_apply.plan(loaded, profile, artifact)
    found = load(artifact)
    if found.robot != loaded.profile.robot.name:
        raise ArtifactError(
            f"this identification is of the robot '{found.robot}', the profile's is '{loaded.profile.robot.name}'",
            "name an identification of this robot",
        )
    path = source_of(profile)
    before = path.read_text(encoding="utf-8")
    tasks = {name: loaded.profile.task(name).dynamics for name in system_named(loaded.profile.system).tasks}
    after = written(before, found, tasks, loaded.profile.identification.sigmas)
    return Plan(path, before, after, artifact.id)


def written(text: str, found: Identification, tasks: Mapping[str, Dynamics], sigmas: float) -> str:
    """Return a profile's text with an identification in it; ``tasks`` are its own ranges, by task."""
    for joint, figures in motion(found).items():
        text = with_value(text, ("robot", "motion", joint), _flow(figures))
    for task, own in tasks.items():
        for axis, (low, high) in ranges(found, own, sigmas).items():
            text = with_value(text, ("tasks", task, "dynamics", axis), f"[{low:g}, {high:g}]")
        for name, weights in (("joint_action", found.action_weights), ("observation", found.observation_weights)):
            listed = ", ".join(f"{weight:g}" for weight in weights)
            text = with_value(text, ("tasks", task, "delays", name), f"[{listed}]")
    return text


def motion(found: Identification) -> dict[str, dict[str, float]]:
    """Return the figures of each joint that the recording tells; what may as well be 0, as in the scene, stays 0."""
    rows: dict[str, dict[str, float]] = {}
    for one in found.parameters:
        if one.told and one.kind in _FACTORS and not (one.nominal == 0.0 and one.low <= 0.0):
            rows.setdefault(one.joint, {})[one.kind] = _rounded(one.value)
    return rows


def ranges(found: Identification, own: Dynamics, sigmas: float) -> dict[str, tuple[float, float]]:
    """Return the range of each axis of dynamics: as far as the least sure joint may be off, ``sigmas`` deviations.

    An axis is one factor for all joints, and axes are drawn one by one. So the deviation is that of a parameter while
    the others are as found: gain and damping of a joint that are only known by their ratio must not be drawn apart.
    Joints that have (nearly) none of it, as a joint without dry friction, say nothing of it. Where some joint is not
    told, the profile's own range stays if it is wider.
    """
    made: dict[str, tuple[float, float]] = {}
    shares: dict[str, list[float]] = {}
    for one, sigma in zip(found.parameters, alone(found), strict=True):
        if one.kind in _FACTORS and one.told and one.value > max(0.02 * one.nominal, 2.0 * sigma, 1e-9):
            shares.setdefault(one.kind, []).append(sigma / one.value)
    for kind, found_shares in shares.items():
        share = max(sigmas * max(found_shares), _LEAST)
        low, high = 1.0 - share, 1.0 + share
        if any(one.kind == kind and one.nominal > 0.0 and not one.told for one in found.parameters):
            low, high = min(low, getattr(own, kind)[0]), max(high, getattr(own, kind)[1])
        made[kind] = _clipped(kind, low, high)
    zeros = [abs(one.value) + sigmas * one.sigma for one in found.parameters if one.kind == "zero" and one.told]
    if zeros:
        made["joint_zero"] = _clipped("joint_zero", 0.0, max(zeros))
    return made


def alone(found: Identification) -> np.ndarray:
    """Return the deviation of each parameter (P,) while all others are as found."""
    sigma = np.array([max(one.sigma, 1e-12) for one in found.parameters])
    correlation = np.array(found.covariance) / np.outer(sigma, sigma)
    information = np.linalg.inv(correlation + 1e-9 * np.eye(len(sigma)))
    return np.asarray(sigma / np.sqrt(np.maximum(np.diag(information), 1.0)))


def _clipped(axis: str, low: float, high: float) -> tuple[float, float]:
    kind = KINDS[axis]
    return round(float(np.clip(low, kind.lowest, kind.highest)), 4), round(
        float(np.clip(high, kind.lowest, kind.highest)), 4
    )


def _flow(figures: Mapping[str, float]) -> str:
    return "{" + ", ".join(f"{name}: {value:g}" for name, value in figures.items()) + "}"


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
