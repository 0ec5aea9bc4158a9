"""Motion that tells a robot's parameters: every joint sweeps slow to fast or fast to slow, then jumps about.

Chirps of 0.1 to 3 Hz are what PACE (arXiv 2509.06342) identifies legged robots with; their amplitude falls with the
frequency so that no joint is asked to be faster than it may. Holds between the steps show what gravity and dry friction
leave. Neighbouring joints sweep in opposite directions and no two reach equally far, so that none move alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SPEED_SHARE = 0.8
"""Part of the speed limit that a sweep asks for: the filter limits, it does not steer."""
_FADE_S = 0.5
_HOLDS_S = (0.4, 1.4)
_REACHES = (0.6, 1.0)
"""Part of the frequency range, in octaves, that a joint's sweep covers: sweeps of unlike range soon differ in phase."""


@dataclass(frozen=True)
class Excitation:
    """What is asked of the joints."""

    amplitude: float  # rad, at most
    speed: float  # rad/s, at most
    low_hz: float
    high_hz: float
    seconds: float  # of each round
    rest: float  # s of standing still at both ends of a round
    rounds: int


def round_of(wanted: Excitation, number: int, joints: int, period: float, seed: int) -> np.ndarray:
    """Return where the joints are told to be against the home pose, (steps, j) rad, one row per control period."""
    steps = round(wanted.seconds / period)
    moving = np.arange(steps) * period
    rng = np.random.default_rng([seed, number])
    shape = _steps if number % 2 else _chirps
    offsets = shape(wanted, moving, joints, number, rng)
    still = np.zeros((max(1, round(wanted.rest / period)), joints))
    return np.concatenate([still, offsets, still])


def _chirps(wanted: Excitation, t: np.ndarray, joints: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return logarithmic sweeps (steps, j) whose speed stays below the limit."""
    ratio = wanted.high_hz / wanted.low_hz
    reaches = rng.permutation(np.linspace(*_REACHES, joints))
    columns = []
    for joint in range(joints):
        rising = (joint + number // 2) % 2 == 0
        along = t / t[-1] if rising else 1.0 - t / t[-1]
        hz = wanted.low_hz * ratio ** (along * reaches[joint])
        phase = 2.0 * np.pi * np.concatenate([[0.0], np.cumsum(0.5 * (hz[1:] + hz[:-1]) * np.diff(t))])
        size = np.minimum(wanted.amplitude, _SPEED_SHARE * wanted.speed / (2.0 * np.pi * hz))
        fade = np.minimum(1.0, np.minimum(t, t[-1] - t) / _FADE_S)
        columns.append(size * fade * np.sin(phase) * (1.0 if rng.random() < 0.5 else -1.0))
    return np.stack(columns, axis=1)


def _steps(wanted: Excitation, t: np.ndarray, joints: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return jumps (steps, j) at random times, as ramps of the largest speed, that end at home."""
    period = float(t[1] - t[0])
    most = _SPEED_SHARE * wanted.speed * period
    homeward = t[-1] - 1.5 * wanted.amplitude / (_SPEED_SHARE * wanted.speed)
    found = np.zeros((len(t), joints))
    for joint in range(joints):
        goals, at = np.zeros(len(t)), 0.0
        while at < homeward:
            goals[t >= at] = wanted.amplitude * rng.uniform(0.2, 1.0) * rng.choice((-1.0, 1.0))
            at += rng.uniform(*_HOLDS_S)
        goals[t >= homeward] = 0.0
        value = 0.0
        for number_of_step, goal in enumerate(goals):
            value += float(np.clip(goal - value, -most, most))
            found[number_of_step, joint] = value
    return found


def all_rounds(wanted: Excitation, joints: int, period: float, seed: int) -> Sequence[np.ndarray]:
    """Return every round."""
    return [round_of(wanted, number, joints, period, seed) for number in range(wanted.rounds)]
