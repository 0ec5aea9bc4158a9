"""Finds the parameters that make a simulated arm move as a recorded one did, and how sure that is.

First an identifiability check: a parameter whose deviation the recording would not halve is left at its prior. The
others are found by least squares (mujoco.sysid) over all readings, the prior among them, with Huber's loss. What was
left alone is not taken for known: its prior's uncertainty goes into the covariance of the others ("consider"
parameters, Schmidt 1966). Residuals of one joint that follow one another are alike; the covariance is widened by
their integrated autocorrelation.
"""

import contextlib
import importlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from s2rctl.identification.bench import Bench
from s2rctl.identification.parameters import KINDS, Space
from s2rctl.identification.trace import Trace

TOLD = 0.5
"""A parameter is told by a recording that leaves less than this part of its prior deviation."""
NOISE_RAD = 5e-4
"""Deviation of a reading before anything is known: a tick of a 12-bit encoder over the root of 12 is 4.4e-4."""
_LEAST_NOISE_RAD = 2e-5
_LONG_STEP = 1e-2
_STEPS = (1e-3, -1e-3, _LONG_STEP)
"""Finite differences, in deviations of the prior, of whose slopes the median counts: where a stiff joint sticks and
slips, single readings jump by milliradians at a change of nothing, and a slope across such a jump says nothing."""
_OFF_BOUND = 0.05
_HUBER = 3.0
_ROUNDS = 3
_ITERATIONS = 20
_LONGEST_LAG = 40
Z95 = 1.959964
"""Half width of the interval that holds 95 % of a normal distribution, in deviations."""


@dataclass(frozen=True)
class Solution:
    """What was found. ``values``, ``covariance`` and ``told`` are of all P parameters, in SI units."""

    space: Space
    values: np.ndarray  # (P,)
    covariance: np.ndarray  # (P, P)
    told: np.ndarray  # (P,) whether the recording tells the parameter; the others are at their prior
    shrink: np.ndarray  # (P,) deviation after over deviation before
    noise: np.ndarray  # (j,) rad, root mean square of what remains, joint by joint
    inflation: np.ndarray  # (j,) by which neighbouring residuals that are alike widen the variance
    readings: int

    @property
    def sigma(self) -> np.ndarray:
        """Standard deviations (P,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends (P,) of the 95 % intervals, cut where values make no sense."""
        half = Z95 * self.sigma
        return np.maximum(self.values - half, self.space.least), self.values + half


class Problem:
    """Readings to be explained, and what explains them."""

    def __init__(self, bench: Bench, traces: Sequence[Trace]) -> None:
        self.bench, self.traces, self.space = bench, tuple(traces), bench.space
        self.measured = np.concatenate([trace.joints[trace.used] for trace in traces])  # (N, j)
        arms = bench.specification.arms
        self._arms = np.array([next(n for n, arm in enumerate(arms) if name.startswith(arm)) for name in bench.joints])

    def readings(self, sets: np.ndarray) -> np.ndarray:
        """Return what arms with scaled parameters (k, P) would have read, (k, N, j)."""
        values = self.space.values(np.asarray(sets, float).T).T
        return np.concatenate([self.bench.play(values, trace)[:, trace.used] for trace in self.traces], axis=1)

    def slopes(self, scaled: np.ndarray, columns: np.ndarray, read: np.ndarray) -> np.ndarray:
        """Return derivatives (N, j, c) by some of the parameters where ``read`` (N, j) is read, good for a step."""
        return self._differences(scaled, columns, read, (_LONG_STEP,))[0]

    def jacobian(self, scaled: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what is read (N, j) at scaled parameters (P,) and its derivatives (N, j, c) by some of them."""
        read = self.readings(scaled[None])[0]
        return read, np.median(self._differences(scaled, columns, read, _STEPS), axis=0)

    def _differences(
        self, scaled: np.ndarray, columns: np.ndarray, read: np.ndarray, steps: Sequence[float]
    ) -> np.ndarray:
        """Return difference quotients (s, N, j, c) by parameters, with each of some steps; at a bound the other way.

        Arms do not feel each other: parameters of several arms are changed at once, each counts for its own arm's
        joints.
        """
        low, high = self.space.bounds
        groups = self._groups(columns)
        sets, sizes = [], []
        for step in steps:
            wanted = scaled[columns] + step
            inside = (wanted <= high[columns]) & (wanted >= low[columns])
            size = np.where(inside, step, -step)
            sizes.append(size)
            for group in groups:
                one = scaled.copy()
                one[columns[group]] += size[group]
                sets.append(one)
        changes = (self.readings(np.stack(sets)) - read).reshape(len(steps), len(groups), *read.shape)
        found = np.zeros((len(steps), *read.shape, len(columns)))
        for number, group in enumerate(groups):
            for place in group:
                touched = self._touches(int(columns[place]))
                for row, size in enumerate(sizes):
                    found[row][:, touched, place] = changes[row, number][:, touched] / size[place]
        return found

    def _groups(self, columns: np.ndarray) -> list[np.ndarray]:
        """Return places in ``columns`` that may be changed together: one of each arm, or one that all arms feel."""
        lists: dict[int, list[int]] = {}
        for place, column in enumerate(columns):
            arm = self._arms[int(column) // len(KINDS)] if int(column) < len(self.space) - 1 else -1
            lists.setdefault(arm, []).append(place)
        shared = [np.array([place]) for place in lists.pop(-1, [])]
        rows = zip_longest(*lists.values())
        return [*(np.array([place for place in row if place is not None]) for row in rows), *shared]

    def _touches(self, column: int) -> np.ndarray:
        """Return which joints (j,) a parameter can move."""
        if column == len(self.space) - 1:
            return np.ones(len(self._arms), bool)
        return np.asarray(self._arms == self._arms[column // len(KINDS)])


def identifiable(derivatives: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which parameters (P,) are told, and the part of their prior deviations that is left (P,).

    ``derivatives`` (N, j, P) are by scaled parameters, ``weights`` (j,) are 1 over the variance of a reading. All are
    judged together, each with the others as uncertain as the recording leaves them.
    """
    size = derivatives.shape[-1]
    information = np.einsum("njp,j,njq->pq", derivatives, weights, derivatives)
    posterior = np.linalg.inv(information + np.eye(size))
    shrink = np.sqrt(np.diag(posterior))
    return shrink < TOLD, shrink


def solve(bench: Bench, traces: Sequence[Trace]) -> Solution:
    """Return the parameters of the arm that made these traces."""
    problem = Problem(bench, traces)
    space = problem.space
    every = np.arange(len(space))
    lengths = [int(trace.used.sum()) for trace in problem.traces]
    noise = np.full(problem.measured.shape[1], NOISE_RAD)
    inflation = np.ones_like(noise)
    _, derivatives = problem.jacobian(np.zeros(len(space)), every)
    told, shrink = identifiable(derivatives, 1.0 / noise**2)
    # from far away all residuals are outliers: first plain least squares, then Huber's loss by what is left
    scaled = _fitted(problem, np.zeros(len(space)), np.flatnonzero(told), noise, "linear")
    for number in range(_ROUNDS + 1):
        read, derivatives = problem.jacobian(scaled, every)
        residuals, before = problem.measured - read, noise * np.sqrt(inflation)
        noise = np.maximum(_deviation(residuals), _LEAST_NOISE_RAD)
        inflation = _inflation(residuals, lengths)
        still, shrink = identifiable(derivatives, 1.0 / (noise**2 * inflation))
        settled = np.array_equal(told, still) and np.allclose(noise * np.sqrt(inflation), before, rtol=0.1)
        if settled or number == _ROUNDS:
            break
        told = still
        scaled = np.where(told, scaled, 0.0)
        scaled = _fitted(problem, scaled, np.flatnonzero(told), noise * np.sqrt(inflation), "huber")
    covariance = _covariance(derivatives, told, 1.0 / (noise**2 * inflation))
    scale = np.outer(space.sigma, space.sigma)
    values = space.values(np.where(told, scaled, 0.0))
    return Solution(space, values, covariance * scale, told, shrink, noise, inflation, problem.measured.size)


class _Residual:
    """Whitened residuals as mujoco.sysid asks for them: of one vector, or of many around it for a Jacobian."""

    def __init__(self, problem: Problem, begin: np.ndarray, free: np.ndarray, noise: np.ndarray) -> None:
        self._problem, self._begin, self._free, self._noise = problem, begin, free, noise
        self._last = (begin[free], problem.measured, np.zeros(0))

    def __call__(self, x: np.ndarray, _: object) -> tuple[list[np.ndarray], None, None]:
        """Return the residuals (r,) at ``x`` (c,), or (r, k) at vectors (c, k) that each differ in one element."""
        return (
            [self._many(np.asarray(x)) if np.ndim(x) == 2 and np.shape(x)[1] > 1 else self._one(np.asarray(x))],
            None,
            None,
        )

    def _one(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(-1)
        whole = self._begin.copy()
        whole[self._free] = flat
        read = self._problem.readings(whole[None])[0]
        errors = (read - self._problem.measured) / self._noise
        rows = np.concatenate([errors.reshape(-1), flat])
        self._last = (flat.copy(), read, rows)
        return rows if x.ndim == 1 else rows[:, None]

    def _many(self, x: np.ndarray) -> np.ndarray:
        """Return what the slopes at the last single vector say of vectors near it."""
        base, read, rows = self._last
        whole = self._begin.copy()
        whole[self._free] = base
        slopes = self._problem.slopes(whole, self._free, read)
        white = (slopes / self._noise[:, None]).reshape(-1, len(base))
        return rows[:, None] + np.concatenate([white, np.eye(len(base))]) @ (x - base[:, None])


def _fitted(problem: Problem, begin: np.ndarray, free: np.ndarray, noise: np.ndarray, loss: str) -> np.ndarray:
    """Return the scaled parameters (P,) with the ``free`` ones at their most probable values."""
    sysid = importlib.import_module("mujoco.sysid")  # typed inside an untyped package: an import would confuse mypy
    if not len(free):
        return begin
    low, high = (bound[free] for bound in problem.space.bounds)
    start = np.clip(begin[free], low + _OFF_BOUND, high - _OFF_BOUND)  # on a bound the solver's steps vanish
    wanted = sysid.ParameterDict({
        problem.space.names[number]: sysid.Parameter(problem.space.names[number], value, least, most)
        for number, value, least, most in zip(free, start, low, high, strict=True)
    })  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):  # it prints every iteration
        _, result = sysid.optimize(
            wanted,
            _Residual(problem, begin, free, noise),
            optimizer="scipy_parallel_fd",
            verbose=False,
            loss=loss,
            f_scale=_HUBER,
            max_iters=_ITERATIONS,
            xtol=1e-3,
            ftol=1e-4,
            x_scale="jac",
        )
    found = begin.copy()
    found[free] = result.x
    return found


def _covariance(derivatives: np.ndarray, told: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the covariance (P, P) of scaled parameters, those that are not told at their prior and considered."""
    size = derivatives.shape[-1]
    information = np.einsum("njp,j,njq->pq", derivatives, weights, derivatives)
    free, rest = np.flatnonzero(told), np.flatnonzero(~told)
    covariance = np.eye(size)
    own = np.linalg.inv(information[np.ix_(free, free)] + np.eye(len(free)))
    sensitivity = -own @ information[np.ix_(free, rest)]
    covariance[np.ix_(free, free)] = own + sensitivity @ sensitivity.T
    covariance[np.ix_(free, rest)], covariance[np.ix_(rest, free)] = sensitivity, sensitivity.T
    return covariance


def _deviation(residuals: np.ndarray) -> np.ndarray:
    """Return deviations (j,) of residuals (N, j): the root mean square of those within Huber's bend."""
    rough = 1.4826 * np.median(np.abs(residuals), axis=0)
    cut = np.minimum(np.abs(residuals), _HUBER * np.maximum(rough, _LEAST_NOISE_RAD))
    return np.sqrt(np.mean(cut**2, axis=0))


def _inflation(residuals: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Return 1 + 2 sum of autocorrelations (j,) up to the first that is not positive, at least 1, over all traces."""
    found = np.ones(residuals.shape[1])
    ends = np.cumsum(lengths)
    parts = [residuals[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    for joint in range(len(found)):
        power = sum(float(part[:, joint] @ part[:, joint]) for part in parts)
        total = 0.0
        for lag in range(1, _LONGEST_LAG):
            shared = sum(float(part[lag:, joint] @ part[:-lag, joint]) for part in parts)
            correlation = shared / max(power, 1e-30)
            if correlation <= 0.0:
                break
            total += correlation
        found[joint] = max(1.0 + 2.0 * total, 1.0)
    return found
