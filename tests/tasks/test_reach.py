import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.tasks import kinematics, reach
from s2rctl.tasks.protocol import World
from tests.tasks.task_worlds import build, random_world, silent_terms

MODEL, TASK = build("reach", episode_steps=50)
START = jax.jit(TASK.reset)(jax.random.key(0), {})
CHAIN = kinematics.read_chain(MODEL, "link_base", "tcp")
forward = jax.jit(lambda q: CHAIN.frames(q))
target, advance = jax.jit(TASK.target), jax.jit(TASK.advance)


def at(tool: jax.Array, start: object = START) -> World:
    signals = reach.Signals(joint_pos=START.ctrl, tcp_pos=tool, tcp_quat=jnp.array([1.0, 0, 0, 0]))
    return World(signals, START.ctrl, START.state, {})


def test_episodes_begin_with_the_tool_where_it_is_commanded() -> None:
    starts = jax.jit(jax.vmap(lambda key: TASK.reset(key, {})))(jax.random.split(jax.random.key(1), 64))
    frames = jax.jit(jax.vmap(lambda q: CHAIN.frames(q)))(starts.qpos)
    assert np.linalg.norm(np.asarray(frames.position - starts.state.command), axis=1).max() < 1e-3
    home = forward(jnp.array(reach.HOME))
    np.testing.assert_allclose(frames.rotation, np.broadcast_to(home.rotation, (64, 3, 3)), atol=5e-3)
    assert np.abs(np.asarray(starts.state.goal - home.position)).max() <= 0.15
    np.testing.assert_array_equal(starts.ctrl, starts.qpos)


def test_goals_are_drawn_as_far_out_as_the_task_says() -> None:
    task = build("reach", goal_range_m=0.2)[1]
    starts = jax.jit(jax.vmap(lambda key: task.reset(key, {})))(jax.random.split(jax.random.key(1), 64))
    away = np.abs(np.asarray(starts.state.goal - forward(jnp.array(reach.HOME)).position))
    assert 0.15 < away.max() <= 0.2 + 1e-6


def test_actions_displace_the_commanded_tool_and_hold_its_orientation() -> None:
    ctrl, state = target(at(START.state.command), jnp.array([1.0, -0.5, 0.0]))
    np.testing.assert_allclose(state.command - START.state.command, [0.03, -0.015, 0.0], atol=1e-6)
    before, after = forward(START.ctrl), forward(ctrl)
    np.testing.assert_allclose(after.position - before.position, [0.03, -0.015, 0.0], atol=1e-3)
    np.testing.assert_allclose(after.rotation, before.rotation, atol=5e-3)


def test_the_command_stays_in_the_workspace() -> None:
    world = at(START.state.command)
    for _ in range(30):
        ctrl, state = target(world, jnp.array([1.0, 1.0, -1.0]))
        world = world._replace(ctrl=ctrl, state=state)
    home = forward(jnp.array(reach.HOME)).position
    limit = 0.15 + reach.WORKSPACE_MARGIN
    np.testing.assert_allclose(state.command, home + limit * jnp.array([1.0, 1.0, -1.0]), atol=1e-6)
    np.testing.assert_allclose(forward(ctrl).position, state.command, atol=2e-3)


def test_a_planned_arm_comes_after_its_command_within_its_acceleration() -> None:
    period_s = 0.05
    task = build("reach", planner=(0.6, 1.4))[1]  # of 5 m/s²
    start = jax.jit(task.reset)(jax.random.key(3), {})
    assert 3.0 <= float(start.state.acceleration) <= 7.0
    world = World(at(START.state.command).signals, start.ctrl, start.state, {})
    move, ways, paces = jax.jit(task.target), [], []
    for n in range(20):
        ctrl, state = move(world, jnp.array([0.5, 0.0, 0.0]) * (n < 8))
        world = world._replace(ctrl=ctrl, state=state)
        ways.append(np.asarray(forward(ctrl).position))
        paces.append(np.asarray(state.going.velocity))
    went = np.array(ways)[:, 0] - ways[0][0]
    ahead = np.asarray(state.command)[0] - np.array(ways)[:, 0]
    assert 0.01 < ahead[4] < 0.08, "it is on its way while the command moves"
    assert abs(ahead[-1]) < 2e-3 and went[-1] > 0.08, "and arrives"
    change = np.linalg.norm(np.diff(paces, axis=0), axis=1)
    assert change.max() <= float(start.state.acceleration) * period_s * 1.001
    seen = task.observe(world, jax.random.key(0))
    np.testing.assert_allclose(seen.critic[9:12], state.going.velocity * period_s, atol=1e-6)


def test_success_is_a_distance_that_the_profile_may_set() -> None:
    near = at(START.state.goal + jnp.array([0.04, 0.0, 0.0]))
    assert bool(advance(near, jnp.zeros(3)).success)
    strict = build("reach", threshold_m=0.03)[1]
    outcome = strict.advance(near, jnp.zeros(3))
    assert not bool(outcome.success) and strict.failures[int(outcome.failure)] == "timeout"
    lost = advance(at(jnp.array([3.0, 0.0, 0.0])), jnp.zeros(3))
    assert bool(lost.done) and TASK.failures[int(lost.failure)] == "out_of_bounds"


def test_reward_grows_towards_the_goal_and_every_term_matters() -> None:
    rewards = [float(advance(at(START.state.goal + d), jnp.zeros(3)).reward) for d in (0.0, 0.01, 0.05, 0.1, 0.3)]
    assert rewards == sorted(rewards, reverse=True)
    assert silent_terms(TASK, [random_world(TASK, seed) for seed in range(5)]) == set()


def test_observation_begins_with_the_position_that_the_bottleneck_predicts() -> None:
    world = at(jnp.array([0.4, 0.1, 0.2]))
    seen = TASK.observe(world, jax.random.key(0))
    np.testing.assert_allclose(seen.critic[:3], [0.4, 0.1, 0.2], atol=1e-6)
    np.testing.assert_allclose(seen.critic[3:6], START.state.goal)
    np.testing.assert_array_equal(seen.critic[: seen.actor.size], seen.actor)
    assert list(seen.inputs) == ["goal"] and seen.inputs["goal"].shape == (3,)


@pytest.mark.parametrize("name", ["pick", "insertion", "reach"])
def test_scene_and_task_fit(name: str) -> None:
    model, task = build(name)
    start = jax.eval_shape(task.reset, jax.random.key(0), {q.name: jnp.float32(q.low) for q in task.randomised})
    assert start.qpos.shape == (model.nq,) and start.qvel.shape == (model.nv,) and start.ctrl.shape == (model.nu,)
