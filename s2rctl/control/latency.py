"""Delays measured in recordings, as the probabilities that training draws from: entry i is 'i control steps late'."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from s2rctl.control.recording import Recording

LONGEST_STEPS = 8
"""Delays are counted up to this many control steps; what is longer stops the robot anyway."""
WINDOW = 8  # steps over which one delay of the arm is estimated
MOTION_RAD = 0.004
"""A window tells the delay only if the arm moves: its error at the worst delay must be this much above the best."""

Respond = Callable[[Recording, float], np.ndarray]
"""(recording, delay s) -> simulated joints (steps, n) at the times the recorded ones were measured."""


def weights_of(delays_s: np.ndarray, period: float) -> tuple[float, ...]:
    """Return probabilities of 0, 1, 2 … steps for delays (k,) s.

    A delay between two whole steps is shared between them so that the mean is kept.
    """
    steps = np.clip(np.asarray(delays_s, float) / period, 0.0, LONGEST_STEPS)
    low = np.floor(steps).astype(int)
    part = steps - low
    weights = np.bincount(low, 1 - part, LONGEST_STEPS + 2) + np.bincount(low + 1, part, LONGEST_STEPS + 2)
    rounded = [round(float(weight), 4) for weight in weights / weights.sum()]
    last = max(index for index, weight in enumerate(rounded) if weight > 0)
    return tuple(rounded[: last + 1])


def observation_delays(recording: Recording) -> np.ndarray:
    """Return how old the oldest source was at each step (k,) s."""
    ages = np.stack(list(recording.ages().values()))
    return np.nanmax(np.maximum(ages, 0.0), axis=0)


def sending_delays(recording: Recording) -> np.ndarray:
    """Return the seconds from reading the sensors to the sent command at each step; 0 where none was recorded."""
    if not recording.steps or "sent_ms" not in recording.steps[0]:
        return np.zeros(len(recording.steps))
    return recording.column("sent_ms") / 1e3


@dataclass(frozen=True)
class Response:
    """The arm's actuation latency in one recording."""

    delays_s: np.ndarray  # (windows,) s, beyond what the simulated arm needs
    residual_rad: float  # what remains between the arms at the best delay, root mean square
    windows: int  # windows with enough motion
    of: int


def response_delays(
    recording: Recording, respond: Respond, candidates_s: Sequence[float], joints: Sequence[int]
) -> Response:
    """Return how much later than the simulated arm the recorded one follows its commands.

    The recorded commands are played to a simulated arm with each of the candidate delays (s, equally spaced, from 0);
    in every window of ``WINDOW`` steps the delay counts at which the two arms differ least (between candidates by a
    parabola through the three best). Only ``joints`` are compared.
    """
    measured = recording.column("joint_pos")[:, joints]
    errors = np.stack([((respond(recording, d)[:, joints] - measured) ** 2).mean(axis=1) for d in candidates_s])
    count = errors.shape[1] // WINDOW
    found, residuals = [], []
    for number in range(count):
        error = np.nanmean(errors[:, number * WINDOW : (number + 1) * WINDOW], axis=1)
        if not np.isfinite(error).all() or np.sqrt(error.max()) - np.sqrt(error.min()) < MOTION_RAD:
            continue
        found.append(_lowest(np.asarray(candidates_s, float), error))
        residuals.append(error.min())
    residual = float(np.sqrt(np.mean(residuals))) if residuals else float("nan")
    return Response(np.array(found), residual, len(found), count)


def _lowest(x: np.ndarray, y: np.ndarray) -> float:
    """Return where a sampled curve is lowest."""
    index = int(np.argmin(y))
    if index in (0, len(x) - 1):
        return float(x[index])
    left, middle, right = y[index - 1 : index + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
    return float(x[index] + shift * (x[1] - x[0]))
