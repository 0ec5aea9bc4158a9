"""Statistics over seeds, against their definitions and by how often they cover the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.evaluation.seeds import over_seeds, paired_over_seeds, sign_flip

VALUES = st.lists(st.floats(0, 1), min_size=3, max_size=9)


@settings(deadline=None, max_examples=40)
@given(VALUES)
def test_interval_holds_the_mean_and_stays_within_the_values(values):
    found = over_seeds(values)
    assert found.seeds == len(values) and found.mean == pytest.approx(np.mean(values))
    assert (
        min(values) - 1e-9 <= found.low <= found.mean + 1e-9 and found.mean - 1e-9 <= found.high <= max(values) + 1e-9
    )


def test_few_seeds_give_no_interval_and_three_give_their_range():
    assert over_seeds([0.5])[1:] == (0.5, 0.0, None, None)
    assert over_seeds([0.4, 0.6]).low is None
    three = over_seeds([0.4, 0.9, 0.6])
    assert (three.low, three.high) == pytest.approx((0.4, 0.9), abs=1e-3)
    with pytest.raises(ValueError, match="at least one"):
        over_seeds([])


def test_the_same_values_give_the_same_interval():
    values = list(np.random.default_rng(3).random(12))
    assert over_seeds(values) == over_seeds(values)


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.88), (8, 0.92), (16, 0.92)])
def test_interval_covers_the_truth_as_often_as_it_says(seeds, least):
    generator = np.random.default_rng(seeds)
    hits = [
        found.low <= 0.7 <= found.high
        for found in (over_seeds(list(generator.normal(0.7, 0.1, seeds))) for _ in range(250))
    ]
    assert least <= np.mean(hits) <= 0.99


def test_pairing_takes_out_what_a_seed_does_to_both():
    generator = np.random.default_rng(0)
    luck = {seed: float(generator.normal(0, 0.2)) for seed in range(8)}
    first = {seed: 0.5 + value for seed, value in luck.items()}
    second = {seed: 0.4 + value + float(generator.normal(0, 0.01)) for seed, value in luck.items()}
    found = paired_over_seeds(first, second | {99: 0.0})
    assert found.seeds == tuple(range(8)) and 0.05 < found.low < found.difference < found.high < 0.15
    assert found.p_value == pytest.approx(2 / 2**8), "all eight agree"
    apart = over_seeds(list(first.values()))
    assert apart.high - apart.low > 5 * (found.high - found.low)
    assert paired_over_seeds({1: 0.5}, {2: 0.5}) is None


def test_sign_flip_is_exact_and_symmetric():
    assert sign_flip([1.0, 2.0, 3.0]) == 2 / 8
    assert sign_flip([1.0, -1.0]) == 1.0 and sign_flip([0.0, 0.0]) == 1.0
    many = list(np.random.default_rng(1).normal(0.5, 1, 20))
    assert sign_flip(many) == sign_flip([-value for value in many]) < 0.2
