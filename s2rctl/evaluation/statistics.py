"""Statistics of success: a rate is never quoted without its interval."""

import math
from statistics import NormalDist


def wilson(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a success probability (Wilson, JASA 22, 1927).

    Unlike the normal approximation it keeps its coverage near 0 and 1, where good policies live.
    Raises ValueError unless 0 <= successes <= episodes and episodes > 0.
    """
    if episodes <= 0 or not 0 <= successes <= episodes:
        raise ValueError(f"need 0 <= successes <= episodes and episodes > 0 (got {successes}/{episodes})")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / episodes
    scale = 1 + z * z / episodes
    centre = (rate + z * z / (2 * episodes)) / scale
    half = z * math.sqrt(rate * (1 - rate) / episodes + z * z / (4 * episodes * episodes)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == episodes else min(1.0, centre + half)
    return low, high


def format_rate(successes: int, episodes: int, confidence: float = 0.95) -> str:
    """Return ``92/100 [85.0, 95.9]``: counts and the Wilson interval in per cent."""
    low, high = wilson(successes, episodes, confidence)
    return f"{successes}/{episodes} [{100 * low:.1f}, {100 * high:.1f}]"


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
    tail = sum(math.comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**discordant)


def percentile(values: list[float], share: float) -> float:
    """Return the linearly interpolated percentile of a non-empty list, ``share`` in [0, 1]."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
