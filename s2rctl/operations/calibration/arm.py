"""Views from a robot: driven pose by pose through driver and safety filter, or moved by a person and watched."""

import contextlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from s2rctl.control.action import ActionMapping
from s2rctl.control.envelope import STATE, envelope
from s2rctl.control.safety import SafetyFilter
from s2rctl.control.watchdog import Watchdog
from s2rctl.core.clock import Clock
from s2rctl.core.errors import Interrupted, SafetyStop
from s2rctl.core.interrupt import Interrupt
from s2rctl.operations.calibration.sources import Taken
from s2rctl.robots.cameras.stream import Shot
from s2rctl.robots.protocol import Identity, Robot, State, StopLevel, Target
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.deployment import Safety

REACHED_RAD = 0.03
"""Distance of commands from a pose at which it is reached; where the arm then really stands is read."""
STILL_RAD = 0.0025
"""Change of a joint while the arm stands still: one and a half ticks of a servo."""
PATIENCE_S = 8.0
PICTURE_S = 3.0
"""How long a picture may take after the arm stands still."""
WATCHDOG_PERIODS = 20
"""Silence of the loop, in periods, after which the arm is stopped."""


class Still:
    """Watches readings until the joints have kept their places for a while.

    Positions are asked, not speeds: a servo that creeps to its goal is slow long before it is there, and speeds of a
    servo are coarser than its positions.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._times: list[float] = []
        self._readings: list[np.ndarray] = []

    @property
    def since(self) -> float:
        """When (s) the first reading of the present rest was taken."""
        return self._times[0] if self._times else float("inf")

    def add(self, state: State) -> bool:
        """Take a reading into account; return whether the arm has rested long enough."""
        if self._times and state.t <= self._times[-1]:
            return state.t - self.since >= self._seconds
        self._times.append(state.t)
        self._readings.append(state.joint_pos)
        while np.ptp(np.array(self._readings), axis=0).max() > STILL_RAD:
            self._times.pop(0)
            self._readings.pop(0)
        return state.t - self.since >= self._seconds

    def mean(self) -> np.ndarray:
        """Return the mean reading (n,) of the present rest."""
        return np.asarray(np.mean(self._readings, axis=0))


class Eye(Protocol):
    """What is needed of a camera."""

    serial: str
    lens: Intrinsics | None

    def shot(self) -> Shot | None:
        """Return the newest picture in full size; SafetyStop when the camera has failed."""

    def close(self) -> None:
        """Let go of it."""


class Watched:
    """Implements ``Eye`` with another one, and tells of its pictures."""

    def __init__(self, eye: Eye, tell: Callable[[np.ndarray], None]) -> None:
        self.serial, self.lens = eye.serial, eye.lens
        self._eye, self._tell = eye, tell

    def shot(self) -> Shot | None:
        """Return the newest picture in full size; SafetyStop when the camera has failed."""
        shot = self._eye.shot()
        if shot is not None:
            self._tell(shot.rgb)
        return shot

    def close(self) -> None:
        """Let go of it."""
        self._eye.close()


class Driven:
    """Implements ``Source`` with the arm driven in straight lines of its joints; every command passes the filter."""

    chooses = True

    def __init__(
        self,
        robot: Robot,
        eye: Eye,
        safety: Safety,
        clock: Clock,
        interrupt: Interrupt,
        *,
        period_s: float,
        settle_s: float,
    ) -> None:
        """Connect; the arm holds where it is."""
        self._robot, self._eye, self._clock, self._interrupt = robot, eye, clock, interrupt
        self._period, self._settle = period_s, settle_s
        specification = robot.specification
        limits = envelope(specification, safety, 1.0 / period_s)
        # a step of 1 is three quarters of what the filter allows: it limits, it does not steer
        self._step = 0.75 * np.maximum(limits.rate, 1e-9)
        size = len(specification.space)
        mapping = ActionMapping(specification.space, [-1.0] * size, [1.0] * size, self._step, safety.tracking_error)
        self._filter = SafetyFilter(limits, mapping, specification)
        self.interventions: dict[str, int] = {}
        self.lens, self.camera_serial = eye.lens, eye.serial
        self.identity: Identity = robot.connect()
        self._memory = self._filter.start(self._read())

    def where(self) -> np.ndarray:
        """Return the reading (n,) that the last command stands for."""
        return self._robot.specification.joints_from_command(self._memory.last, self._robot.read().joint_pos)

    def take(self, wanted: np.ndarray | None) -> Taken | None:
        """Drive to the reading (n,), wait until the arm stands still, and return the view.

        Raises SafetyStop for what the filter, the robot or the camera says, Interrupted on Ctrl-C; the arm then holds.
        """
        if wanted is None:
            return None
        try:
            guard = Watchdog(lambda: self._robot.stop(StopLevel.SOFT), WATCHDOG_PERIODS * self._period, self._clock)
            with guard if self._clock.realtime else contextlib.nullcontext() as watchdog:
                self._drive(wanted, watchdog.feed if watchdog is not None else _nothing)
            self._robot.hold()
            return self._picture()
        except KeyboardInterrupt:
            self._robot.stop(StopLevel.HARD)
            raise
        except BaseException:
            self._robot.stop(StopLevel.SOFT)
            raise

    def close(self) -> None:
        """Let go of robot and camera."""
        try:
            self._robot.close()
        finally:
            self._eye.close()

    def _drive(self, wanted: np.ndarray, feed: Callable[[], None]) -> None:
        """Send commands along the straight way until the last one stands for the pose."""
        space = self._robot.specification.space
        goal = self._memory.last.copy()
        arm = space.of_kind("joint", "slide")
        goal[arm] = space.values(wanted, self._read().tool)[arm]
        way = np.abs(goal - self._memory.last) / self._step
        deadline, end = self._clock.now(), self._clock.now() + PATIENCE_S + 3.0 * self._period * float(way.max())
        while np.abs(goal - self._memory.last).max() > 1e-4:
            if self._clock.now() > end:
                self._refuse(goal)
            ahead = (goal - self._memory.last) / self._step
            self._command(ahead / max(1.0, float(np.abs(ahead).max())))
            feed()
            deadline += self._period
            self._clock.sleep_until(deadline)
            deadline = max(deadline, self._clock.now() - self._period)

    def _picture(self) -> Taken:
        """Return the first view of the arm standing still; readings are averaged over that time.

        Nothing is sent meanwhile: the arm holds, and a slow camera is no reason to stop it.
        """
        still = Still(self._settle)
        deadline, end = self._clock.now(), self._clock.now() + PATIENCE_S + PICTURE_S
        while True:
            self._look_for_stop()
            rests = still.add(self._read())
            shot = self._eye.shot()
            if rests and shot is not None and shot.t > still.since:
                mean = still.mean()
                return Taken(shot.rgb, shot.t, joints=mean, speed=np.zeros_like(mean))
            if self._clock.now() > end:
                what = "the camera delivers no new pictures" if rests else "the arm does not come to rest"
                raise SafetyStop(what, "look at the arm and at the camera's cable, then run the same command again")
            deadline = max(deadline + self._period, self._clock.now())
            self._clock.sleep_until(deadline)

    def _command(self, action: np.ndarray) -> State:
        """Pass one action through the filter and send it; Interrupted where a person asked to stop."""
        self._look_for_stop()
        state = self._read()
        ages = {STATE: self._clock.now() - state.t}
        self._memory, verdict = self._filter.step(self._memory, action, state, ages)
        for name in verdict.interventions:
            self.interventions[name] = self.interventions.get(name, 0) + 1
        self._robot.send(Target(verdict.target))
        return state

    def _look_for_stop(self) -> None:
        """Raise Interrupted where a person asked to stop."""
        if self._interrupt.requested:
            raise Interrupted("stopped; the arm holds its position", "run the same command again to go on")

    def _read(self) -> State:
        state = self._robot.read()
        if state.codes:
            raise SafetyStop("the robot reports: " + "; ".join(state.codes), "clear it with s2rctl robot recover")
        return state

    def _refuse(self, goal: np.ndarray) -> None:
        space = self._robot.specification.space
        worst = int(np.argmax(np.abs(goal - self._memory.last)))
        held = ", ".join(self.interventions) or "nothing"
        raise SafetyStop(
            f"the safety filter does not let '{space.names[worst]}' reach its pose (it limited: {held})",
            "widen calibration.workspace_low and _high, or start nearer to home",
        )


class Guided:
    """Implements ``Source`` with a person who moves the arm, by hand or with the vendor's own tool; nothing is sent."""

    chooses = True

    def __init__(
        self,
        robot: Robot,
        eye: Eye,
        clock: Clock,
        interrupt: Interrupt,
        say: Callable[[str], None],
        *,
        settle_s: float,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        """``say`` tells the person what to do; a view is taken when the arm has moved and stands still.

        ``ready`` says that the person wants the picture now, where there is a way to ask.
        """
        self._robot, self._eye, self._clock, self._interrupt, self._say = robot, eye, clock, interrupt, say
        self._settle, self._ready = settle_s, ready
        self.lens, self.camera_serial = eye.lens, eye.serial
        self.identity: Identity = robot.connect()
        self._last: np.ndarray | None = None

    def where(self) -> np.ndarray:
        """Return the reading (n,)."""
        return self._robot.read().joint_pos

    def take(self, wanted: np.ndarray | None) -> Taken | None:
        """Tell where to go, wait until the arm was moved and stands still, and return the view."""
        if wanted is not None:
            self._say(f"move the arm to about {self._words(wanted)}, then let it stand still")
        still = Still(max(self._settle, 1.0) if wanted is not None else self._settle)
        while True:
            if self._interrupt.requested:
                raise Interrupted("stopped", "run the same command again to go on")
            state = self._robot.read()
            if state.codes:
                raise SafetyStop("the robot reports: " + "; ".join(state.codes), "clear it, then run the same command")
            rests = still.add(state)
            fresh = self._last is None or np.abs(state.joint_pos - self._last).max() > 2 * REACHED_RAD
            shot = self._eye.shot()
            seen = shot is not None and shot.t > still.since
            if rests and fresh and seen and shot is not None and (self._ready is None or self._ready()):
                self._last = still.mean()
                return Taken(shot.rgb, shot.t, joints=self._last, speed=np.zeros_like(self._last))
            self._clock.sleep_until(self._clock.now() + 0.05)

    def close(self) -> None:
        """Let go of robot and camera."""
        try:
            self._robot.close()
        finally:
            self._eye.close()

    def _words(self, reading: np.ndarray) -> str:
        spec = self._robot.specification
        here = self.where()
        changed = [
            f"{name} {np.rad2deg(value):.0f}°"
            for name, value, now in zip(spec.joints, reading, here, strict=True)
            if abs(value - now) > REACHED_RAD
        ]
        return ", ".join(changed) or "where it is"


def _nothing() -> None:
    return None
