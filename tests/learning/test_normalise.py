import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.learning.teacher import normalise


def seen(batches, weights=None):
    statistics = normalise.start(batches[0].shape[-1])
    for index, batch in enumerate(batches):
        weight = jnp.ones(batch.shape[:-1]) if weights is None else weights[index]
        statistics = normalise.update(statistics, jnp.asarray(batch), weight)
    return statistics


def test_mean_and_spread_of_all_batches():
    rng = np.random.default_rng(0)
    batches = [rng.normal(3.0, 2.0, (4, 25, 3)).astype(np.float32) for _ in range(5)]
    statistics = seen(batches)
    everything = np.concatenate([b.reshape(-1, 3) for b in batches])
    np.testing.assert_allclose(statistics.mean, everything.mean(0), rtol=1e-4)
    np.testing.assert_allclose(statistics.std, everything.std(0), rtol=1e-3)
    result = normalise.normalise(normalise.published(statistics), jnp.asarray(everything))
    np.testing.assert_allclose(np.asarray(result).std(0), 1.0, rtol=1e-2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_do_not_count(bad):
    rng = np.random.default_rng(0)
    good = rng.normal(size=(50, 3)).astype(np.float32)
    broken = good[:5].copy()
    broken[:, 1] = bad
    with_broken, without = seen([np.concatenate([good, broken])]), seen([good])
    np.testing.assert_allclose(with_broken.mean, without.mean, atol=1e-6)
    np.testing.assert_allclose(with_broken.std, without.std, rtol=1e-5)


def test_huge_values_are_cut():
    batch = np.zeros((1000, 2), np.float32)
    batch[0, 0] = 1e30
    statistics = seen([batch])
    assert statistics.mean[0] <= normalise.LARGEST / 1000 * 1.001
    assert np.isfinite(statistics.std).all()


def test_rows_of_weight_zero_do_not_count():
    batch = np.stack([np.full((10, 2), 1.0), np.full((10, 2), 500.0)]).astype(np.float32)
    weights = jnp.stack([jnp.ones(10), jnp.zeros(10)])
    np.testing.assert_allclose(seen([batch], [weights]).mean, 1.0, rtol=1e-6)


def test_nothing_to_count_changes_nothing():
    statistics = normalise.start(2)
    after = jax.jit(normalise.update)(statistics, jnp.full((4, 2), 7.0), jnp.zeros(4))
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(statistics), strict=True):
        np.testing.assert_array_equal(new, old)


def test_an_entry_that_never_varies_is_not_blown_up():
    statistics = seen([np.ones((100, 1), np.float32)])
    result = normalise.normalise(normalise.published(statistics), jnp.array([[1.001]]))
    assert abs(float(result[0, 0])) <= 1.1


def test_a_fault_stays_visible_to_who_looks_at_the_action():
    result = normalise.normalise(normalise.published(normalise.start(1)), jnp.array([[jnp.nan], [1e9]]))
    assert np.isnan(result[0, 0]) and result[1, 0] == normalise.LARGEST_NORMALISED
