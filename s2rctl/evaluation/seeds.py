"""Statistics over training seeds: a claim about a method, not about one policy that it happened to give.

An interval over episodes says how well one policy does; another seed gives another policy. What is asked of a method is
the mean over seeds, and seeds are what is drawn anew.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

LEAST = 3
"""Seeds below which no interval is given: two values say nothing of how far a third would lie."""
_DRAWS = 20_000
_ENUMERATED = 6
"""Seeds up to which all resamples (46,656) are gone through instead of drawn."""
_SIGNS = 16
"""Seeds up to which all changes of sign (65,536) are gone through instead of drawn."""


class OverSeeds(NamedTuple):
    """The mean of a figure over seeds; the interval is None with fewer seeds than can give one."""

    seeds: int
    mean: float
    spread: float  # standard deviation between seeds; 0 for one seed
    low: float | None  # 95 % interval of the mean, by bootstrap over seeds
    high: float | None


class PairedSeeds(NamedTuple):
    """A figure under two settings for the same seeds: first minus second."""

    seeds: tuple[int, ...]
    difference: float
    low: float | None  # 95 % interval of the difference, by bootstrap over seeds
    high: float | None
    p_value: float  # exact sign-flip test, two-sided


def over_seeds(values: Sequence[float], confidence: float = 0.95) -> OverSeeds:
    """Return the mean of one value per seed with its bootstrap interval; ValueError without values.

    Percentiles of the plain bootstrap are too narrow for few values. These are widened to what Student's t asks for
    ("expanded percentile", Hesterberg, The American Statistician 69, 2015). No bootstrap leaves the range of its
    values, so that n seeds cover the truth in at most 1 - 2^(1-n) of all cases: 75 % with three, 94 % with five.
    """
    if not values:
        raise ValueError("values of at least one seed are needed")
    data = np.asarray(values, float)
    n = len(data)
    mean = float(data.mean())
    spread = float(data.std(ddof=1)) if n > 1 else 0.0
    if n < LEAST:
        return OverSeeds(n, mean, spread, None, None)
    tail = _expanded_tail(n, confidence)
    low, high = np.quantile(_resampled_means(data), [tail, 1 - tail])
    return OverSeeds(n, mean, spread, float(low), float(high))


def _expanded_tail(n: int, confidence: float) -> float:
    from scipy.stats import norm, t

    quantile = t.ppf((1 - confidence) / 2, n - 1)
    return float(norm.cdf(math.sqrt(n / (n - 1)) * quantile))


def _resampled_means(data: np.ndarray) -> np.ndarray:
    """Return the means of samples with replacement (K,): all of them where they are few, else drawn."""
    n = len(data)
    if n <= _ENUMERATED:
        rows = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        rows = np.random.default_rng(n).integers(0, n, (_DRAWS, n))
    means: np.ndarray = data[rows].mean(axis=1)
    return means


def paired_over_seeds(first: Mapping[int, float], second: Mapping[int, float]) -> PairedSeeds | None:
    """Return how a figure (seed -> value) differs between two settings over the seeds that both have; None without any.

    The same seed draws the same starts and worlds, so that what it does to both cancels.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    differences = [first[seed] - second[seed] for seed in shared]
    found = over_seeds(differences)
    return PairedSeeds(tuple(shared), found.mean, found.low, found.high, sign_flip(differences))


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p-value that paired differences are symmetric about zero (Fisher's randomisation test).

    With n pairs it is at least 2^(1-n): three seeds cannot show more than 0.25, five 0.06, six 0.03.
    """
    data = np.asarray(differences, float)
    n = len(data)
    if n <= _SIGNS:
        signs = 1.0 - 2.0 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)
        drawn = 0
    else:
        signs = np.random.default_rng(n).choice([-1.0, 1.0], (_DRAWS, n))
        drawn = 1  # the differences as they are count among the draws
    sums = np.abs(signs @ data)
    least = abs(float(data.sum())) * (1 - 1e-12)
    return float((np.count_nonzero(sums >= least) + drawn) / (len(sums) + drawn))
