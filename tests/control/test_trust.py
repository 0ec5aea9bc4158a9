import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.control.trust import Trust, TrustLimits, follow

LIMITS = TrustLimits()
TOOL = np.array([0.4, 0.0, 0.2])


def run(gaps):
    trust = Trust()
    found = []
    for gap in gaps:
        trust = follow(trust, TOOL + np.array([gap, 0.0, 0.0]), TOOL, LIMITS)
        found.append(trust)
    return found


def test_a_good_estimate_moves_at_full_speed_and_a_lost_one_stops_and_ends_the_loop():
    assert [t.factor for t in run([0.02] * 5)] == [1.0] * 5
    lost = run([0.5] * LIMITS.patience)
    assert lost[0].factor == 0.0 and lost[-1].lost(LIMITS) and not lost[-2].lost(LIMITS)


def test_one_bad_frame_slows_but_does_not_stop_and_motion_returns():
    found = run([0.02] * 5 + [0.3] + [0.02] * 12)
    assert 0.0 < found[5].factor < 1.0
    assert found[-1].factor == 1.0 and found[-1].stopped == 0


def test_after_a_long_time_of_nonsense_trust_returns_within_a_second():
    trust = Trust()
    for _ in range(1000):
        trust = follow(trust, np.full(3, np.nan), TOOL, LIMITS)
    assert trust.factor == 0.0
    steps = 0
    while trust.factor < 1.0:
        trust, steps = follow(trust, TOOL, TOOL, LIMITS), steps + 1
    assert steps <= 20


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_the_factor_is_a_factor_and_shrinks_with_the_gap(gaps):
    for trust in run(gaps):
        assert 0.0 <= trust.factor <= 1.0
        assert (trust.factor == 0.0) == (trust.gap_m >= LIMITS.stop_m)


@pytest.mark.parametrize("change", [{"slow_m": 0.2}, {"memory": 1.0}, {"patience": 0}, {"slow_m": 0.0}])
def test_limits_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError, match="trust"):
        TrustLimits(**change)
