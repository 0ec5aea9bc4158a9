"""Stage: rehearse an exported policy: the robot's own control loop drives a simulated twin.

A passed rehearsal issues the certificate that ``live`` demands (see ``stages/live.py``).
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import envelope
from s2rctl.control.episode_log import EpisodeLog, describe
from s2rctl.control.loop import Rig, Settings, run_episode
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.perception import limits_of
from s2rctl.control.policy import Policy
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.safety import SafetyFilter, Verdict
from s2rctl.control.timing import Timings, quantile_ms
from s2rctl.control.trust import TrustLimits
from s2rctl.core.atomic import write_atomic
from s2rctl.core.clock import Clock, RealClock, VirtualClock
from s2rctl.core.errors import Interrupted, MissingEnvironmentError, PerceptionStop, SafetyStop
from s2rctl.core.seeds import derived_seed
from s2rctl.evaluation.seen import pictures
from s2rctl.evaluation.statistics import format_rate, wilson
from s2rctl.operations.sealed import POLICY_FILE, require_sealed
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import CameraSource, Robot
from s2rctl.schema.contract import Contract
from s2rctl.schema.deployment import Mode
from s2rctl.schema.profile import Profile
from s2rctl.schema.tensors import ACTION, depth_name, rgb_name
from s2rctl.stages.certificate import CERTIFICATE_FILE, certificate
from s2rctl.stages.protocol import Context, Result

if TYPE_CHECKING:
    from s2rctl.operations.rehearsal.rig import RehearsalRig

FILM_SIZE = (640, 480)


@dataclass(frozen=True)
class Episode:
    """One rehearsed episode."""

    seed: int
    success: bool
    failure: str
    log: dict[str, Any]


def run_rehearsal(context: Context) -> Result:
    """Run the policy with the role ``onnx`` in the twin and certify it.

    Writes rehearsal.json, certificate.json, one recording per episode and a film of the first. Raises SafetyStop when
    more episodes than the profile allows ended in a safety stop; the recordings are then in the run folder.
    """
    from s2rctl.emulation.faults import Faults
    from s2rctl.operations.rehearsal.rig import make_rehearsal

    settings = context.profile.deploy.rehearsal
    context.reporter.start("rehearse", settings.episodes, "episodes")
    policy = load_policy(context)
    clock: Clock = RealClock() if settings.realtime or settings.through == "driver" else VirtualClock()
    faults = Faults(latency_s=settings.latency_s, frame_drop=settings.frame_drop)
    rehearsal = make_rehearsal(context.profile, clock, faults)
    rig = make_rig(context.profile, policy, rehearsal.robot, rehearsal.cameras, clock, "rehearse")
    episodes, timings, files = [], Timings(), {}
    film: list[tuple[np.ndarray, list[np.ndarray]]] = []
    with closing(rehearsal):
        for number in range(settings.episodes):
            path = context.run_folder / f"episode-{number:03d}.mcap"
            seed = derived_seed(context.seed, "rehearse", number)
            episode, log = _rehearse(context, rig, rehearsal, policy, seed, path, film if number == 0 else None)
            episodes.append(episode)
            timings.merge(log.timings)
            files[path.name] = path
            context.reporter.update(number + 1, {"success": sum(e.success for e in episodes) / len(episodes)})
    figures = summarise(episodes, timings, clock.realtime) | {"through": settings.through}
    write_json(files, context.run_folder / "rehearsal.json", {**figures, "episode_log": [asdict(e) for e in episodes]})
    _require_few_stops(context, episodes)
    write_json(files, context.run_folder / CERTIFICATE_FILE, certificate(context, policy, figures))
    files |= _film(context, rehearsal, film)
    context.reporter.finish(f"success {figures['text']}, {figures['safety_stops']} safety stops")
    return Result(files=files, metrics=figures, contract=policy.contract)


def _require_few_stops(context: Context, episodes: Sequence[Episode]) -> None:
    """Raise SafetyStop, or PerceptionStop where the first one was, when more episodes were stopped than may be."""
    stopped = [episode.log for episode in episodes if episode.log["outcome"] == "safety_stop"]
    if len(stopped) <= context.profile.deploy.rehearsal.max_safety_stops:
        return
    kind = PerceptionStop if stopped[0]["stop"] == "perception" else SafetyStop
    hints = (
        stopped[0]["hint"],
        f"look at the recordings in {context.run_folder}, or raise deploy.rehearsal.max_safety_stops",
    )
    raise kind(
        f"{len(stopped)} of {len(episodes)} rehearsed episodes ended in a safety stop: {stopped[0]['reason']}",
        "; ".join(hint for hint in hints if hint),
    )


def load_policy(context: Context) -> Policy:
    """Return the policy with the role ``onnx``, checked against the profile's robot."""
    specification = ROBOTS.load(context.profile.robot.name)
    profile = context.profile
    require_sealed(context.inputs["onnx"])
    path = context.inputs["onnx"].path(POLICY_FILE)
    return Policy(path, specification, profile.simulation.rate_hz, profile.vision.cameras)


def make_rig(
    profile: Profile,
    policy: Policy,
    robot: Robot,
    cameras: Sequence[CameraSource],
    clock: Clock,
    mode: Mode,
    speed: float = 1.0,
) -> Rig:
    """Return the loop's parts for a robot, real or not; ``speed`` in (0, 1] slows every motion down."""
    specification, safety = robot.specification, profile.deploy.safety
    mapping = action_mapping(specification, policy.contract, safety.tracking_error, speed)
    limits = envelope(specification, safety, profile.simulation.rate_hz, speed)
    builder = ObservationBuilder(policy.contract, specification)
    wanted = [camera for camera in cameras if camera.name in builder.cameras]
    trust = TrustLimits(*safety.position_gap_m) if safety.position_gap_m else None
    estimates = policy.contract.estimates if mode in safety.perception.modes else ()
    # Full speed: motion before the episode, or by hand, does not follow the ramp.
    checks = limits_of(estimates, safety.perception, specification, profile.simulation.rate_hz, safety.tool_speed)
    return Rig(robot, wanted, policy, builder, SafetyFilter(limits, mapping, specification), clock, trust, checks)


def recording_header(context: Context, mode: str) -> dict[str, str]:
    """Return what a recording says of itself."""
    profile = context.profile
    return {
        "onnx": context.inputs["onnx"].id,
        "profile": profile.name,
        "system": profile.system,
        "robot": profile.robot.name,
        "rate_hz": f"{profile.simulation.rate_hz:g}",
        "mode": mode,
    }


def loop_settings(profile: Profile, steps: int, *, send: bool = True, park: bool = False) -> Settings:
    """Return the loop's settings from a profile."""
    return Settings(profile.simulation.rate_hz, steps, profile.deploy.safety.max_missed_deadlines, send, park)


def _rehearse(
    context: Context,
    rig: Rig,
    rehearsal: "RehearsalRig",
    policy: Policy,
    seed: int,
    path: Path,
    film: list[tuple[np.ndarray, list[np.ndarray]]] | None,
) -> tuple[Episode, EpisodeLog]:
    """Run one episode in the twin and return its result."""
    rehearsal.begin(seed)
    normalise = normaliser(policy.contract)

    def finished(action: np.ndarray, verdict: Verdict) -> bool:
        data = rehearsal.look()
        if film is not None:
            film.append((data.qpos.copy(), _seen(policy.contract, rehearsal.cameras)))
        return rehearsal.judge.watch(data, normalise(action))

    header = recording_header(context, "rehearse") | {"seed": str(seed)}
    log = run_episode(
        rig,
        loop_settings(context.profile, rehearsal.judge.episode_steps),
        context.interrupt,
        goal=rehearsal.judge.goal,
        finished=finished,
        recorder=McapRecorder(path, header),
    )
    if log.outcome == "interrupted":
        raise Interrupted("the rehearsal was interrupted", "run the same command again")
    verdict = rehearsal.judge.verdict()
    stopped = log.outcome == "safety_stop"
    failure = f"{log.stop}_stop" if stopped else verdict.failure
    episode = Episode(seed, verdict.success and not stopped, failure, describe(log))
    return episode, log


def normaliser(contract: Contract) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from the policy's raw action to [-1, 1]."""
    action = next(tensor for tensor in contract.outputs if tensor.name == ACTION)
    scale = np.ones(len(contract.action_scale)) if action.unit in ("", "1") else np.array(contract.action_scale)
    return lambda raw: np.clip(raw / scale, -1.0, 1.0)


def summarise(episodes: Sequence[Episode], timings: Timings, realtime: bool) -> dict[str, Any]:
    """Return the figures of a rehearsal."""
    successes = sum(episode.success for episode in episodes)
    low, high = wilson(successes, len(episodes))
    interventions: Counter[str] = Counter()
    for episode in episodes:
        interventions.update(episode.log["interventions"])
    summary = timings.summary()
    return {
        "episodes": len(episodes),
        "successes": successes,
        "success_rate": successes / len(episodes),
        "wilson_low": low,
        "wilson_high": high,
        "text": format_rate(successes, len(episodes)),
        "failures": dict(Counter(e.failure for e in episodes if not e.success).most_common()),
        "safety_stops": sum(e.log["outcome"] == "safety_stop" for e in episodes),
        "perception_stops": sum(e.log["stop"] == "perception" for e in episodes),
        "interventions": dict(interventions),
        "steps": sum(e.log["steps"] for e in episodes),
        "clock": "real" if realtime else "virtual",
        "missed_deadlines": sum(e.log["missed_deadlines"] for e in episodes),
        "rate_hz": round(timings.rate_hz(), 3),
        "inference_ms_p50": quantile_ms(summary, "inference", "p50"),
        "inference_ms_p99": quantile_ms(summary, "inference", "p99"),
        "filter_ms_p99": quantile_ms(summary, "filter", "p99"),
        "period_ms_p50": quantile_ms(summary, "period", "p50"),
        "period_ms_p99": quantile_ms(summary, "period", "p99"),
        "observation_age_ms_p99": quantile_ms(summary, "observation_age", "p99"),
        "send_ms_p99": quantile_ms(summary, "send", "p99"),
        "timing_ms": summary,
    }


def write_json(files: dict[str, Path], path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file and note it among the artifact's files."""
    write_atomic(path, json.dumps(content, indent=2).encode())
    files[path.name] = path


def _seen(contract: Contract, cameras: Sequence[CameraSource]) -> list[np.ndarray]:
    """Return what the policy sees of the newest frames, as pictures (H, W, 3) uint8."""
    values: dict[str, np.ndarray | None] = {}
    for camera in cameras:
        frame = camera.latest()
        if frame is not None:
            values |= {rgb_name(camera.name): frame.rgb, depth_name(camera.name): frame.depth}
    asked = {tensor.name: values.get(tensor.name) for tensor in contract.inputs}
    return list(pictures({name: value for name, value in asked.items() if value is not None}).values())


def _film(
    context: Context, rehearsal: "RehearsalRig", film: Sequence[tuple[np.ndarray, list[np.ndarray]]]
) -> dict[str, Path]:
    """Film the first episode; without a display driver there is no film, and the rehearsal stands all the same."""
    from s2rctl.evaluation.film import compose, write_mp4
    from s2rctl.render.film import Film, viewer_of

    path = context.run_folder / "rehearsal.mp4"
    width, height = FILM_SIZE
    try:
        with Film(rehearsal.model, viewer_of(rehearsal.model), width, height) as camera:
            frames = (compose(camera.frame(qpos), images) for qpos, images in film)
            write_mp4(path, frames, width, height, context.profile.simulation.rate_hz)
    except MissingEnvironmentError as error:
        context.reporter.note(f"no film: {error.message}")
        return {}
    return {path.name: path}
