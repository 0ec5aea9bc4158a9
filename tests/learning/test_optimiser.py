import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from s2rctl.learning.optimiser import VECTOR_RATE, make_optimiser

PARAMS = {"kernel": jnp.eye(4, 3), "bias": jnp.ones(3)}
GRADIENT = {"kernel": jnp.diag(jnp.array([1.0, 0.1, 0.01, 0.0]))[:, :3] + 1e-3, "bias": jnp.array([1.0, -2.0, 3.0])}


def changes(name, steps=1, **settings):
    optimiser = make_optimiser(name, 0.1, 10, final=0.1, **settings)

    def step(carry, _):
        params, state = carry
        change, state = optimiser.update(GRADIENT, state, params)
        return (optax.apply_updates(params, change), state), change

    (params, _), found = jax.jit(lambda: jax.lax.scan(step, (PARAMS, optimiser.init(PARAMS)), None, steps))()
    return [jax.tree.map(lambda leaf, n=n: leaf[n], found) for n in range(steps)], params


def test_muon_moves_every_direction_of_a_matrix_alike_and_all_vectors_entries_too():
    change = changes("muon")[0][0]
    spread = np.linalg.svd(GRADIENT["kernel"], compute_uv=False)
    values = np.linalg.svd(change["kernel"], compute_uv=False)
    assert spread.max() / spread.min() > 50
    assert values.max() / values.min() < 3  # five Newton-Schulz steps bring all of them near 1
    assert float(jnp.sum(change["kernel"] * GRADIENT["kernel"])) < 0  # downhill
    assert np.ptp(np.abs(change["bias"])) < 1e-6 and np.all(np.sign(change["bias"]) == -np.sign(GRADIENT["bias"]))


@pytest.mark.parametrize(("name", "share"), [("adam", 1.0), ("muon", VECTOR_RATE)])
def test_the_rate_falls_to_its_final_share(name, share):
    # A constant gradient's step has the length of the rate.
    found, _ = changes(name, steps=11)
    assert float(jnp.abs(found[10]["bias"]).mean()) == pytest.approx(0.1 * 0.1 * share, rel=0.02)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_decay_keeps_weights_from_growing_without_end(name):
    free = changes(name, steps=400)[1]["kernel"]
    held = changes(name, steps=400, weight_decay=0.5)[1]["kernel"]
    assert np.linalg.norm(held) < 0.7 * np.linalg.norm(free)
