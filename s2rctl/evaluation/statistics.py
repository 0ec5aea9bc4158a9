"""Statistics of success: a rate is never quoted without its interval.

Two intervals, each where it is the right one. Wilson's score interval is the field's usual one: the figures
``wilson_low`` and ``wilson_high`` and every gate are Wilson's. Its coverage is 95 % on average over the rates, but dips
for some: 93.5 % at a rate of 0.5 and 92.2 % at 0.98 with 50 episodes. So what is printed beside a rate, and the figures
``interval_low`` and ``interval_high``, are Clopper and Pearson's exact interval, which covers the truth in at least
95 % of all draws whatever the rate (96.7 and 98.2 % in the two cases); it is wider by a few tenths of a per cent.

SciPy is imported where it is needed: half of the command line, and the robot's, have no use for it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


def wilson(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a success probability (Wilson, JASA 22, 1927).

    Unlike the normal approximation it keeps its coverage near 0 and 1, where good policies live.
    Raises ValueError unless 0 <= successes <= episodes and episodes > 0.
    """
    _require_counts(successes, episodes)
    from scipy.stats import binomtest

    low, high = binomtest(successes, episodes).proportion_ci(confidence, "wilson")
    return float(low), float(high)


def exact(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a success probability (Clopper and Pearson, Biometrika 26, 1934).

    It never covers the truth less often than ``confidence``. Raises ValueError for the counts that ``wilson`` refuses.
    """
    _require_counts(successes, episodes)
    from scipy.special import betaincinv  # what binomtest's own finds by a search, a thousand times slower

    share, failures = (1 - confidence) / 2, episodes - successes
    low = betaincinv(successes, failures + 1, share) if successes else 0.0
    high = 1.0 - betaincinv(failures, successes + 1, share) if failures else 1.0
    return float(low), float(high)


def _require_counts(successes: int, episodes: int) -> None:
    if episodes <= 0 or not 0 <= successes <= episodes:
        raise ValueError(f"need 0 <= successes <= episodes and episodes > 0 (got {successes}/{episodes})")


def format_rate(successes: int, episodes: int, confidence: float = 0.95) -> str:
    """Return ``92/100 [84.8, 96.5]``: counts and the exact interval in per cent."""
    low, high = exact(successes, episodes, confidence)
    return f"{successes}/{episodes} [{100 * low:.1f}, {100 * high:.1f}]"


def rate(successes: int, episodes: int) -> dict[str, object]:
    """Return a success rate as figures: Wilson's interval, and the exact one, which is also that of the text."""
    (low, high), (exact_low, exact_high) = wilson(successes, episodes), exact(successes, episodes)
    return {
        "episodes": episodes,
        "successes": successes,
        "success_rate": successes / episodes,
        "wilson_low": low,
        "wilson_high": high,
        "interval_low": exact_low,
        "interval_high": exact_high,
        "text": format_rate(successes, episodes),
    }


class Paired(NamedTuple):
    """Two policies on the same episodes."""

    both: int  # episodes in which both succeeded
    only_first: int
    only_second: int
    neither: int
    statistic: float  # McNemar's chi-square with one degree of freedom and continuity correction
    p_value: float  # exact, two-sided: how likely so uneven a split is if the policies are equally good
    difference: float  # success rate of the first minus that of the second
    difference_low: float  # 95 % interval of the difference
    difference_high: float


def paired(first: list[bool], second: list[bool]) -> Paired:
    """Return the comparison of two policies' successes, episode by episode; ValueError for unequal or no episodes."""
    if len(first) != len(second) or not first:
        raise ValueError(f"pairs are needed (got {len(first)} and {len(second)} episodes)")
    pairs = Counter(zip(first, second, strict=True))
    both, neither = pairs[True, True], pairs[False, False]
    only_first, only_second = pairs[True, False], pairs[False, True]
    discordant = only_first + only_second
    statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / discordant if discordant else 0.0
    low, high = _paired_difference(both, only_first, only_second, neither)
    difference = (only_first - only_second) / len(first)
    p_value = mcnemar(only_first, only_second)
    return Paired(both, only_first, only_second, neither, statistic, p_value, difference, low, high)


def _paired_difference(both: int, only_first: int, only_second: int, neither: int) -> tuple[float, float]:
    """Return the 95 % interval of a difference of paired rates.

    Method 10 of Newcombe (Statistics in Medicine 17, 1998): it combines the Wilson intervals of the two rates and takes
    their correlation into account.
    """
    n = both + only_first + only_second + neither
    first, second = both + only_first, both + only_second
    a, b = first / n, second / n
    (a_low, a_high), (b_low, b_high) = wilson(first, n), wilson(second, n)
    margins = first * second * (n - first) * (n - second)
    covariance: float = both * neither - only_first * only_second
    if covariance > 0:
        covariance = max(covariance - n / 2, 0)
    phi = covariance / math.sqrt(margins) if margins else 0.0

    return _newcombe((a, a_low, a_high), (b, b_low, b_high), phi)


def _newcombe(first: tuple[float, float, float], second: tuple[float, float, float], phi: float) -> tuple[float, float]:
    """Return the interval of a difference of two (rate, low, high) whose outcomes correlate by ``phi``."""
    (a, a_low, a_high), (b, b_low, b_high) = first, second

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))

    return a - b - reach(a - a_low, b_high - b), a - b + reach(a_high - a, b - b_low)


class Unpaired(NamedTuple):
    """Two policies, each on episodes of its own."""

    difference: float  # success rate of the first minus that of the second
    difference_low: float  # 95 % interval of the difference
    difference_high: float
    p_value: float  # Fisher's exact test, two-sided


def unpaired(first: tuple[int, int], second: tuple[int, int]) -> Unpaired:
    """Return the comparison of two (successes, episodes); ValueError for the counts that ``wilson`` refuses.

    The interval is the hybrid score interval for independent rates (Newcombe, Statistics in Medicine 17, 1998).
    """
    from scipy.stats import fisher_exact

    for counts in (first, second):
        _require_counts(*counts)
    one, two = ((s / n, *wilson(s, n)) for s, n in (first, second))
    low, high = _newcombe(one, two, 0.0)
    table = [[successes, episodes - successes] for successes, episodes in (first, second)]
    return Unpaired(one[0] - two[0], low, high, float(fisher_exact(table).pvalue))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p-value that two policies differ, from paired episodes (McNemar 1947).

    ``only_first`` counts the pairs in which only the first policy succeeded, ``only_second`` the reverse. Pairs in
    which both succeed or both fail carry no information about the difference.
    """
    if min(only_first, only_second) < 0:
        raise ValueError("counts must not be negative")
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(min(only_first, only_second), discordant).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for how many there are, by Holm's step-down method (Scand. J. Statist. 6, 1979).

    The chance that any true null hypothesis is rejected stays below the level at which they are compared.
    """
    count, corrected, worst = len(p_values), [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (count - rank) * p_values[index]))
        corrected[index] = worst
    return corrected
