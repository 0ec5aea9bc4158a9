"""The environment's own promises, on a toy task."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import RunError
from s2rctl.env import stepping
from s2rctl.env.stepping import spread
from s2rctl.env.vec_env import VecEnv
from s2rctl.physics.native import NativePhysics
from s2rctl.schema.simulation import Delays
from s2rctl.tasks.protocol import Start
from tests.env import toy

WORLDS, STEPS = 6, 12
MODEL = toy.build()


def make(task=None, worlds=WORLDS, **options) -> VecEnv:
    def physics(edits):
        return NativePhysics(MODEL, worlds, substeps=10, edits=edits)

    return VecEnv(task or toy.make(STEPS), MODEL, physics, worlds, key=jax.random.key(0), **options)


@cache
def plain() -> VecEnv:
    return make()


@cache
def endless() -> VecEnv:
    return make(toy.make(100))


@cache
def late() -> VecEnv:
    """Constant lags: two steps for the joint, one for the gripper, three for the observation."""
    return make(delays=Delays(joint_action=(0, 0, 1), gripper_action=(0, 1), observation=(0, 0, 0, 1)))


@cache
def compiled(env):
    def step(state, action):
        state, step = env.step(state, action)
        return state, step, state._replace(key=jax.random.key_data(state.key))

    reset = jax.jit(env.reset)
    return reset, jax.jit(step)


def roll(env, actions, seed=0, desynchronise=False):
    """Return all steps and the states after them, stacked over time."""
    reset, step = compiled(env)
    state, history = reset(jax.random.key(seed)), []
    if desynchronise:
        state = spread(env, state, jax.random.key(seed + 1))
    for action in actions:
        state, *seen = step(state, action)
        history.append(seen)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *history)


def still(steps=STEPS, worlds=WORLDS):
    return jnp.zeros((steps, worlds, 2))


def test_same_seed_same_bits():
    env = make(toy.make(STEPS, noise=0.1), delays=Delays(joint_action=(1, 1), observation=(1, 1, 1)))
    actions = jax.random.uniform(jax.random.key(1), (30, WORLDS, 2), minval=-1.0)
    one, two, other = roll(env, actions), roll(env, actions), roll(env, actions, seed=1)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one[0].last.actor != other[0].last.actor).any()

    def body(state, action):
        state, step = env.step(state, action)
        return state, step.reward

    begun = compiled(env)[0](jax.random.key(0))
    _, rewards = jax.jit(lambda s: jax.lax.scan(body, s, actions))(begun)
    np.testing.assert_allclose(rewards, one[0].reward, rtol=1e-5, err_msg="scan")


def test_worlds_differ_by_their_edits():
    env = plain()
    push = jnp.ones((2, WORLDS, 2))
    _, states = roll(env, push)
    travelled = states.physics.qpos[-1, :, 0]
    np.testing.assert_array_equal(np.argsort(travelled), np.argsort(-np.asarray(env.params["mass"])))
    _, states = roll(make(randomise=False), push)
    assert len(np.unique(states.physics.qpos[-1, :, 0])) == 1


def test_in_parts_it_does_what_it_does_as_one_program():
    env = make(toy.make(STEPS, noise=0.1), delays=Delays(joint_action=(1, 1), observation=(1, 1, 1)))
    actions = jax.random.uniform(jax.random.key(1), (2 * STEPS, WORLDS, 2), minval=-1.0)
    steps, _ = roll(env, actions)
    state = stepping.reset(env, jax.random.key(0))
    for number, action in enumerate(actions):
        state, step = stepping.step(env, state, action)
        for part, whole in zip(jax.tree.leaves(step), jax.tree.leaves(steps), strict=True):
            np.testing.assert_allclose(part, whole[number], atol=1e-5)


def test_time_out_is_truncation_and_restarts_everything():
    steps, states = roll(plain(), still(2 * STEPS))
    assert steps.done.sum(axis=0).tolist() == [2] * WORLDS
    for end in (STEPS - 1, 2 * STEPS - 1):
        assert steps.done[end].all()
        assert steps.truncated[end].all()
        assert (states.step[end] == 0).all()
        assert (states.task.age[end] == 0).all()
        np.testing.assert_allclose(states.physics.time[end], 0)
        assert (steps.last.actor[end, :, 5] == STEPS).all(), "the last observation belongs to the old episode"
        assert (states.observation.actor[end, :, 5] == 0).all(), "the next one to the new"
    goals = states.task.goal
    assert (goals[0] == goals[STEPS - 2]).all()
    assert (goals[0] != goals[STEPS]).all(), "a new start is drawn"


def test_termination_is_not_truncation():
    actions = still(40).at[:, 2, 0].set(1.0)
    steps, states = roll(endless(), actions)
    (ends,) = np.nonzero(steps.done[:, 2])
    first = ends[0]
    assert not steps.truncated[first, 2]
    assert steps.failure[first, 2] == 1
    assert abs(float(steps.last.critic[first, 2, 0])) > 0.15
    assert abs(float(states.observation.critic[first, 2, 0])) < 1e-6
    assert not steps.done[:, [0, 1, 3, 4, 5]].any()


def test_a_reset_leaves_other_worlds_alone():
    actions = still(40).at[:, 2, 0].set(1.0)
    _, states = roll(endless(), actions)
    _, calm = roll(endless(), still(40))
    others = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(states.physics.backend[:, others], calm.physics.backend[:, others])
    np.testing.assert_array_equal(states.task.goal[:, others], calm.task.goal[:, others])


def test_the_terms_add_up_to_the_reward():
    steps, _ = roll(plain(), still())
    np.testing.assert_allclose(sum(steps.terms.values()), steps.reward, rtol=1e-6)


def test_actions_arrive_late():
    actions = jax.random.uniform(jax.random.key(3), (10, WORLDS, 2), minval=-1.0)
    _, states = roll(late(), actions)
    seen = states.task.seen
    np.testing.assert_array_equal(seen[2:, :, 0], actions[:-2, :, 0])
    np.testing.assert_array_equal(seen[1:, :, 1], actions[:-1, :, 1])
    assert (seen[:2, :, 0] == 0).all(), "before the first action the robot stands still"


def test_commands_are_later_in_the_worlds_that_say_so():
    actions = jax.random.uniform(jax.random.key(3), (10, WORLDS, 2), minval=-1.0)
    delays = Delays(joint_action=(0, 1), gripper_action=(1,))
    _, states = roll(make(toy.make(100), delays=delays, dynamics={"latency": np.array([0.0, 1, 2, 0, 0, 0])}), actions)
    for world, more in enumerate((0, 1, 2, 0, 0, 0)):
        for entry, own in enumerate((1, 0)):
            late_by = own + more
            expected = np.asarray(actions[: len(actions) - late_by, world, entry])
            np.testing.assert_array_equal(states.task.seen[late_by:, world, entry], expected)
            assert (states.task.seen[:late_by, world, entry] == 0).all()


def test_a_part_of_a_step_is_a_probability_and_jitter_is_drawn_anew():
    worlds, steps = 400, 24
    rising = jnp.broadcast_to(jnp.linspace(0.0, 1.0, steps)[:, None, None], (steps, worlds, 2))
    turning = rising * jnp.where(jnp.arange(steps) % 2 == 0, 1.0, -1.0)[:, None, None]  # so that no cart drives away
    cases = {"latency": 0.25, "jitter": 1.5}
    draws = {name: np.where(np.arange(worlds) < worlds // 2, 0.0, value) for name, value in cases.items()}
    for name, mean in (("latency", 0.25), ("jitter", 0.75)):
        env = make(toy.make(100), worlds=worlds, dynamics={name: draws[name]})
        _, states = roll(env, turning)
        lag = np.round((np.asarray(rising) - np.abs(states.task.seen))[4:] * (steps - 1)).astype(int)
        assert (lag[:, : worlds // 2] == 0).all(), "nothing was drawn for these"
        np.testing.assert_array_equal(lag[..., 0], lag[..., 1], err_msg="one bus carries both")
        seen = lag[:, worlds // 2 :, 0]
        assert abs(seen.mean() - mean) < 0.03 and seen.min() == 0 and seen.max() == np.ceil(cases[name])


def test_draws_that_are_nominal_change_nothing():
    actions = jax.random.uniform(jax.random.key(1), (6, WORLDS, 2), minval=-1.0)
    delays = Delays(joint_action=(1, 1), observation=(1, 1, 1))
    one = roll(make(delays=delays), actions)
    two = roll(make(delays=delays, dynamics={"latency": np.zeros(WORLDS), "gain": np.ones(WORLDS)}), actions)
    for a, b in zip(jax.tree.leaves(one[0]), jax.tree.leaves(two[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_worlds_that_repeat_others_begin_as_these_and_differ_by_their_dynamics():
    plain = make(toy.make(100), worlds=2)
    cells = make(toy.make(100), dynamics={"gain": np.repeat([1.0, 0.9, 1.1], 2)}, repeat=3)
    np.testing.assert_array_equal(cells.params["mass"], np.tile(plain.params["mass"], 3))
    push = jnp.ones((4, 2, 2))
    _, one = roll(plain, push)
    _, many = roll(cells, jnp.tile(push, (1, 3, 1)))
    np.testing.assert_array_equal(many.task.goal, np.tile(one.task.goal, (1, 3)))
    carts = many.physics.qpos[-1, :, 0].reshape(3, 2)
    np.testing.assert_allclose(carts[0], one.physics.qpos[-1, :, 0], rtol=1e-6)
    assert (carts[1] < carts[0]).all() and (carts[0] < carts[2]).all()
    with pytest.raises(RunError, match="6 worlds cannot be 4 times the same ones"):
        make(repeat=4)


def test_actions_are_cut_to_their_range():
    _, states = roll(plain(), 5 * jnp.ones((3, WORLDS, 2)))
    assert (states.task.seen == 1).all()


def test_actor_sees_late_and_critic_does_not():
    _, states = roll(late(), still(10))
    np.testing.assert_array_equal(states.observation.actor[:, 0, 5], [0, 0, 0, 1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(states.observation.critic[:, 0, 5], np.arange(1, 11))


def test_lags_do_not_reach_into_the_last_episode():
    _, states = roll(late(), jnp.full((STEPS + 3, WORLDS, 2), 0.1))
    np.testing.assert_array_equal(states.observation.actor[STEPS - 1 :, 0, 5], np.zeros(4))
    assert (states.task.seen[STEPS : STEPS + 2, :, 0] == 0).all()
    assert (states.task.seen[STEPS + 2, :, 0] > 0).all()


def test_observation_delay_follows_its_weights():
    worlds, weights = 500, (0.5, 0.3, 0.2)
    env = make(toy.make(100), worlds=worlds, delays=Delays(observation=weights))
    _, states = roll(env, still(24, worlds))
    lag = (states.observation.critic[3:, :, 5] - states.observation.actor[3:, :, 5]).astype(int)
    counts = np.bincount(lag.ravel(), minlength=3)
    expected = lag.size * np.array(weights)
    # 13.8 is the 0.1 % point of chi square with two degrees of freedom.
    assert len(counts) == 3
    assert float(np.sum((counts - expected) ** 2 / expected)) < 13.8


def test_desynchronised_worlds_end_at_different_times():
    steps, _ = roll(plain(), still(STEPS), desynchronise=True)
    assert steps.done.any(axis=0).all()
    assert (steps.done.sum(axis=1) > 0).sum() >= WORLDS // 2


def test_the_pilot_drives_until_the_learner_acts():
    env = make(toy.make(STEPS, drive_until=4), pilot=lambda seen: jnp.full((WORLDS, 2), -0.5))
    steps, states = roll(env, jnp.full((STEPS, WORLDS, 2), 0.5))
    assert steps.acting[:, 0].tolist() == [False] * 4 + [True] * (STEPS - 4)
    np.testing.assert_array_equal(states.task.seen[: STEPS - 1, 0, 0], [-0.5] * 4 + [0.5] * (STEPS - 5))


def test_starts_come_from_the_bank():
    bank = Start(
        jnp.array([[0.05, 0.0], [-0.05, 0.0]]),
        jnp.zeros((2, 2)),
        jnp.array([[0.05, 0.0], [-0.05, 0.0]]),
        toy.State(jnp.array([0.11, 0.12]), jnp.array([7, 8]), jnp.zeros((2, 2))),
    )
    env = make(worlds=400, bank=bank, bank_probability=0.75)
    state = compiled(env)[0](jax.random.key(0))
    ages = np.asarray(state.task.age)
    assert 0.65 < np.isin(ages, [7, 8]).mean() < 0.85
    assert {7, 8} <= set(ages.tolist())
    np.testing.assert_allclose(state.physics.qpos[ages == 7, 0], 0.05)
    np.testing.assert_allclose(state.physics.ctrl[ages == 8, 0], -0.05)
    np.testing.assert_allclose(state.observation.critic[ages == 8, 4], 0.12)
    env = make(worlds=40, bank=bank, bank_probability=np.arange(40) < 10)
    ages = np.asarray(jax.jit(env.reset)(jax.random.key(0)).task.age)
    np.testing.assert_array_equal(np.isin(ages, [7, 8]), np.arange(40) < 10)


def test_a_broken_world_is_reset_and_poisons_nothing():
    """Some worlds start in a state that no physics survives, again and again."""
    task = toy.make(STEPS)

    def broken(key, params):
        start = task.reset(key, params)
        return start._replace(qvel=jnp.where(params["mass"] > 1.5, jnp.inf, 0.0) * jnp.ones(2))

    env = make(replace(task, reset=broken), worlds=16)
    bad = np.asarray(env.params["mass"]) > 1.5
    assert bad.any()
    assert not bad.all()
    steps, states = roll(env, still(5, 16))
    assert steps.diverged[:, bad].any(axis=0).all()
    assert not steps.diverged[:, ~bad].any()
    for leaf in jax.tree.leaves((steps.reward, steps.terms, steps.last, states.observation, states.physics.qpos)):
        assert np.isfinite(leaf).all()
    assert (steps.done >= steps.diverged).all()
    assert not (steps.truncated & steps.diverged).any()


def test_a_policy_that_gives_nan_is_flagged_not_spread():
    actions = still(4).at[1, 3].set(jnp.nan)
    steps, states = roll(endless(), actions)
    expected = np.zeros((4, WORLDS), bool)
    expected[1, 3] = True
    np.testing.assert_array_equal(steps.diverged, expected)
    np.testing.assert_array_equal(steps.done, expected)
    assert steps.reward[1, 3] == 0
    for leaf in jax.tree.leaves((steps.last, states.observation, states.physics.qpos, states.task)):
        assert np.isfinite(leaf).all()


def test_sizes_and_world():
    env = plain()
    state = compiled(env)[0](jax.random.key(0))
    assert (env.actor_size, env.critic_size, env.action_size) == (6, 7, 2)
    world = env.world(state)
    assert world.signals.joint_pos.shape == (WORLDS, 2)
    np.testing.assert_array_equal(world.params["mass"], env.params["mass"])
