from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import RunError
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.teacher import networks, warm_start
from s2rctl.learning.teacher.rollout import first_episodes
from s2rctl.learning.teacher.warm_start import WarmStarter
from s2rctl.schema.learning import Network, WarmStart
from tests.learning.point_mass import PointWorlds, linear_expert

NETWORK = Network(policy=(32, 32), value=(32,))


def starter_of(env, expert=linear_expert, rounds=4):
    settings = networks.teacher_settings(env.actor_size, env.action_size, NETWORK)
    warm = WarmStart(rounds=rounds, worlds=env.worlds, steps=200, batch=256, learning_rate=3e-3)
    return WarmStarter(env, settings, warm, expert, jax.random.key(0))


@cache
def noisy():
    return starter_of(PointWorlds(64, noise=0.05, diverge=0.01))


def finish(starter, state):
    history = []
    while int(state.round) < starter.warm.rounds:
        state, figures = starter.advance(state, lambda share: True)
        history.append(figures)
    return state, history


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_linear_expert_is_cloned_in_spite_of_noise_and_broken_worlds():
    starter = noisy()
    state, history = finish(starter, starter.start())
    taught = starter.taught(state)
    ways = jax.random.uniform(jax.random.key(5), (200, 2), minval=-1, maxval=1)
    params = {"actor": taught.actor, "normaliser": warm_start.normalise.published(taught.actor_statistics)}
    actions = networks.teacher_action(params, starter.settings, ways)
    assert float(jnp.abs(actions - jax.vmap(linear_expert)(ways)).mean()) < 0.08
    assert history[-1]["action_error"] < history[0]["action_error"]
    env = PointWorlds(64)
    act = lambda state: networks.teacher_action(params, starter.settings, state.observation.actor)  # noqa: E731
    assert int(first_episodes(env, act, jax.random.key(3))[0].sum()) == 64


def test_the_expert_drives_the_first_round_and_then_takes_over_from_the_learner():
    starter = noisy()
    _, history = finish(starter, starter.start())
    assert history[0]["episodes"] == 0 and history[0]["expert_episodes"] > 0
    assert history[-1]["expert_episodes"] == 0 and 0 < history[-1]["episodes"] < 64


def test_resuming_after_a_round_changes_nothing(tmp_path):
    starter = noisy()
    whole, _ = finish(starter, starter.start())
    state = starter.start()
    state, _ = starter.advance(state, lambda share: True)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state)
    resumed, _ = finish(starter, Checkpoints(tmp_path).restore(starter.start()))
    same(whole, resumed)


def test_a_round_given_up_in_the_middle_can_be_repeated(monkeypatch):
    monkeypatch.setattr(warm_start, "MEMORY", 2_000)  # full after two rounds: later ones replace old samples
    starter = noisy()
    whole, _ = finish(starter, starter.start())
    state = starter.start()
    for _ in range(3):
        assert starter.advance(state, lambda share: False) is None
        state, _ = starter.advance(state, lambda share: True)
    state, _ = finish(starter, state)
    assert int(whole.filled) > 2_000
    same(whole, state)


def test_where_the_learner_never_acts_there_is_nothing_to_learn():
    starter = starter_of(PointWorlds(8, pilot_steps=99))
    with pytest.raises(RunError, match="never acted"):
        starter.advance(starter.start(), lambda share: True)


def test_labels_that_are_not_finite_are_left_out():
    def broken(way):
        return jnp.where(way[0] > 0, jnp.nan, linear_expert(way))

    starter = starter_of(PointWorlds(32), broken, rounds=1)
    state, figures = starter.advance(starter.start(), lambda share: True)
    kept = np.asarray(state.observations[: int(state.filled)])
    assert 0 < figures["samples"] < 32 * 20
    assert (kept[:, 0] <= 0).all() and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.actor))
