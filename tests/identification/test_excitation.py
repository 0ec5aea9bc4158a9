"""Excitation keeps to its amplitude and speed, begins and ends at home, and joints do not move alike."""

import numpy as np
import pytest

from s2rctl.identification.excitation import Excitation, all_rounds

WANTED = Excitation(amplitude=0.3, speed=0.8, low_hz=0.1, high_hz=3.0, seconds=8.0, rest=0.5, rounds=4)
PERIOD = 0.05


@pytest.mark.parametrize("seed", range(5))
def test_rounds_stay_within_amplitude_and_speed(seed):
    for way in all_rounds(WANTED, 6, PERIOD, seed):
        assert np.abs(way).max() <= WANTED.amplitude + 1e-12
        assert np.abs(np.diff(way, axis=0)).max() <= WANTED.speed * PERIOD
        np.testing.assert_allclose(way[0], 0.0, atol=1e-12)
        np.testing.assert_allclose(way[-1], 0.0, atol=1e-12)


def test_joints_move_differently():
    for way in all_rounds(WANTED, 6, PERIOD, 0):
        alike = np.abs(np.corrcoef(way.T)) - np.eye(6)
        assert alike.max() < 0.9


def test_a_seed_gives_the_same_rounds_again():
    first, again = (all_rounds(WANTED, 3, PERIOD, 5) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
