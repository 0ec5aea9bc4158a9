import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.scene.signals import quantities
from s2rctl.schema.simulation import Noise
from s2rctl.tasks import pick
from s2rctl.tasks.protocol import Task, World
from tests.tasks.task_worlds import build, measured_world, nominal, random_world, silent_terms

MODEL, TASK = build("pick")
START = jax.jit(TASK.reset)(jax.random.key(0), nominal(TASK))
advance, observe = jax.jit(TASK.advance), jax.jit(TASK.observe)
GRIPPED = jnp.array([[1.0, 4.0, 0, 0, 0, 1, 0], [0.0] * 7, [1.0, 4.0, 0, 0, 0, -1, 0], [0.0] * 7]).ravel()


def with_signals(world: World, **values: jax.Array) -> World:
    signals = {name: getattr(world.signals, name) for name in quantities(pick.Signals)}
    return world._replace(signals=pick.Signals(**{**signals, **values}))


@pytest.fixture(scope="module")
def resting() -> World:
    return measured_world(MODEL, TASK, np.asarray(START.qpos), START.state)


def held(world: World, place: jax.Array) -> World:
    """The box in the hand at ``place``."""
    tips = jnp.concatenate([place + jnp.array([0.0, -0.01, 0]), place + jnp.array([0.0, 0.01, 0])])
    return with_signals(
        world,
        box_pos=place,
        box_quat=jnp.array([1.0, 0, 0, 0]),
        box_grip_pos=place,
        left_fingertip_pos=tips,
        left_box_contact=GRIPPED,
        box_far_end_pos=place + jnp.array([0.048, 0, 0]),
    )


def test_resets_lie_in_the_fan_on_the_table() -> None:
    keys = jax.random.split(jax.random.key(1), 400)
    params = {"box_half_width": jnp.linspace(0.01, 0.03, 400), "box_mass": jnp.full(400, 0.05)}
    starts = jax.jit(jax.vmap(TASK.reset))(keys, params)
    box = np.asarray(starts.qpos[:, 8:])
    offset = box[:, :2] - np.array([-0.469, -0.019])
    radius, angle = np.linalg.norm(offset, axis=1), np.degrees(np.arctan2(offset[:, 1], offset[:, 0]))
    assert 0.2 <= radius.min() < 0.22 and 0.43 < radius.max() <= 0.45
    assert -22.6 < angle.min() < -20 and 20 < angle.max() < 22.6
    np.testing.assert_allclose(box[:, 2], 0.0008 + np.asarray(params["box_half_width"]), atol=1e-6)
    yaw = np.degrees(2 * np.arctan2(box[:, 6], box[:, 3]))
    assert np.abs(yaw - angle).max() <= 5.01
    # the waist's random angle is commanded too, so that it is not lost in the first step
    np.testing.assert_array_equal(starts.ctrl[:, :6], starts.qpos[:, :6])
    assert np.ptp(starts.ctrl[:, 0]) > 0.35


def test_observation_has_53_numbers_and_the_critic_sees_them_clean() -> None:
    world = random_world(TASK, 0)
    seen = observe(world, jax.random.key(0))
    assert seen.actor.shape == (53,) and seen.critic.shape == (53,)
    np.testing.assert_allclose(seen.actor, seen.critic, atol=1e-6)
    noisy = build("pick", noise=Noise(joint_pos=0.1, object_pos=0.015, gripper_offset=0.03, object_angle_deg=5))[1]
    other = jax.jit(noisy.observe)(world, jax.random.key(0))
    np.testing.assert_allclose(other.critic, seen.critic, atol=1e-6)
    shift = np.abs(np.asarray(other.actor - other.critic))
    assert 0.01 < shift[:6].max() <= 0.1
    assert shift[6:8].max() == 0  # fingers are measured without noise
    assert shift[34:37].max() <= 0.03 + 1e-6  # fingertips from grip point
    assert np.abs(np.asarray(other.inputs["joint_pos"]) - np.asarray(other.actor[:8])).max() == 0


def test_every_reward_term_matters_and_none_is_nan(resting: World) -> None:
    lifted = held(resting, START.state.target)
    over = with_signals(resting, box_far_end_pos=jnp.array([0.6, 0.0, 0.0]))
    worlds = [random_world(TASK, seed) for seed in range(20)] + [resting, lifted, over]
    ready = [w._replace(state=w.state._replace(reached_grip=jnp.bool_(True))) for w in worlds]
    assert silent_terms(TASK, worlds + ready) == set()


def test_progress_is_paid_once_and_never_taken_back(resting: World) -> None:
    lifted = held(resting, START.state.target)
    first = advance(lifted, jnp.zeros(7))
    again = advance(lifted._replace(state=first.state), jnp.zeros(7))
    fallen = advance(resting._replace(state=again.state), jnp.zeros(7))
    for name in pick.PROGRESS:
        assert float(first.terms[name]) > 0
        assert float(again.terms[name]) == pytest.approx(0, abs=1e-6)
        assert float(fallen.terms[name]) == pytest.approx(0, abs=1e-6)
    for seed in range(20):
        outcome = advance(random_world(TASK, seed), jnp.zeros(7))
        assert min(float(outcome.terms[name]) for name in pick.PROGRESS) >= 0


def test_success_and_each_kind_of_failure(resting: World) -> None:
    def judged(world: World) -> tuple[bool, bool, str]:
        outcome = advance(world, jnp.zeros(7))
        return bool(outcome.success), bool(outcome.done), TASK.failures[int(outcome.failure)]

    target = START.state.target
    up = resting._replace(state=resting.state._replace(lifted=jnp.bool_(True)))
    turned = held(resting, target)
    turned = with_signals(turned, box_quat=jnp.array([np.cos(0.15), 0, 0, np.sin(0.15)], jnp.float32))
    far = held(resting, target - jnp.array([0.05, 0, 0]))
    assert judged(held(resting, target)) == (True, False, "none")
    assert judged(held(resting, target - jnp.array([0.03, 0, 0]))) == (True, False, "none")
    assert judged(far) == (False, False, "timeout")
    assert judged(turned) == (False, False, "timeout")
    assert judged(resting) == (False, False, "not_grasped")
    assert judged(up) == (False, False, "dropped")
    over = with_signals(resting, box_far_end_pos=jnp.array([0.469 + 0.074, 0, 0]))
    assert judged(over) == (False, True, "crossed_line")
    assert judged(with_signals(resting, box_pos=jnp.array([3.0, 0, 0]))) == (False, True, "out_of_bounds")
    assert judged(with_signals(resting, box_pos=jnp.full(3, jnp.nan)))[1:] == (True, "out_of_bounds")


def test_targets_move_by_the_action_inside_their_limits() -> None:
    world = random_world(TASK, 0)
    ctrl, _ = TASK.target(world, jnp.array([1.0, -1.0, 0.5, 0, 0, 9.0, 1.0]))
    np.testing.assert_allclose(ctrl - world.ctrl, [0.02, -0.02, 0.01, 0, 0, 0.02, 0.0], atol=1e-6)


def test_only_real_signals_reach_the_inputs() -> None:
    world = random_world(TASK, 1)
    hidden = {n: jnp.full(q.shape, jnp.nan) for n, q in quantities(pick.Signals).items() if not q.real}
    for value in observe(with_signals(world, **hidden), jax.random.key(0)).inputs.values():
        assert np.isfinite(np.asarray(value)).all()


def test_randomised_inertia_is_that_of_a_solid_box() -> None:
    size, mass = 0.023, 0.07
    solid = mujoco.MjModel.from_xml_string(
        f'<mujoco><worldbody><body><freejoint/><geom type="box" size="0.048 {size} {size}" mass="{mass}"/></body>'
        "</worldbody></mujoco>"
    )
    params = {"box_half_width": jnp.float32(size), "box_mass": jnp.float32(mass)}
    edits: dict[str, float] = {}
    for quantity in TASK.randomised:
        edits |= {path: float(fn(params)) for path, fn in quantity.fields.items()}
    assert edits["body_mass/box/"] == pytest.approx(mass)
    assert [edits[f"geom_size/box/{i}"] for i in (1, 2)] == pytest.approx([size, size])
    # MuJoCo sorts principal axes from large to small; a box's largest two are those across its length
    wanted = sorted(solid.body_inertia[1])
    assert sorted(edits[f"body_inertia/box/{i}"] for i in range(3)) == pytest.approx(wanted, rel=1e-5)


def test_model_inertia_axes_are_the_box_axes() -> None:
    # the edits write x, y, z inertia by column: the body's inertial frame must not be permuted
    body = MODEL.body("box")
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, body.iquat)
    inertia = turn.reshape(3, 3) @ np.diag(body.inertia) @ turn.reshape(3, 3).T
    params = {"box_half_width": jnp.float32(0.0125), "box_mass": jnp.float32(0.05)}
    mine = [float(TASK.randomised[1].fields[f"body_inertia/box/{i}"](params)) for i in range(3)]
    np.testing.assert_allclose(turn.reshape(3, 3) @ np.diag(mine) @ turn.reshape(3, 3).T, inertia, rtol=1e-4, atol=1e-9)


def test_weights_come_from_the_settings() -> None:
    task: Task = build("pick", rewards={"grip": 0.0})[1]
    assert task.rewards["grip"].weight == 0 and task.rewards["carry"].weight == TASK.rewards["carry"].weight
