import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.env import corrupt
from s2rctl.schema.simulation import Delays

ZIPF = (0.83, 0.104, 0.02, 0.014)


def chi_square(counts, weights):
    expected = np.sum(counts) * np.asarray(weights) / np.sum(weights)
    return float(np.sum((counts - expected) ** 2 / expected))


@pytest.mark.parametrize("weights", [ZIPF, (1, 1, 1, 1), (0, 1, 3), (5.0,)])
def test_delays_follow_their_weights(weights):
    drawn = np.asarray(corrupt.draw_delay(jax.random.key(0), weights, 20_000))
    counts = np.bincount(drawn, minlength=len(weights))
    used = np.asarray(weights) > 0
    assert counts[~used].sum() == 0
    assert len(counts) == len(weights)
    # 16.3 is the 0.1 % point of chi square with three degrees of freedom.
    assert chi_square(counts[used], np.asarray(weights)[used]) < 16.3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda w: sum(w) > 0.1), st.integers(0, 99))
def test_delays_stay_inside_the_history(weights, seed):
    drawn = np.asarray(corrupt.draw_delay(jax.random.key(seed), tuple(weights), 64))
    assert drawn.min() >= 0
    assert drawn.max() < len(weights)


def test_joints_and_grippers_lag_separately():
    delays = Delays(joint_action=(0, 1), gripper_action=(0, 0, 0, 1))
    length = corrupt.action_history_length(delays)
    assert length == 4
    history = jnp.zeros((5, length, 3))
    for step in range(10):
        history = corrupt.push(history, jnp.full((5, 3), float(step)))
    applied = corrupt.delayed_action(jax.random.key(0), history, delays, (1,))
    np.testing.assert_array_equal(applied, np.tile([8.0, 6.0, 8.0], (5, 1)))


def test_without_delay_the_newest_action_is_applied():
    history = corrupt.push(jnp.zeros((4, 1, 2)), jnp.arange(8.0).reshape(4, 2))
    np.testing.assert_array_equal(corrupt.delayed_action(jax.random.key(0), history, Delays(), (1,)), history[:, 0])


def test_what_is_measured_is_late_and_what_is_known_is_not():
    now = {"joint_pos": jnp.full((3, 2), 9.0), "joint_target": jnp.full((3, 2), 9.0), "rgb_eye": jnp.full((3, 2, 2), 9)}
    history = tuple(corrupt.measured({name: value - age for name, value in now.items()}) for age in (1, 2))
    assert set(history[0]) == {"joint_pos", "rgb_eye"}
    seen = corrupt.delayed_inputs(now, history, jnp.array([0, 1, 2]))
    np.testing.assert_array_equal(seen["joint_pos"][:, 0], [9, 8, 7])
    np.testing.assert_array_equal(seen["rgb_eye"][:, 1, 1], [9, 8, 7])
    np.testing.assert_array_equal(seen["joint_target"], now["joint_target"])
