"""Measured delays become training delays: recordings in, a profile fragment out."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.control.latency import Response, observation_delays, response_delays, sending_delays, weights_of
from s2rctl.control.recording import Recording, read_recording
from s2rctl.control.timing import QUANTILES
from s2rctl.core.atomic import is_stdout, require_replaceable, write_output
from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import ArtifactError, RunError, UsageError
from s2rctl.core.progress import Reporter
from s2rctl.emulation.faults import Faults
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.twin import Twin
from s2rctl.operations.recordings.mirror import Mirror, robot_of
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import Target
from s2rctl.schema.profile import Profile
from s2rctl.schema.robots import ToolLimits
from s2rctl.systems import system_named

CANDIDATES_S = tuple(0.01 * step for step in range(26))
_PLAIN = re.compile(r"[\w./][\w./-]*")  # text that YAML takes as it stands


def run(paths: Sequence[Path], profile: Profile, extends: str, output: Path, reporter: Reporter) -> dict[str, Any]:
    """Fit the delays of recordings of the profile's robot and write a profile that ``extends`` another.

    Returns weights and figures. RunError when the arm moves too little to tell.
    """
    require_replaceable(output, "--output")
    recordings = [_checked(path, profile, reporter) for path in paths]
    period = 1.0 / profile.simulation.rate_hz
    mirror, limits = Mirror(profile.robot.name), profile.tool_limits
    grips = {entry.joint for entry in mirror.specification.command if entry.kind == "gripper"}
    joints = [joint for joint in mirror.specification.target_joint if joint not in grips]
    reporter.start("latency fit", len(recordings), "recordings")
    sent, responses = [], []
    for number, recording in enumerate(recordings):
        responses.append(response_delays(recording, lambda r, d: respond(mirror, limits, r, d), CANDIDATES_S, joints))
        sent.append(sending_delays(recording))
        reporter.update(number + 1, {"windows": responses[-1].windows})
    seen = np.concatenate([observation_delays(recording) for recording in recordings])
    host, arm = np.concatenate(sent), np.concatenate([response.delays_s for response in responses])
    if not len(arm):
        raise RunError(
            "the arm moves too little in these recordings to estimate actuation latency", "record episodes with motion"
        )
    action = arm + float(np.nanmean(host))
    weights = {"joint_action": weights_of(action, period), "observation": weights_of(seen, period)}
    _write(output, profile, extends, weights, len(recordings), action, seen)
    reporter.finish(f"{output}")
    return {
        "output": str(output),
        "recordings": len(recordings),
        "period_ms": period * 1e3,
        **{f"{name}_weights": list(values) for name, values in weights.items()},
        "action_ms": _figures(action),
        "of_which_host_ms": _figures(host),
        "observation_ms": _figures(seen),
        "action_histogram": _histogram(action),
        "observation_histogram": _histogram(seen),
        "residual_rad": round(_residual(responses), 5),
        "windows": sum(response.windows for response in responses),
        "windows_without_motion": sum(response.of - response.windows for response in responses),
    }


def respond(mirror: Mirror, limits: ToolLimits | None, recording: Recording, delay_s: float) -> np.ndarray:
    """Return the joints (steps, n) of a simulated arm that gets the recorded commands ``delay_s`` s late.

    What its controller needs by itself to bring the tool to a target is no delay: training has it as a planner.
    """
    t, targets, measured = recording.column("t"), recording.column("target"), recording.column("joint_pos")
    ages = recording.ages().get("robot", np.zeros(len(t)))
    sent = sending_delays(recording)
    first = measured[0]
    begin = float(t[0] - max(ages[0], 0.0))
    clock = VirtualClock(begin)
    spec = mirror.specification
    twin = Twin(mirror.model, spec, clock, (), None, Faults(latency_s=(delay_s, delay_s)), limits, period_s=np.inf)
    qpos = mirror.qpos(first)
    twin.reset(PlantStart(qpos, np.zeros(mirror.model.nv), mirror.ctrl(first)), 0)
    joints = np.empty_like(measured)
    for number in range(len(t)):
        clock.sleep_until(t[number] - max(ages[number], 0.0))
        joints[number] = twin.read().joint_pos
        clock.sleep_until(t[number] + sent[number])
        if np.isfinite(targets[number]).all():
            twin.send(Target(targets[number]))
    return joints


def _checked(path: Path, profile: Profile, reporter: Reporter) -> Recording:
    """Return what can be fitted of a recording: of a damaged one the part before anything is missing.

    Behind a gap nobody knows what the arm had been told; the simulated one takes seconds to come into step with it.
    """
    whole = read_recording(path, images=False)
    recording = whole.beginning()
    if whole.lost:
        reporter.note(f"{path.name} is damaged: {whole.lost.text()}; its first {len(recording.steps)} steps are fitted")
    robot = recording.header.get("robot", profile.robot.name)
    if robot != profile.robot.name:
        raise UsageError(
            f"{path.name} is from the robot '{robot}', the profile of '{profile.robot.name}'",
            "pass its profile with -p",
        )
    if not recording.steps:
        raise UsageError(f"{path.name} contains no step that can be fitted", "omit this recording")
    if robot_of(recording) != profile.robot.name or recording.column("joint_pos").ndim != 2:
        raise ArtifactError(f"{path.name} has joint data that does not match the robot", "omit this recording")
    targets = recording.column("target")
    if targets.ndim != 2 or targets.shape[1] != len(ROBOTS.load(profile.robot.name).command) or not recording.ages():
        raise ArtifactError(f"{path.name} has no commands for the robot, or no ages", "omit this recording")
    if not all(step.get("sent") for step in recording.steps):
        raise UsageError(
            f"{path.name} was recorded in shadow mode, where no commands are sent", "fit recordings of rehearse or live"
        )
    return recording


def _write(
    path: Path,
    profile: Profile,
    extends: str,
    weights: dict[str, tuple[float, ...]],
    count: int,
    action: np.ndarray,
    seen: np.ndarray,
) -> None:
    """Write the fragment, task by task, as a profile that can be trained with."""
    lines = [
        f"# Delays measured in {count} recording{'s' if count > 1 else ''} by s2rctl latency fit.",
        f"# Action: mean {action.mean() * 1e3:.1f} ms of {len(action)} windows; observation: mean "
        f"{seen.mean() * 1e3:.1f} ms, largest {seen.max() * 1e3:.1f} ms.",
        f"# Weights of being 0, 1, 2 ... control steps ({1e3 / profile.simulation.rate_hz:g} ms) late.",
        f"extends: {extends if _PLAIN.fullmatch(extends) else json.dumps(extends)}",
        f"name: {_name(path, profile)}",
    ]
    lines.append("tasks:")
    for task in system_named(profile.system).tasks:
        lines += [f"  {task}:", "    delays:"]
        lines += [f"      {name}: [{', '.join(f'{w:g}' for w in values)}]" for name, values in weights.items()]
    write_output(path, ("\n".join(lines) + "\n").encode(), "--output")


def _name(path: Path, profile: Profile) -> str:
    """Return the file's name as far as a profile may be called so."""
    stem = profile.name[:54] + "-measured"
    words = stem if is_stdout(path) else re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    return words[:64].rstrip("-") or stem


def _figures(values: np.ndarray) -> dict[str, float]:
    p50, p95, p99, top = np.nanquantile(values * 1e3, QUANTILES)
    mean = float(np.nanmean(values)) * 1e3
    return {name: round(float(value), 3) for name, value in zip(
        ("mean", "p50", "p95", "p99", "max"), (mean, p50, p95, p99, top), strict=True
    )}  # fmt: skip


def _histogram(values: np.ndarray, width_ms: float = 10.0) -> dict[str, int]:
    """Return counts by the lower edge of bins of 10 ms."""
    bins = np.floor(values[np.isfinite(values)] * 1e3 / width_ms).astype(int)
    return {
        f"{edge * width_ms:g}": int(count) for edge, count in zip(*np.unique(bins, return_counts=True), strict=True)
    }


def _residual(responses: Sequence[Response]) -> float:
    used = [response.residual_rad for response in responses if response.windows]
    return float(np.sqrt(np.mean(np.square(used))))
