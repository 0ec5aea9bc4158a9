import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.evaluation.statistics import format_rate, mcnemar, percentile, wilson


def test_wilson_solves_its_defining_equation() -> None:
    # The interval's ends are the p for which |rate - p| = z sqrt(p (1 - p) / n).
    z = 1.959963984540054
    for successes, episodes in [(1, 10), (92, 100), (256, 512), (511, 512)]:
        rate = successes / episodes
        for p in wilson(successes, episodes):
            assert abs(rate - p) == pytest.approx(z * math.sqrt(p * (1 - p) / episodes), abs=1e-9)


def test_format() -> None:
    assert format_rate(92, 100) == "92/100 [85.0, 95.9]"


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_rate_and_stays_in_bounds(counts: tuple[int, int]) -> None:
    successes, episodes = counts
    low, high = wilson(successes, episodes)
    assert 0 <= low <= successes / episodes <= high <= 1
    assert low < high


def exact_coverage(rate: float, episodes: int) -> float:
    """The probability of all outcomes whose interval holds the truth."""
    k = np.arange(episodes + 1)
    log_p = np.array([math.lgamma(episodes + 1) - math.lgamma(i + 1) - math.lgamma(episodes - i + 1) for i in k])
    p = np.exp(log_p + k * math.log(rate) + (episodes - k) * math.log(1 - rate))
    covered = [low <= rate <= high for low, high in (wilson(int(i), episodes) for i in k)]
    return float(p[covered].sum())


@pytest.mark.parametrize("episodes", [50, 512])
def test_coverage(episodes: int) -> None:
    # Coverage of any interval for counts oscillates with the rate. Wilson's is 95 % on average and dips a little: at
    # n = 50 and a rate of 0.98 it is 92.2 %, the lowest of the rates that matter here.
    coverage = [exact_coverage(rate, episodes) for rate in np.linspace(0.02, 0.98, 49)]
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.005)
    assert min(coverage) > 0.92


@pytest.mark.parametrize(("successes", "episodes"), [(1, 0), (-1, 5), (6, 5)])
def test_wrong_counts_are_refused(successes: int, episodes: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, episodes)


def test_mcnemar_is_the_sign_test_of_discordant_pairs() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 / 2**6)
    assert mcnemar(1, 8) == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar(1, 8) == mcnemar(8, 1)


def test_percentile_agrees_with_numpy() -> None:
    values = list(np.random.default_rng(0).normal(size=37))
    for share in (0.0, 0.5, 0.95, 0.99, 1.0):
        assert percentile(values, share) == pytest.approx(np.quantile(values, share))
