"""From recordings to traces: what the actuators were told, as far as the device's own controller is known.

A controller that plans the way to a target (a tool's position, a joint's set-point that may only move so fast) does so
whatever the arm then does; its way is worked out here, and the solver shifts it in time.
"""

from pathlib import Path

import numpy as np

from s2rctl.control.latency import observation_delays, sending_delays
from s2rctl.control.recording import Recording, read_recording
from s2rctl.core.errors import ArtifactError, RunError, UsageError
from s2rctl.emulation.tool_drive import ToolDrive
from s2rctl.identification.bench import Bench
from s2rctl.identification.trace import Trace, hold_out
from s2rctl.operations.identification.work import Work
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.profile import Profile

_FINE_S = 0.001
"""Step in which a set-point that moves at a limited speed is worked out."""
_LEAST_S = 2.0
_LEAST_MOTION_RAD = 0.02


def traces_of(work: Work, bench: Bench) -> tuple[tuple[Trace, ...], dict[str, np.ndarray]]:
    """Return the traces of all recordings, a part held out, and the delays s that recordings tell by themselves.

    UsageError for a recording of another robot or one that sent nothing, RunError where the arm hardly moves.
    """
    found, delays = [], []
    for path in work.recordings:
        whole = read_recording(path, images=False)
        recording = whole.beginning()
        if whole.lost:
            work.reporter.note(
                f"{path.name} is damaged: {whole.lost.text()}; its first {len(recording.steps)} steps count"
            )
        _require(recording, path, work.profile)
        found.append(trace_of(recording, bench, work.profile, path.stem))
        delays.append((observation_delays(recording), sending_delays(recording)))
    moved = max(float(np.ptp(trace.joints, axis=0).max()) for trace in found)
    if moved < _LEAST_MOTION_RAD:
        raise RunError("the arm moves too little in these recordings", "record motion: s2rctl sysid collect")
    measured = {"observation": np.concatenate([d[0] for d in delays]), "host": np.concatenate([d[1] for d in delays])}
    return hold_out(found), measured


def trace_of(recording: Recording, bench: Bench, profile: Profile, name: str) -> Trace:
    """Return what a recording says of the identified joints."""
    t, sent = recording.column("t"), sending_delays(recording)
    readings, targets = recording.column("joint_pos"), recording.column("target")
    ages = np.nan_to_num(recording.ages().get("robot", np.zeros(len(t))))
    seen = t - np.maximum(ages, 0.0)
    told = np.isfinite(targets).all(axis=1)
    whole = np.isfinite(readings).all(axis=1)
    fresh = whole & np.concatenate([[True], np.diff(seen) > 1e-4])  # a reading may be there for several steps
    origin = float(t[0]) - float(max(ages[0], 0.0))
    times = (t + np.nan_to_num(sent))[told] - origin
    specification = _commanded(profile, targets.shape[1])
    if specification.space.tools:
        times, way = _by_tool(specification, profile, bench, readings[0], times, targets[told])
    else:
        way = _joints_of(specification, bench, targets[told])
        speed = _speed(recording, profile)
        if speed is not None:
            times, way = limited(times, way, speed, float(seen[-1]) - origin)
    return Trace(
        name,
        readings[0],
        times,
        way,
        seen[fresh] - origin,
        readings[fresh][:, bench.columns],
        np.zeros(fresh.sum(), bool),
    )


def limited(times: np.ndarray, targets: np.ndarray, speed: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Return times (s,) and set-points (s, j) that follow targets (K, j), from the first one on, at most so fast."""
    grid = np.arange(float(times[0]), max(end, float(times[-1])) + _FINE_S, _FINE_S)
    wanted = targets[np.maximum(np.searchsorted(times, grid + 1e-9, side="right") - 1, 0)]
    way = np.empty_like(wanted)
    value, most = wanted[0].copy(), speed * _FINE_S
    for number, goal in enumerate(wanted):
        value = value + np.clip(goal - value, -most, most)
        way[number] = value
    return grid, way


def _by_tool(
    specification: RobotSpecification,
    profile: Profile,
    bench: Bench,
    reading: np.ndarray,
    times: np.ndarray,
    targets: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return times (s,) and joint targets (s, j) that the controllers plan for tool positions (K, m)."""
    limits = profile.tool_limits
    assert limits is not None  # such a robot has them
    dt = bench.timestep
    grid = np.arange(0.0, float(times[-1]) + dt, dt)
    way = np.tile(reading[bench.columns], (len(grid), 1))
    places = {int(column): number for number, column in enumerate(bench.columns)}
    for arm, entries in specification.space.tools.items():
        drive = ToolDrive(specification, limits, arm)
        drive.reset(reading)
        for at, target in zip(times, targets, strict=True):
            drive.aim(target[entries], float(at))
        rows = [places[specification.target_joint[target]] for target in drive.targets]
        for number, at in enumerate(grid):
            joints = drive.tick(float(at), dt)
            if joints is not None:
                way[number, rows] = joints
    return grid, way


def _joints_of(specification: RobotSpecification, bench: Bench, targets: np.ndarray) -> np.ndarray:
    """Return the commands (K, j) of the identified joints."""
    entry = {specification.space.entries[n].joint: n for n in specification.space.driven}
    return targets[:, [entry[int(column)] for column in bench.columns]]


def _commanded(profile: Profile, size: int) -> RobotSpecification:
    """Return the robot's specification whose command has this many entries: its policy's, or its joints'."""
    from dataclasses import replace

    from s2rctl.robots.command import joint_entries

    own: RobotSpecification = ROBOTS.load(profile.robot.name)
    if size == len(own.space):
        return own
    if size == len(own.targets):
        entries = joint_entries(own.targets, own.target_joint, own.target_low, own.target_high, own.joint_speed)
        return replace(own, command=entries)
    raise ArtifactError(f"a recording has {size} commands, which are none of '{own.name}'", "omit this recording")


def _speed(recording: Recording, profile: Profile) -> float | None:
    """Return how fast the device's set-points moved when this was recorded; None: at once."""
    noted = recording.header.get("setpoint_speed")
    if noted is None:
        return profile.setpoint_speed(profile.deploy.safety.joint_speed)
    return float(noted) if noted else None


def _require(recording: Recording, path: Path, profile: Profile) -> None:
    """Raise UsageError for a recording that says nothing of this robot's motion."""
    robot = recording.header.get("robot", profile.robot.name)
    if robot != profile.robot.name:
        raise UsageError(
            f"{path.name} is from the robot '{robot}', the profile is of '{profile.robot.name}'",
            "pass its profile with -p",
        )
    if not recording.steps or recording.column("t")[-1] - recording.column("t")[0] < _LEAST_S:
        raise UsageError(f"{path.name} has less than {_LEAST_S:g} s of motion", "omit this recording")
    if recording.column("target").ndim != 2 or recording.column("joint_pos").ndim != 2 or not recording.ages():
        raise ArtifactError(f"{path.name} has no commands, no joints or no ages", "omit this recording")
    if not all(step.get("sent") for step in recording.steps):
        raise UsageError(f"{path.name} was recorded in shadow mode, where no commands are sent", "omit this recording")
