from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.scene.signals import quantities
from s2rctl.schema.simulation import Noise
from s2rctl.tasks import peg_insertion
from s2rctl.tasks.protocol import World
from tests.tasks.task_worlds import build, measured_world, random_world, settings_for, silent_terms

MODEL, TASK = build("insertion")
START = jax.jit(TASK.reset)(jax.random.key(0), {})
advance, observe = jax.jit(TASK.advance), jax.jit(TASK.observe)
SWITCHED = peg_insertion.State(jnp.bool_(True), jnp.int32(3))


@pytest.mark.parametrize(("rate_hz", "steps"), [(20, 60), (40, 120)])
def test_the_learner_acts_for_three_seconds_at_any_rate(rate_hz: int, steps: int) -> None:
    settings = replace(settings_for(MODEL, "insertion"), period_s=1 / rate_hz)
    assert peg_insertion.make(settings).acting_steps == steps


def with_signals(world: World, **values: jax.Array) -> World:
    signals = {name: getattr(world.signals, name) for name in quantities(peg_insertion.Signals)}
    return world._replace(signals=peg_insertion.Signals(**{**signals, **values}))


@pytest.fixture(scope="module")
def resting() -> World:
    return measured_world(MODEL, TASK, np.asarray(START.qpos), START.state)


@pytest.fixture(scope="module")
def ready(resting: World) -> World:
    """Both objects held in the air, upright, the peg before the socket."""
    left, right = jnp.array([0.369, 0.019, 0.23]), jnp.array([0.369, -0.019, 0.23])
    level = jnp.array([1.0, 0, 0, 0])
    return with_signals(
        resting._replace(state=SWITCHED),
        **{"socket_pos": left, "socket_grip_pos": left, "left_fingertip_pos": jnp.tile(left, 2)},
        **{"peg_pos": right, "peg_grip_pos": right, "right_fingertip_pos": jnp.tile(right, 2)},
        **{"socket_quat": level, "peg_quat": level, "peg_end_in_socket": jnp.array([0.12, 0, 0])},
    )


def judged(world: World) -> tuple[bool, bool, str]:
    outcome = advance(world, jnp.zeros(14))
    return bool(outcome.success), bool(outcome.done), TASK.failures[int(outcome.failure)]


def test_arms_see_the_same_when_they_stand_the_same_to_their_objects() -> None:
    data = mujoco.MjData(MODEL)
    joints = np.array([0.1, -0.3, 1.2, 0.1, -0.5, 0.2, 0.03, 0.03])
    place, turn = np.array([0.33, 0.05, 0.06]), np.array([0.9, 0.1, 0.3, -0.2])
    turn /= np.linalg.norm(turn)
    qpos = [*joints, *joints]
    for arm in ("left", "right"):
        mujoco.mj_forward(MODEL, data)
        base = data.body(f"{arm}/base_link")
        position, quat = base.xmat.reshape(3, 3) @ place + base.xpos, np.zeros(4)
        mujoco.mju_mulQuat(quat, base.xquat, turn)
        qpos += [*position, *quat]
    actor = np.asarray(observe(measured_world(MODEL, TASK, np.array(qpos), START.state), jax.random.key(0)).actor)
    assert actor.shape == (109,)
    # all but "target minus object": the two targets are not mirrored, since both bases stand at the same y
    same = np.r_[0:37, 40:53]
    np.testing.assert_allclose(actor[:53][same], actor[53:106][same], atol=2e-5)
    assert np.ptp(actor[:53][same]) > 0.5


def test_objects_lie_before_their_arms(resting: World) -> None:
    starts = jax.jit(jax.vmap(lambda key: TASK.reset(key, {})))(jax.random.split(jax.random.key(2), 300))
    for first, base, height in ((16, (-0.469, -0.019), 0.022), (23, (0.469, -0.019), 0.01)):
        offset = np.asarray(starts.qpos[:, first : first + 2]) - np.array(base)
        radius = np.linalg.norm(offset, axis=1)
        assert 0.27 <= radius.min() and radius.max() <= 0.42
        assert np.abs(offset[:, 1] / offset[:, 0]).max() <= np.tan(np.radians(14.6))
        assert (np.sign(offset[:, 0]) == -np.sign(base[0])).all()
        np.testing.assert_allclose(starts.qpos[:, first + 2], 0.0008 + height, atol=1e-6)
    assert not np.asarray(starts.state.switched).any()
    # the peg's x looks back to the left arm, so that its end 1 meets the socket
    quat = np.asarray(starts.qpos[:, 26:30])
    assert (1 - 2 * (quat[:, 2] ** 2 + quat[:, 3] ** 2) < -0.9).all()


def test_nothing_is_seen_of_a_peg_that_the_socket_holds(ready: World) -> None:
    blind = [bool(TASK.blind(with_signals(ready, peg_end_in_socket=jnp.array([x, 0, 0])))) for x in (0.01, 0.07, 0.08)]
    assert blind == [True, True, False]
    held = with_signals(ready, peg_end_in_socket=jnp.array([0.01, 0, 0]))
    assert not bool(TASK.blind(held._replace(state=peg_insertion.State(jnp.bool_(False), jnp.int32(0)))))


def test_the_switch_needs_both_hands_high_and_stays(resting: World, ready: World) -> None:
    assert not bool(TASK.acting(START.state))
    waiting = peg_insertion.State(jnp.bool_(False), jnp.int32(0))
    up = ready._replace(state=waiting)
    one = with_signals(up, left_fingertip_pos=resting.signals.left_fingertip_pos)
    assert not bool(TASK.acting(advance(one, jnp.zeros(14)).state))
    state = advance(up, jnp.zeros(14)).state
    assert bool(TASK.acting(state)) and int(state.steps) == 0
    later = advance(one._replace(state=state), jnp.zeros(14)).state
    assert bool(TASK.acting(later)) and int(later.steps) == 1


def test_nothing_is_paid_before_the_switch(resting: World, ready: World) -> None:
    assert float(advance(resting, jnp.zeros(14)).reward) == 0
    assert float(advance(ready, jnp.zeros(14)).reward) > 1


def test_every_reward_term_matters_and_none_is_nan(ready: World) -> None:
    worlds = [random_world(TASK, seed)._replace(state=SWITCHED) for seed in range(10)]
    last = ready._replace(state=SWITCHED._replace(steps=jnp.int32(60)))
    low = with_signals(ready, peg_pos=jnp.array([0.369, 0.0, 0.03]))
    inside = with_signals(ready, peg_end_in_socket=jnp.array([0.0082, 0.0, 0.0]))
    assert silent_terms(TASK, [*worlds, ready, last, low, inside]) == set()


def test_success_and_each_kind_of_failure(resting: World, ready: World) -> None:
    last = ready._replace(state=SWITCHED._replace(steps=jnp.int32(TASK.acting_steps - 1)))
    assert judged(with_signals(ready, peg_end_in_socket=jnp.array([0.0082, 0.002, 0.002]))) == (True, False, "none")
    assert judged(with_signals(last, peg_end_in_socket=jnp.array([0.0082, 0, 0]))) == (True, True, "none")
    assert judged(last) == (False, True, "timeout")
    assert judged(with_signals(last, peg_end_in_socket=jnp.array([0.12, 0.02, 0]))) == (False, True, "misaligned")
    assert judged(resting) == (False, False, "not_lifted")
    fallen = with_signals(ready, socket_pos=jnp.array([0.369, 0.0, 0.04]))
    assert judged(fallen) == (False, True, "dropped")
    # before the switch objects lie on the table: that is no drop
    assert not judged(fallen._replace(state=START.state))[1]
    tipped = with_signals(ready, peg_quat=jnp.array([np.cos(0.75), 0, np.sin(0.75), 0], jnp.float32))
    assert judged(tipped) == (False, True, "tilted")
    assert judged(with_signals(ready, peg_pos=jnp.array([2.0, 0, 0.3]))) == (False, True, "out_of_bounds")


def test_critic_begins_with_the_actors_clean_numbers() -> None:
    noisy = jax.jit(build("insertion", noise=Noise(joint_pos=0.1, object_pos=0.015))[1].observe)
    world = random_world(TASK, 4)
    seen = noisy(world, jax.random.key(0))
    np.testing.assert_allclose(seen.critic[:109], observe(world, jax.random.key(1)).actor, atol=1e-6)
    assert np.abs(np.asarray(seen.actor - seen.critic[:109]))[106:].max() > 1e-4
    assert {name: value.shape for name, value in seen.inputs.items()} == {
        "joint_pos": (16,),
        "joint_target": (14,),
        "switched": (1,),
    }


def test_only_real_signals_reach_the_inputs() -> None:
    world = random_world(TASK, 1)
    hidden = {n: jnp.full(q.shape, jnp.nan) for n, q in quantities(peg_insertion.Signals).items() if not q.real}
    for value in observe(with_signals(world, **hidden), jax.random.key(0)).inputs.values():
        assert np.isfinite(np.asarray(value)).all()
