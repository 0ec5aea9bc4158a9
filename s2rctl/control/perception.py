"""The perception check: a policy's estimate of its tool's position, or of what it holds, against what the joints know.

The estimate belongs to the image, so it is compared with the tool's position at the image's capture time. The check
fails when in more than half of the last images the error exceeds a limit derived from the errors in the export's own
episodes (``schema/contract.py:Estimate``). A reflection or a hand in front of the lens affects a few images and does
not stop the robot; a wall of another colour affects all of them and does, after half the filter's length.

An object that a hand holds is at its fingertips: an estimate in a gripper's frame is off by its own length while its
fingers hold something, and by nothing while they do not.

Pure functions of (window, track, capture times, estimate), and ``Monitor``, which carries their state through an
episode. Meanwhile ``trust`` slows the motion down.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import dist, isfinite

import numpy as np

from s2rctl.core.errors import PerceptionStop
from s2rctl.robots.holding import Fingers, fingers_of
from s2rctl.robots.protocol import RobotSpecification, State
from s2rctl.schema.contract import Estimate
from s2rctl.schema.deployment import Perception
from s2rctl.schema.tensors import viewer_of

LEAST_LIMIT_M = 0.01
"""Lower bound of the limit: camera calibration and the arm's own joint readings may be off by several millimetres."""
READINGS = 64
"""Joint readings kept to look up past tool positions: 3.2 s at 20 Hz, more than the age limit of images."""
HINT = (
    "look at the camera images (background, lighting, camera pose), recalibrate, or train on such images; "
    "deploy.safety.perception configures the check"
)


@dataclass(frozen=True)
class Limits:
    """Limits of one estimate."""

    output: str
    of: str  # name of the tool
    arm: int  # its index in ``State.tool``
    limit_m: float  # largest error of a good image
    frames: int  # length of the filter in images
    speed: float  # m/s, largest tool speed: bounds the motion where the track has no readings
    fingers: Fingers | None = None  # of a gripper: it is about the object that they hold
    camera: str | None = None  # the only one whose images it is from; None: all of them


@dataclass(frozen=True)
class Track:
    """Tool positions at the last joint readings, oldest first."""

    times: tuple[float, ...] = ()  # s
    tools: tuple[np.ndarray, ...] = ()  # (arms, 3) m each

    def after(self, state: State) -> "Track":
        """Return the track with one more reading.

        A reading that is not newer than the last one, or not finite (the safety filter handles those), is ignored.
        """
        if (self.times and state.t <= self.times[-1]) or not np.isfinite(state.tool[:, :3]).all():
            return self
        return Track((*self.times, state.t)[-READINGS:], (*self.tools, state.tool[:, :3])[-READINGS:])

    def at(self, t: float, arm: int) -> tuple[np.ndarray, float]:
        """Return a tool's position (3,) m at time ``t`` s and how far ``t`` lies outside the readings, s.

        Linear interpolation between readings; outside of them the nearest one.
        """
        times, after = self.times, bisect_left(self.times, t)
        if after in (0, len(times)):
            end = min(after, len(times) - 1)
            return self.tools[end][arm], abs(t - times[end])
        before, later = self.tools[after - 1][arm], self.tools[after][arm]
        share = (t - times[after - 1]) / (times[after] - times[after - 1])
        return before + share * (later - before), 0.0


@dataclass(frozen=True)
class Window:
    """Errors of the last images."""

    captured: tuple[float, ...] = ()  # s, capture times of the images evaluated last
    errors: tuple[float, ...] = ()  # m, newest last

    def filtered(self, frames: int) -> float:
        """Return the filtered error, m; see ``filtered``."""
        return filtered(self.errors, frames)


def filtered(errors: Sequence[float], frames: int) -> float:
    """Return the error that more than half of the last ``frames`` images reach, m: their median if ``frames`` is odd.

    At an episode's start missing images count as 0, so that a limit is passed after as many bad images as later on.
    Any error that is not finite makes the result infinite.
    """
    last = errors[-frames:]
    if not all(isfinite(error) for error in last):
        return float("inf")
    need = frames // 2 + 1
    return sorted(last, reverse=True)[need - 1] if len(last) >= need else 0.0


def running(errors: Sequence[float], frames: int) -> list[float]:
    """Return the filtered error after each image of an episode."""
    return [filtered(errors[: count + 1], frames) for count in range(len(errors))]


def update(window: Window, limits: Limits, track: Track, captured: Sequence[float], estimate: np.ndarray) -> Window:
    """Return the window after one control step with images captured at these times and an estimate (3,) m.

    Images that were evaluated before change nothing, so dropped frames do not advance the filter; neither does a step
    without any joint reading. Outside the readings, motion at full speed is subtracted from the error. With several
    cameras the capture time that fits best counts.
    """
    times = tuple(captured)
    if times == window.captured or not track.times:
        return window
    error = _length(estimate) if limits.fingers else min(_error(limits, track, t, estimate) for t in times)
    return Window(times, (*window.errors, error)[-limits.frames :])


def _error(limits: Limits, track: Track, t: float, estimate: np.ndarray) -> float:
    position, outside_s = track.at(t, limits.arm)
    gap = dist(estimate.tolist(), position.tolist())
    return max(0.0, gap - limits.speed * outside_s) if isfinite(gap) else float("inf")


def _length(estimate: np.ndarray) -> float:
    length = float(np.linalg.norm(estimate))
    return length if isfinite(length) else float("inf")


def require(window: Window, limits: Limits) -> None:
    """Raise PerceptionStop when the filtered error exceeds the limit; at once if an estimate is not finite."""
    error = window.filtered(limits.frames)
    if not isfinite(error):
        raise PerceptionStop(f"the policy's '{limits.output}' is not finite", "train and export the policy again")
    if error > limits.limit_m:
        where, limit = f"in most of the last {limits.frames} images", f"(limit {limits.limit_m * 100:.1f} cm)"
        what = (
            f"the object that '{limits.of}' holds seems {error * 100:.1f} cm or more from its fingertips"
            if limits.fingers
            else f"the policy's estimate of '{limits.of}' is {error * 100:.1f} cm or more from forward kinematics"
        )
        raise PerceptionStop(f"perception check: {where} {what} {limit}", HINT)


class Monitor:
    """The check during one episode."""

    def __init__(self, limits: Sequence[Limits]) -> None:
        self._limits = limits
        self._windows = {item.output: Window() for item in limits}
        self._largest = dict.fromkeys(self._windows, 0.0)
        self.track = Track()

    def step(
        self, state: State, captured: Mapping[str, float], outputs: Mapping[str, np.ndarray], command: np.ndarray
    ) -> None:
        """Check a policy's outputs (batch of one) for images captured at these times, by camera; raise PerceptionStop.

        ``command`` (m,) is what the robot was sent last.
        """
        self.track = self.track.after(state)
        for item in self._limits:
            times = [t for camera, t in captured.items() if item.camera in (None, camera)] or list(captured.values())
            told = outputs[item.output][0]
            if item.fingers and not item.fingers.hold(state.joint_pos, state.joint_vel, command):
                told = np.where(np.isfinite(told), 0.0, told)
            window = update(self._windows[item.output], item, self.track, times, told)
            self._windows[item.output] = window
            self._largest[item.output] = max(self._largest[item.output], window.filtered(item.frames))
            require(window, item)

    def errors(self) -> dict[str, dict[str, float]]:
        """Return by output the last image's error and the filtered one, m, for the recording."""
        return {
            item.output: {"error_m": window.errors[-1], "filtered_m": window.filtered(item.frames)}
            for item in self._limits
            if (window := self._windows[item.output]).errors
        }

    def summary(self) -> dict[str, dict[str, float | str]]:
        """Return by output the tool, the largest filtered error and the limit, m, for the episode's log."""
        return {
            item.output: {"of": item.of, "filtered_max_m": self._largest[item.output], "limit_m": item.limit_m}
            for item in self._limits
        }


def limits_of(
    estimates: Sequence[Estimate], settings: Perception, specification: RobotSpecification, rate_hz: float, speed: float
) -> tuple[Limits, ...]:
    """Return the limits of a contract's estimates on a robot whose tools move at most at ``speed`` m/s."""
    return tuple(
        Limits(
            output=item.output,
            of=item.of,
            arm=specification.tools.index(item.of),
            limit_m=limit_of(item, settings),
            frames=settings.frames(rate_hz),
            speed=speed,
            fingers=fingers_of(specification, item.of) if item.frame == "gripper" else None,
            camera=viewer_of(item.output),
        )
        for item in estimates
    )


def limit_of(estimate: Estimate, settings: Perception) -> float:
    """Return the largest error of a good image, m."""
    return max(LEAST_LIMIT_M, settings.factor * estimate.p95_m)
