"""Stage: run an exported policy on the real robot: ``shadow`` reads and sends nothing, ``live`` moves. No JAX here."""

import time
from pathlib import Path

import numpy as np

from s2rctl.control.episode_log import EpisodeLog, describe
from s2rctl.control.loop import Rig, run_episode
from s2rctl.control.policy import Policy
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.timing import Timings
from s2rctl.core.clock import RealClock
from s2rctl.core.errors import UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.seeds import derived_seed
from s2rctl.operations.calibration.placed import require_measured
from s2rctl.robots import ROBOTS, make_driver
from s2rctl.robots.cameras.opening import close_cameras, open_cameras
from s2rctl.robots.cameras.stream import Camera
from s2rctl.robots.poses import home_tools
from s2rctl.robots.protocol import Identity, Robot
from s2rctl.schema.deployment import Mode
from s2rctl.schema.profile import Profile
from s2rctl.schema.tasks import TaskSection
from s2rctl.stages.certificate import preflight
from s2rctl.stages.deploy import load_policy, loop_settings, make_rig, recording_header, write_json
from s2rctl.stages.protocol import Context, Result
from s2rctl.systems import system_named


def run_shadow(context: Context) -> Result:
    """Read the real robot and run the policy; send nothing."""
    return _run(context, send=False)


def run_live(context: Context) -> Result:
    """Move the real robot, after every preflight check passed; slowly at first, as the profile's ramp says."""
    preflight(context)
    return _run(context, send=True)


def _run(context: Context, *, send: bool) -> Result:
    """Run the policy on the real robot."""
    profile = context.profile
    mode = "live" if send else "shadow"
    policy = load_policy(context)
    require_measured(policy.contract, profile)
    if profile.deploy.safety.workspace_low is None and ROBOTS.load(profile.robot.name).space.tools:
        raise UsageError(
            "a robot with tool commands needs a workspace box", "set deploy.safety.workspace_low and _high"
        )
    robot: Robot = make_driver(profile.robot, profile.deploy.safety, profile.simulation.period_s)
    episodes = profile.deploy.live.episodes
    context.reporter.start(mode, episodes, "episodes")
    cameras = open_cameras(profile.robot.cameras, policy.contract.cameras)
    files: dict[str, Path] = {}
    logs: list[EpisodeLog] = []
    try:
        for camera in cameras:
            for note in (f"camera '{camera.name}': {camera.device.serial}", *camera.device.notes):
                context.reporter.note(note)
        identity = robot.connect()
        context.reporter.note(f"{identity.model} {identity.serial}, firmware {identity.firmware}")
        _require_calibrated(context, robot, cameras, identity)
        for number in range(episodes):
            speed = profile.deploy.live.speed(number) if send else 1.0
            if number:
                _pause(profile.deploy.live.pause_s, context.interrupt)
            context.reporter.note(f"episode {number + 1} of {episodes} at {speed:.0%} of the full speed")
            path = context.run_folder / f"episode-{number:03d}.mcap"
            logs.append(_episode(context, policy, robot, cameras, identity, path, number, speed, send))
            files[path.name] = path
            if logs[-1].outcome in ("safety_stop", "interrupted"):
                break
            context.reporter.update(number + 1, {"missed": sum(log.missed for log in logs)})
    finally:
        robot.close()
        close_cameras(cameras)
    figures = _figures(logs, mode)
    write_json(files, context.run_folder / f"{mode}.json", {**figures, "episode_log": [describe(log) for log in logs]})
    if logs[-1].outcome == "safety_stop":
        raise logs[-1].error(f"the recording is in {context.run_folder}")
    context.reporter.finish(f"{len(logs)} episodes")
    return Result(files=files, metrics=figures, contract=policy.contract)


def _episode(
    context: Context,
    policy: Policy,
    robot: Robot,
    cameras: list[Camera],
    identity: Identity,
    path: Path,
    number: int,
    speed: float,
    send: bool,
) -> EpisodeLog:
    """Run one episode; a slower one has as many more steps."""
    profile = context.profile
    mode: Mode = "live" if send else "shadow"
    rig = make_rig(profile, policy, robot, cameras, RealClock(), mode, speed)
    header = recording_header(context, mode)
    seed = derived_seed(context.seed, "live", number)
    header |= {"serial": identity.serial, "speed": f"{speed:g}", "seed": str(seed)}
    settings = loop_settings(profile, round(_task(profile).episode_steps / speed), send=send, park=send)
    goal = _goal(rig, _task(profile), seed)
    return run_episode(rig, settings, context.interrupt, goal=goal, recorder=McapRecorder(path, header))


def _task(profile: Profile) -> TaskSection:
    """Return what the profile says of the task that is done."""
    return profile.task(system_named(profile.system).deployed.task)


def _figures(logs: list[EpisodeLog], mode: str) -> dict[str, object]:
    """Return the figures of a run: how it ended and what its timing was."""
    timings = Timings()
    for log in logs:
        timings.merge(log.timings)
    return {
        "mode": mode,
        "episodes": len(logs),
        "steps": sum(log.steps for log in logs),
        "outcomes": ", ".join(log.outcome for log in logs),
        "missed_deadlines": sum(log.missed for log in logs),
        "rate_hz": round(timings.rate_hz(), 3),
        "timing_ms": timings.summary(),
    }


def _pause(seconds: float, interrupt: Interrupt) -> None:
    """Wait, but not longer than until Ctrl-C."""
    end = time.monotonic() + seconds
    while not interrupt.requested and time.monotonic() < end:
        time.sleep(0.05)


def _goal(rig: Rig, task: TaskSection, seed: int) -> np.ndarray | None:
    """Return a goal (3,) m about the tool's home and inside the workspace, for policies that need one."""
    box, spread = rig.filter.envelope.workspace, task.goal_range
    if not rig.builder.needs_goal or box is None or spread is None:
        return None
    around = home_tools(rig.robot.specification)[0]
    return np.clip(around + np.random.default_rng(seed).uniform(-spread, spread, 3), box[0], box[1])


def _require_calibrated(context: Context, robot: Robot, cameras: list[Camera], identity: Identity) -> None:
    """Say what was checked of the calibrations that the profile names; SafetyStop for a camera that was moved since."""
    if not context.profile.vision.calibration:
        return
    from s2rctl.operations.calibration.deploying import require_calibrated

    for line in require_calibrated(context.profile, context.store, robot, cameras, identity):
        context.reporter.note(line)
