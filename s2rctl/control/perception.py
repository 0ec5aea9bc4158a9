"""The perception check: where a policy tells to see its tool, against where the joints have it.

What is told is of the picture, so it is compared with where the tool was when the picture was taken. A policy is lost
when more than half of the last pictures were off by more than a limit, which comes from the errors on the export's own
episodes (``schema/contract.py:Told``). A reflection or a hand before the lens spoils a few pictures and stops nothing;
a wall of another colour spoils all of them and stops the robot after half the filter's length.

Pure functions of (sight, readings, pictures, what is told), and ``Watch``, which carries their state through an
episode. ``trust`` slows the motion down meanwhile.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import dist, isfinite

import numpy as np

from s2rctl.core.errors import PerceptionStop
from s2rctl.robots.protocol import RobotSpecification, State
from s2rctl.schema.contract import Told
from s2rctl.schema.deployment import Perception

LEAST_LIMIT_M = 0.01
"""No limit is lower: a calibrated camera and a real arm's own joints may together be off by some millimetres."""
READINGS = 64
"""Joint readings that are kept to look up where the tool was: 3.2 s at 20 Hz, more than a picture's age may be."""
HINT = (
    "look at what the camera sees (background, light, place of the camera), calibrate it, or train with such pictures; "
    "deploy.safety.perception sets the check"
)


@dataclass(frozen=True)
class Limits:
    """What one told output is held to."""

    output: str
    of: str  # name of the tool
    arm: int  # its index in ``State.tool``
    limit_m: float  # a picture that is off by more is a lost one
    frames: int  # pictures that are judged together
    speed: float  # m/s, the fastest that the tool moves: bounds what is not known of where it was


@dataclass(frozen=True)
class Track:
    """Where the tools were at the last readings, oldest first."""

    times: tuple[float, ...] = ()  # s
    tools: tuple[np.ndarray, ...] = ()  # (arms, 3) m each

    def after(self, state: State) -> "Track":
        """Return the track with one more reading.

        One that is not newer than the last, or not finite (which the safety filter judges), changes nothing.
        """
        if (self.times and state.t <= self.times[-1]) or not np.isfinite(state.tool[:, :3]).all():
            return self
        return Track((*self.times, state.t)[-READINGS:], (*self.tools, state.tool[:, :3])[-READINGS:])

    def at(self, t: float, arm: int) -> tuple[np.ndarray, float]:
        """Return where a tool was (3,) m at time ``t`` s, and how long before or after the nearest reading that is, s.

        Between readings it moved in a straight line; before the first and after the last it stands there.
        """
        times, after = self.times, bisect_left(self.times, t)
        if after in (0, len(times)):
            end = min(after, len(times) - 1)
            return self.tools[end][arm], abs(t - times[end])
        before, later = self.tools[after - 1][arm], self.tools[after][arm]
        share = (t - times[after - 1]) / (times[after] - times[after - 1])
        return before + share * (later - before), 0.0


@dataclass(frozen=True)
class Sight:
    """What is carried from picture to picture."""

    shown: tuple[float, ...] = ()  # s, when the pictures that were judged last were taken
    errors: tuple[float, ...] = ()  # m, of the last pictures, newest last

    def filtered(self, frames: int) -> float:
        """Return the error that more than half of ``frames`` pictures reach, m; pictures still to come have none."""
        return filtered(self.errors, frames)


def filtered(errors: Sequence[float], frames: int) -> float:
    """Return the error that more than half of the last ``frames`` pictures reach, m.

    An episode's first pictures are fewer: those before them count as right, so that a limit is passed after as many
    lost pictures as later on. An error that is not finite stays so, whatever the others are.
    """
    last = errors[-frames:]
    if not all(isfinite(error) for error in last):
        return float("inf")
    need = frames // 2 + 1
    return sorted(last, reverse=True)[need - 1] if len(last) >= need else 0.0


def running(errors: Sequence[float], frames: int) -> list[float]:
    """Return the filtered error after each of an episode's pictures."""
    return [filtered(errors[: count + 1], frames) for count in range(len(errors))]


def look(sight: Sight, limits: Limits, track: Track, pictures: Sequence[float], told: np.ndarray) -> Sight:
    """Return the sight after one step: ``pictures`` are the times of the frames that the policy saw, ``told`` (3,) m.

    Frames that were judged already change nothing: a dropped frame is no second witness. Nor does anything where no
    joints were read. Where the tool was is unknown
    before the first reading and after the last; there the error is what remains after the farthest that it can have
    moved. Of several cameras' frames the one that fits best counts.
    """
    times = tuple(pictures)
    if times == sight.shown or not track.times:
        return sight
    error = min(_error(limits, track, t, told) for t in times)
    return Sight(times, (*sight.errors, error)[-limits.frames :])


def _error(limits: Limits, track: Track, t: float, told: np.ndarray) -> float:
    place, unknown_s = track.at(t, limits.arm)
    gap = dist(told.tolist(), place.tolist())
    return max(0.0, gap - limits.speed * unknown_s) if isfinite(gap) else float("inf")


def require(sight: Sight, limits: Limits) -> None:
    """Raise PerceptionStop when the policy is lost; at once for a place that is not finite."""
    error = sight.filtered(limits.frames)
    if not isfinite(error):
        raise PerceptionStop(f"the policy's '{limits.output}' is not finite", "train and export the policy again")
    if error > limits.limit_m:
        raise PerceptionStop(
            f"the policy is lost: in most of the last {limits.frames} pictures it sees '{limits.of}' "
            f"{error * 100:.1f} cm or more from where the joints have it (limit {limits.limit_m * 100:.1f} cm)",
            HINT,
        )


class Watch:
    """The check of one episode."""

    def __init__(self, limits: Sequence[Limits]) -> None:
        self._limits = limits
        self._sights = {item.output: Sight() for item in limits}
        self._largest = dict.fromkeys(self._sights, 0.0)
        self.track = Track()

    def step(self, state: State, pictures: Sequence[float], outputs: Mapping[str, np.ndarray]) -> None:
        """Judge what a policy told (batch of one) of pictures taken at these times; PerceptionStop when it is lost."""
        self.track = self.track.after(state)
        for item in self._limits:
            sight = look(self._sights[item.output], item, self.track, pictures, outputs[item.output][0])
            self._sights[item.output] = sight
            self._largest[item.output] = max(self._largest[item.output], sight.filtered(item.frames))
            require(sight, item)

    def errors(self) -> dict[str, dict[str, float]]:
        """Return the error of the last picture and the filtered one by output, m, for the recording."""
        return {
            item.output: {"error_m": sight.errors[-1], "filtered_m": sight.filtered(item.frames)}
            for item in self._limits
            if (sight := self._sights[item.output]).errors
        }

    def summary(self) -> dict[str, dict[str, float | str]]:
        """Return by output the tool it is about, the largest filtered error and the limit, m, for the episode's log."""
        return {
            item.output: {"of": item.of, "filtered_max_m": self._largest[item.output], "limit_m": item.limit_m}
            for item in self._limits
        }


def limits_of(
    told: Sequence[Told], settings: Perception, specification: RobotSpecification, rate_hz: float, speed: float
) -> tuple[Limits, ...]:
    """Return what a contract's told outputs are held to on a robot whose tools move at most at ``speed`` m/s."""
    return tuple(
        Limits(
            output=item.output,
            of=item.of,
            arm=specification.tools.index(item.of),
            limit_m=limit_of(item, settings),
            frames=settings.frames(rate_hz),
            speed=speed,
        )
        for item in told
    )


def limit_of(told: Told, settings: Perception) -> float:
    """Return from which error on a picture is a lost one, m."""
    return max(LEAST_LIMIT_M, settings.factor * told.p95_m)
