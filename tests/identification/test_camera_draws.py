"""Cameras drawn at random, whose pictures training's own functions have spoilt, are found within their intervals."""

import pytest

from benchmarks.camera import KINDS, draw, judged
from s2rctl.identification.camera.identify import identify

FRAMES = 200
SEEDS = (0, 2, 4)


@pytest.fixture(scope="module")
def rows():
    found = []
    for seed in SEEDS:
        drawn = draw(seed, FRAMES, KINDS[0])
        found += [(seed, name, *row) for name, row in judged(identify(drawn.clip, drawn.flat), drawn.truth).items()]
    return found


def test_nearly_all_intervals_hold_the_truth(rows):
    told = [row for row in rows if row[-2]]
    missed = [row for row in told if not row[-1]]
    assert len(told) >= 0.8 * len(rows)
    assert len(missed) <= 0.1 * len(told), missed


def test_intervals_say_something(rows):
    """Half of a fault's usual size at most, where it is large enough to be told apart from none."""
    for seed, name, truth, value, low, high, told, _ in rows:
        if told and name in ("pixel_noise", "disparity_constant", "vignette"):
            assert high - low < 0.5 * truth, (seed, name, truth, value, low, high)
