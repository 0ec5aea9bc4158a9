"""Recordings of a robot that is known: parameters drawn at random, delays, noise and ticks, without any process.

Commands leave the loop at irregular times and take effect within a physics step; readings fall between two steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from s2rctl.identification.bench import Bench
from s2rctl.identification.parameters import KINDS
from s2rctl.identification.trace import Trace, hold_out

SPREAD = 0.4
LONGEST_S = 0.08
ZERO_DEG = 3.0
JITTER_S = 5e-4
"""Deviation of the times at which commands leave the loop."""
REST_S = 3.0
"""Time in which an arm comes to rest."""


@dataclass(frozen=True)
class Truth:
    """What a recorded arm was made with."""

    values: np.ndarray  # (P,) SI units; the delay is that of commands and readings together
    noise: float  # rad
    tick: float  # rad, step of the encoders; 0: none


def draw_values(
    bench: Bench,
    rng: np.random.Generator,
    *,
    spread: float = SPREAD,
    delay_s: tuple[float, float] = (0.0, LONGEST_S),
    zero_deg: float = ZERO_DEG,
) -> np.ndarray:
    """Return parameters (P,) within ± ``spread`` of nominal, one joint's zero up to ``zero_deg`` off, late."""
    space = bench.space
    values = space.mean.copy()
    for kind in KINDS[:4]:
        rows = space.rows(kind)
        values[rows] *= 1.0 + rng.uniform(-spread, spread, len(rows))
    zeros = space.rows("zero")
    values[zeros[rng.integers(len(zeros))]] = np.deg2rad(zero_deg) * rng.uniform(-1.0, 1.0)
    values[-1] = rng.uniform(*delay_s)
    return values


def draw(bench: Bench, rng: np.random.Generator, *, noise: float = 3e-4, tick: float = 2 * np.pi / 4096) -> Truth:
    """Return an arm that is drawn at random, with readings in the ticks of a 12-bit encoder."""
    return Truth(draw_values(bench, rng), noise, tick)


def record(
    bench: Bench,
    truth: Truth,
    rounds: Sequence[np.ndarray],
    home: np.ndarray,
    period: float,
    rng: np.random.Generator,
) -> tuple[Trace, ...]:
    """Return the traces of an arm that is told to be at ``home`` (n,) plus each round's offsets (steps, j)."""
    return hold_out([
        _recorded(bench, truth, offsets, home, period, rng, f"round {number + 1}")
        for number, offsets in enumerate(rounds)
    ])  # fmt: skip


def _recorded(
    bench: Bench,
    truth: Truth,
    offsets: np.ndarray,
    home: np.ndarray,
    period: float,
    rng: np.random.Generator,
    name: str,
) -> Trace:
    targets = home[bench.columns] + offsets
    count = len(targets)
    sent = period * np.arange(count) + np.abs(rng.normal(0.0, JITTER_S, count))
    seen = period * np.arange(1, count) + rng.uniform(-0.1, 0.1, count - 1) * period
    rest = Trace("rest", home, np.zeros(1), targets[:1], np.array([REST_S]), targets[:1], np.zeros(1, bool))
    start = home.copy()
    start[bench.columns] = bench.play(truth.values[None], rest)[0, -1]
    trace = Trace(
        name, start, sent, targets, seen, np.zeros((count - 1, len(bench.columns))), np.zeros(count - 1, bool)
    )
    read = bench.play(truth.values[None], trace)[0] + rng.normal(0.0, truth.noise, trace.joints.shape)
    tick = truth.tick
    return replace(trace, joints=tick * np.round(read / tick) if tick else read)
