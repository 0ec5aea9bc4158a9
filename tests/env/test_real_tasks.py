"""The real scenes and tasks through the environment, with random actions."""

import jax
import numpy as np
import pytest

from s2rctl.env.build import make_env
from s2rctl.env.stepping import spread
from s2rctl.schema.load import load_profile

WORLDS, STEPS = 64, 50
PROFILES = {"pick": "aloha", "insertion": "aloha", "reach": "xarm7-reach"}


@pytest.mark.parametrize("task", sorted(PROFILES))
def test_random_actions(task):
    profile = load_profile(PROFILES[task]).profile
    env = make_env(profile, task, WORLDS, seed=0, images=False)

    def body(carry, key):
        state, step = env.step(carry, jax.random.uniform(key, (WORLDS, env.action_size), minval=-1.0))
        return state, (step, state.observation)

    def both(key):
        state = spread(env, env.reset(key), key)
        return jax.lax.scan(body, state, jax.random.split(key, STEPS))[1]

    run = jax.jit(both)
    steps, seen = run(jax.random.key(0))
    for leaf in jax.tree.leaves((steps.reward, steps.terms, steps.last, seen)):
        assert np.isfinite(leaf).all()
    assert seen.actor.shape == (STEPS, WORLDS, env.actor_size)
    assert seen.critic.shape == (STEPS, WORLDS, env.critic_size)
    assert env.critic_size >= env.actor_size
    assert steps.done.any(), "random ages make some episodes end"
    assert float(steps.diverged.mean()) < 1e-3
    assert (steps.failure < len(env.task.failures)).all()
    np.testing.assert_allclose(sum(steps.terms.values()), steps.reward, atol=1e-4)
    again = run(jax.random.key(0))
    for a, b in zip(jax.tree.leaves((steps, seen)), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
