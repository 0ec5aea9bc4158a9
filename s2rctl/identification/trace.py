"""What a recording says of a robot's motion: commands that went out, readings that came back, and their times."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

SETTLING_S = 0.3
"""Beginning of a trace that is not compared: where exactly the arm rested is known no better than one reading."""
HELD_SHARE = 0.25
"""Part of the readings that no solution sees."""


@dataclass(frozen=True)
class Trace:
    """A stretch of motion that begins at rest. Times are s since then; joints are the identified ones, j of them."""

    name: str
    start: np.ndarray  # (n,) reading of all joints at rest, rad (fingers m)
    times: np.ndarray  # (K,) s, when each set of actuator targets left the loop
    targets: np.ndarray  # (K, j) rad, what the joints were told; held until the next
    seen: np.ndarray  # (M,) s, when each reading was taken, as the driver says
    joints: np.ndarray  # (M, j) rad, readings
    held: np.ndarray  # (M,) whether a reading is kept for the check

    @property
    def used(self) -> np.ndarray:
        """Which readings (M,) a solution is made from."""
        return ~self.held & (self.seen >= SETTLING_S)

    @property
    def judged(self) -> np.ndarray:
        """Which readings (M,) a solution is checked against."""
        return self.held & (self.seen >= SETTLING_S)

    @property
    def seconds(self) -> float:
        """Length, s."""
        return float(self.seen[-1])


def hold_out(traces: Sequence[Trace]) -> tuple[Trace, ...]:
    """Return traces with a part kept for the check: the last of three or more, else the last quarter of each."""
    if len(traces) >= 3:
        held = [replace(trace, held=np.zeros(len(trace.seen), bool)) for trace in traces[:-1]]
        return (*held, replace(traces[-1], held=np.ones(len(traces[-1].seen), bool)))
    return tuple(replace(trace, held=trace.seen > (1.0 - HELD_SHARE) * trace.seconds) for trace in traces)


def averaged(times: np.ndarray, values: np.ndarray, edges: np.ndarray, delay: float) -> np.ndarray:
    """Return the mean (S, j) of held values (K, j) over each interval between ``edges`` (S + 1,) s, ``delay`` s later.

    A command that comes within a physics step counts for its part of the step, so that what follows is smooth in the
    delay. Before the first command its value holds.
    """
    lengths = np.diff(times, append=np.inf)
    lengths[-1] = max(float(edges[-1]) - float(times[-1]), 0.0) + 1.0
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values * lengths[:, None], axis=0)])
    knots = np.concatenate([times, times[-1:] + lengths[-1]])
    at = np.asarray(edges, float) - delay
    before = np.minimum(at - times[0], 0.0)[:, None] * values[0]
    inside = np.clip(at, knots[0], knots[-1])
    integral = np.stack([np.interp(inside, knots, column) for column in sums.T], axis=1) + before
    return np.diff(integral, axis=0) / np.diff(np.asarray(edges, float))[:, None]
