"""The control loop: one for every robot and for simulation.

read → build inputs → infer → filter → send → record, at absolute deadlines. Whatever goes wrong inside ends in a stop:
soft (decelerate, hold) for safety stops, errors and a first Ctrl-C (which then parks from the last command), hard for a
second Ctrl-C. Nothing is cleared or retried by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Any, Protocol

import numpy as np

from s2rctl.control.envelope import STATE
from s2rctl.control.episode_log import EpisodeLog, describe
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.park import park
from s2rctl.control.perception import Limits, Monitor
from s2rctl.control.quiet import quiet
from s2rctl.control.recorder import NullRecorder, Recorder
from s2rctl.control.safety import Memory, SafetyFilter, Verdict
from s2rctl.control.trust import Trust, TrustLimits, follow
from s2rctl.control.watchdog import Watchdog
from s2rctl.core.clock import Clock
from s2rctl.core.errors import PerceptionStop, SafetyStop
from s2rctl.core.interrupt import Interrupt
from s2rctl.robots.protocol import CameraSource, Frame, Robot, State, StopLevel, Target
from s2rctl.schema.tensors import ACTION, JOINT_POS, JOINT_VEL, POSITION, is_memory

SILENT = "the watchdog stopped the robot: the loop fell silent"
SETTLE_S = 1.0
"""How long sources may take to become young before the first step."""
AWAKE_S = 0.001
"""How long before a deadline the loop wakes up; see ``_Loop._wait``."""
WATCHDOG_PERIODS = 4
"""The loop may be silent this many periods before the watchdog stops the robot."""
RECORDED_MEMORY = 4096
"""Numbers of a policy's memory that a recorded step may hold; larger memory would fill the disk."""


class Infer(Protocol):
    """The interface of a policy that the loop calls."""

    def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name, batch of one."""


@dataclass(frozen=True)
class Rig:
    """Everything a loop is made of."""

    robot: Robot
    cameras: Sequence[CameraSource]
    policy: Infer
    builder: ObservationBuilder
    filter: SafetyFilter
    clock: Clock
    trust: TrustLimits | None = None  # None: a gap to forward kinematics slows nothing down
    perception: Sequence[Limits] = ()  # of the policy's estimates; none: no perception check


@dataclass(frozen=True)
class Settings:
    """How a loop runs."""

    rate_hz: float
    steps: int
    max_missed_deadlines: int
    send: bool = True  # False: shadow, nothing is sent
    park: bool = False  # park at the end of a good episode, too
    watchdog_periods: int = WATCHDOG_PERIODS


def run_episode(
    rig: Rig,
    settings: Settings,
    interrupt: Interrupt,
    *,
    goal: np.ndarray | None = None,
    finished: Callable[[np.ndarray, Verdict], bool] = lambda action, verdict: False,
    recorder: Recorder | None = None,
) -> EpisodeLog:
    """Run one episode and return its log; ``finished(action, verdict)`` is asked after each step's motion.

    Safety stops and robot errors are part of the log; a second Ctrl-C stops hard and raises KeyboardInterrupt, and
    anything unexpected is raised after a soft stop.
    """
    log, recorder = EpisodeLog(), recorder or NullRecorder()
    loop = _Loop(rig, settings, goal, recorder, log)
    try:
        with quiet(), loop.guard():
            loop.run(interrupt, finished)
        if settings.send and (log.outcome == "interrupted" or settings.park):
            limits = rig.filter.envelope
            park(rig.robot, rig.clock, loop.memory.last, limits.rate, 1.0 / settings.rate_hz)
    except SafetyStop as stop:
        rig.robot.stop(StopLevel.SOFT)
        log.stopped(stop, SILENT if loop.silent else "")
    except KeyboardInterrupt:
        rig.robot.stop(StopLevel.HARD)
        log.outcome, log.reason = "interrupted", "hard stop"
        raise
    except BaseException as error:
        rig.robot.stop(StopLevel.SOFT)
        log.stopped(SafetyStop(str(error)))
        raise
    finally:
        log.perception = loop.monitor.summary()
        recorder.close(describe(log))
    return log


class _Loop:
    """The state of one running episode."""

    def __init__(
        self, rig: Rig, settings: Settings, goal: np.ndarray | None, recorder: Recorder, log: EpisodeLog
    ) -> None:
        self._rig, self._settings, self._goal, self._recorder, self._log = rig, settings, goal, recorder, log
        self._period = 1.0 / settings.rate_hz
        self._watchdog: Watchdog | None = None
        self._trust = Trust()
        self.monitor = Monitor(rig.perception)
        self.memory: Memory
        if rig.clock.realtime and settings.send:
            timeout = settings.watchdog_periods * self._period
            self._watchdog = Watchdog(lambda: rig.robot.stop(StopLevel.SOFT), timeout, rig.clock)

    @property
    def silent(self) -> bool:
        """Whether the watchdog had to stop the robot; what failed afterwards failed because of it."""
        return self._watchdog is not None and self._watchdog.fired

    def guard(self) -> Any:
        """Return the watchdog's context; a virtual clock needs none."""
        return self._watchdog or nullcontext()

    def run(self, interrupt: Interrupt, finished: Callable[[np.ndarray, Verdict], bool]) -> None:
        """Step at absolute deadlines until something ends the episode."""
        rig, log, period = self._rig, self._log, self._period
        rig.builder.reset()
        self._settle()
        self.memory = rig.filter.start(rig.robot.read())
        deadline = rig.clock.now()
        previous, consecutive = None, 0
        for number in range(self._settings.steps):
            if interrupt.requested:
                log.outcome, log.reason = "interrupted", "asked to stop"
                return
            begun = rig.clock.now()
            if previous is not None:
                log.timings.add("period", begun - previous)
            previous = begun
            action, verdict = self._step(number, begun - deadline)
            deadline += period
            late = rig.clock.now() - deadline
            consecutive = consecutive + 1 if late > 0 else 0
            if late > 0:
                log.missed += 1
                if consecutive > self._settings.max_missed_deadlines:
                    raise SafetyStop(
                        f"{consecutive} deadlines of {period * 1e3:.0f} ms missed in a row",
                        "close other programs to reduce the load on this computer",
                    )
                deadline += period * (late // period)  # the lost steps are lost: no burst of commands
            self._wait(deadline)
            if finished(action, verdict):
                log.outcome = "finished"
                return

    def _wait(self, deadline: float) -> None:
        """Return at the deadline, awake.

        Sleep ends some 0.1 to 1 ms late, so the loop wakes up before and waits awake, leaving the interpreter to other
        threads.
        """
        clock = self._rig.clock
        clock.sleep_until(deadline - AWAKE_S if clock.realtime else deadline)
        while clock.realtime and clock.left(deadline) > 0:
            sleep(0)

    def _settle(self) -> None:
        """Wait until every source is young: getting ready took a while, and nothing has been sent yet.

        What is still old after ``SETTLE_S`` is the first step's to judge.
        """
        clock, limit = self._rig.clock, self._rig.filter.envelope.max_age
        end = clock.now() + SETTLE_S
        while clock.realtime and clock.now() < end:
            times = [self._rig.robot.read().t, *(frame.t for frame in self._frames().values())]
            if clock.now() - min(times) <= 0.5 * limit:
                return
            if self._watchdog:
                self._watchdog.feed()
            clock.sleep_until(clock.now() + 0.002)

    def _step(self, number: int, lateness: float) -> tuple[np.ndarray, Verdict]:
        """Do one control step; return the raw action and what the filter made of it."""
        rig, log = self._rig, self._log
        if self._watchdog:
            self._watchdog.feed()
            if self.silent:
                raise SafetyStop(SILENT)
        state, frames = rig.robot.read(), self._frames()
        now = rig.clock.now()
        ages = {STATE: now - state.t} | {name: now - frame.t for name, frame in frames.items()}
        if not self._settings.send:
            self.memory = rig.filter.start(state)
        inputs = rig.builder.build(state, frames, self.memory.last, self._goal)
        t0 = perf_counter()
        outputs = rig.policy.infer(inputs)
        action = np.asarray(outputs[ACTION], float)[0]
        t1 = perf_counter()
        rig.builder.remember(outputs)
        memory, verdict = rig.filter.step(self.memory, self._believed(action, outputs, state, frames), state, ages)
        t2 = perf_counter()
        if self._settings.send:
            rig.robot.send(Target(verdict.target))
        t3 = perf_counter()
        self.memory = memory
        log.steps += 1
        log.interventions.update(verdict.interventions)
        spent = {"inference": t1 - t0, "filter": t2 - t1, "send": t3 - t2, "lateness": lateness}
        spent["sent"] = rig.clock.now() - now if rig.clock.realtime else 0.0
        for name, seconds in spent.items():
            log.timings.add(name, seconds)
        for name, age in ages.items():
            log.timings.add(f"age_{name}", age)
        log.timings.add("observation_age", max(ages.values()))
        self._record(now, number, state, ages, outputs, verdict, frames, spent)
        log.timings.add("record", perf_counter() - t3)
        return action, verdict

    def _believed(
        self, action: np.ndarray, outputs: Mapping[str, np.ndarray], state: State, frames: Mapping[str, Frame]
    ) -> np.ndarray:
        """Return the action, scaled down with the gap between the policy's tool estimate and forward kinematics.

        Raises PerceptionStop when the perception check fails. Policies without an estimate are not scaled.
        """
        captured = {name: frame.t for name, frame in frames.items()} or {"": state.t}
        self.monitor.step(state, captured, outputs, self.memory.last)
        limits, track = self._rig.trust, self.monitor.track
        if limits is None or POSITION not in outputs or not track.times:
            return action
        self._trust = follow(self._trust, outputs[POSITION][0], track.at(min(captured.values()), 0)[0], limits)
        if self._trust.lost(limits):
            raise PerceptionStop(
                f"the policy's tool estimate is {self._trust.gap_m * 100:.0f} cm from forward kinematics",
                "check the camera's pose and the lighting, recalibrate, or set deploy.safety.position_gap_m",
            )
        if self._trust.factor < 1.0:
            self._log.interventions["position_gap"] += 1
        return action * self._trust.factor

    def _frames(self) -> dict[str, Frame]:
        """Return the newest frame of every camera; raise SafetyStop for a camera that has none."""
        frames = {}
        for camera in self._rig.cameras:
            frame = camera.latest()
            if frame is None:
                raise SafetyStop(f"the camera '{camera.name}' delivers no frames", "check its cable")
            frames[camera.name] = frame
        return frames

    def _record(
        self,
        now: float,
        number: int,
        state: State,
        ages: Mapping[str, float],
        outputs: Mapping[str, np.ndarray],
        verdict: Verdict,
        frames: Mapping[str, Frame],
        spent: Mapping[str, float],
    ) -> None:
        values = {
            "step": number,
            "ages": ages,
            JOINT_POS: state.joint_pos,
            JOINT_VEL: state.joint_vel,
            "tool": state.tool,
            "codes": state.codes,
            "outputs": {name: value[0] for name, value in outputs.items() if not is_memory(name)},
            "target": verdict.target,
            "sent": self._settings.send,
            "interventions": verdict.interventions,
            **{f"{name}_ms": seconds * 1e3 for name, seconds in spent.items()},
        }
        if errors := self.monitor.errors():
            values["perception"] = errors
        memory = self._rig.builder.memory
        if memory and sum(value.size for value in memory.values()) <= RECORDED_MEMORY:
            values["memory"] = {name: value[0] for name, value in memory.items()}
        self._recorder.step(now, values, frames)
