"""How well parameters foresee the part of a recording that no solution saw: one step ahead, and all the way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2rctl.identification.bench import Bench
from s2rctl.identification.trace import Trace

MOST_STEPS = 200
"""Readings of one trace from which one step is foreseen."""


@dataclass(frozen=True)
class Errors:
    """Root mean square differences from the readings, rad, joint by joint (j,)."""

    open_loop: np.ndarray  # simulated from the beginning of the trace with nothing but the commands
    one_step: np.ndarray  # from each reading to the next

    @property
    def total(self) -> float:
        """Of all joints together, all the way."""
        return float(np.sqrt(np.mean(self.open_loop**2)))


def errors_of(bench: Bench, values: np.ndarray, traces: Sequence[Trace]) -> Errors:
    """Return the errors of parameters (P,) on the held-out readings of traces."""
    ways, steps = [], []
    for trace in traces:
        judged = trace.judged
        if not judged.any():
            continue
        ways.append((foreseen(bench, values, trace) - trace.joints)[judged])
        begins = np.flatnonzero(judged)[:-1]
        begins = begins[:: max(1, len(begins) // MOST_STEPS)]
        period = float(np.median(np.diff(trace.seen)))
        steps.append(bench.ahead(values, trace, begins, period) - trace.joints[begins + 1])
    return Errors(_rms(np.concatenate(ways)), _rms(np.concatenate(steps)))


def foreseen(bench: Bench, values: np.ndarray, trace: Trace) -> np.ndarray:
    """Return the readings (M, j) of an arm with parameters (P,) that gets nothing but a trace's commands."""
    return bench.play(values[None], trace)[0]


def _rms(rows: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.mean(np.square(rows), axis=0)))
