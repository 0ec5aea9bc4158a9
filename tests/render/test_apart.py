import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.render.apart import apart

VALUES = jnp.array([[0.0, -3.5, jnp.inf], [1e30, 2.0, -jnp.inf]])


def test_values_stay_what_they_are():
    for function in (apart, jax.jit(apart), jax.vmap(apart), jax.jit(jax.vmap(apart))):
        np.testing.assert_array_equal(function(VALUES), VALUES)


def test_what_cannot_be_compared_stays_too():
    odd = jnp.array([jnp.nan, 1.0])
    np.testing.assert_array_equal(jax.jit(apart)(odd), odd)


def test_a_chain_of_passes_compiles_into_one_loop_for_each():
    def near(values):
        wide = jnp.pad(values, 1)
        return wide[:-2] + wide[1:-1] + wide[2:]

    def fused(values):
        return near(near(near(values)))

    def kept_apart(values):
        return near(apart(near(apart(near(values)))))

    values = jnp.arange(4096, dtype=jnp.float32)
    work = [jax.jit(function).lower(values).compile().cost_analysis()["flops"] for function in (fused, kept_apart)]
    assert work[1] < 0.7 * work[0]
    np.testing.assert_allclose(jax.jit(kept_apart)(values), fused(values))
