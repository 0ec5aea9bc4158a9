import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.learning.student import mating
from s2rctl.learning.student import network as student
from s2rctl.learning.student.confidence import precision, unlikely
from s2rctl.learning.student.proprioception import proprioception
from s2rctl.learning.student.settings import student_settings
from s2rctl.schema.contract import start
from s2rctl.schema.distillation import Distill
from s2rctl.schema.learning import Encoder
from s2rctl.tasks.peg_insertion import READY as FACING
from s2rctl.tasks.protocol import ENDS_UNIT_M
from tests.learning.test_student import CAMERAS
from tests.tasks.task_worlds import build, measured_world, nominal

READY = (*FACING["left"], *FACING["right"])
KNOWN = proprioception("aloha", READY, True, True)
MILLIMETRE = 1e-3 / ENDS_UNIT_M


@pytest.fixture(scope="module")
def insertion():
    return build("insertion")


def facing(insertion, seed, near=None):
    """Return a world with both arms near where they mate, the parts somewhere in their hands, and its joints.

    With ``near`` the peg is that far (m) from the socket's end, whether a hand is there or not.
    """
    model, task = insertion
    beginning = task.reset(jax.random.key(seed), nominal(task))
    random = np.random.default_rng(seed)
    qpos = np.array(beginning.qpos)
    qpos[:6] = np.add(FACING["left"], random.uniform(-0.05, 0.05, 6))
    qpos[8:14] = np.add(FACING["right"], random.uniform(-0.05, 0.05, 6))
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    for first, tool, quaternion in ((16, "left/gripper", [1, 0, 0, 0]), (23, "right/gripper", [1, 0, 0, 0])):
        qpos[first : first + 3] = data.site(tool).xpos + random.uniform(-0.01, 0.01, 3)
        turned = np.add(quaternion, random.uniform(-0.1, 0.1, 4))
        qpos[first + 3 : first + 7] = turned / np.linalg.norm(turned)
    if near:
        apart = measured_world(model, task, qpos, beginning.state).signals.peg_end_in_socket[0]
        qpos[23] -= apart - near
    return task, measured_world(model, task, qpos, beginning.state), qpos[:16]


def numbers_of(joints):
    inputs = {
        "joint_pos": jnp.asarray(joints, jnp.float32)[None],
        "joint_target": jnp.asarray(np.delete(joints, [7, 15]), jnp.float32)[None],
        "switched": jnp.ones((1, 1)),
    }
    return KNOWN.features(inputs)


def beyond(told, found):
    """Return what images are to tell, which ends at 3 units, further on where the parts are further apart."""
    return np.where(np.abs(told) < 2.99, told, found)


@pytest.mark.parametrize("seed", range(4))
def test_kinematics_say_where_the_parts_are_to_each_other(insertion, seed):
    task, world, joints = facing(insertion, seed)
    told = task.image_targets(world)
    features = numbers_of(joints)
    for hands in (KNOWN.hands(features), KNOWN.sent_hands(features)):
        found = mating.way(task.ends, told[None, :, : mating.HELD], KNOWN.between(hands))
        np.testing.assert_allclose(found[0], beyond(told[0, mating.HELD :], found[0]), atol=0.5 * MILLIMETRE)


def test_joints_that_read_wrong_are_made_up_for_by_what_was_seen_before_nothing_could_be_seen(insertion):
    task, world, joints = facing(insertion, 1, near=0.11)
    truth = task.image_targets(world)
    wrong = np.array(joints)
    wrong[[0, 9]] += (0.02, -0.015)  # 8 mm beside, and 5 mm too low
    hands = KNOWN.between(KNOWN.hands(numbers_of(wrong)))
    filters = (0.9, 0.99)
    share = jnp.array(filters)[:, None]
    sums, random = jnp.zeros((1, 2, 6)), np.random.default_rng(0)
    held = truth[None, :, : mating.HELD]
    place = mating.way(task.ends, held, hands)
    for step in range(120):
        inside = step >= 60
        noise = random.normal(size=(2, 3)) * (1.0 if inside else 0.1)  # 5 mm, then anything, and sure of it
        told = truth.at[:, mating.HELD :].add(noise)[None]
        sure = jnp.full((1, 2, mating.TOLD), precision(jnp.float32(2 * np.log(0.1))))
        now = share * sums + (1 - share) * mating.mismatch(told, sure, place)[:, None]
        sums = jnp.where(mating.inside(place.at[:, 0].add(-1.0 if inside else 0.0))[..., None], sums, now)
    found = mating.features(filters, place, sums).reshape(2, 9)
    error = np.abs(found[:, 1:3] - truth[0, mating.HELD + 1 :]).max(axis=1) / MILLIMETRE  # aside
    plain = (place[0] - truth[0, mating.HELD :])[1:]
    assert np.abs(plain).max() / MILLIMETRE > 5
    assert error[1] < 1.5
    assert found[1, 7] > found[0, 7] > 0  # the longer memory is surer


def test_how_far_a_part_was_moved_inside_narrows_down_where_it_is():
    memory = jnp.zeros((1, 4))
    for x, y, z in ((2.0, 0.4, 0.3), (1.9, 0.1, 0.0), (1.0, 0.02, -0.05), (0.5, -0.06, 0.04), (0.2, 0.0, 0.01)):
        place = jnp.array([[x, y, z]])
        memory = mating.reached(memory, place)
    np.testing.assert_allclose(memory[0], [-0.06, -0.05, 0.1, 0.04], atol=1e-6)  # from the last place outside on
    found = mating.felt(place, memory, None, None)[0]
    np.testing.assert_allclose(found, np.array([3.0, 3.0, -5.0, -1.5]) / 8, atol=1e-6)  # mm over the play
    outside = mating.reached(memory, jnp.array([[2.0, 1.0, 0.5]]))
    np.testing.assert_allclose(outside[0], [1.0, 0.5, 1.0, 0.5])


def test_a_wall_is_felt_where_a_part_stays_above_its_command_and_remembered_until_it_is_out():
    memory, told = jnp.zeros((1, 2)), []
    sag, lag = 0.03, 0.04  # units: 1.5 mm that the arms sag, 2 mm that they lag behind
    path = ((2.0, 0.1, lag), (1.5, 0.0, 0.0), (1.2, -0.08, lag), (1.0, -0.16, 0.12), (0.6, -0.08, 0.0), (2.0, 0.0, 0.0))
    for x, height, above in path:
        place = jnp.array([[x, 0.0, height]])
        sent = place.at[:, 2].add(sag - above)
        memory = mating.touched(memory, place, sent)
        told.append(bool(mating.has_felt({mating.TOUCH: memory})[0]))
    assert told == [False, False, False, True, True, False]


def test_a_student_is_told_what_it_felt_only_near_the_other_part():
    place, sent = jnp.array([[0.5, 0.0, -0.1]]), jnp.array([[0.5, 0.0, -0.14]])
    reach, touch = jnp.array([[0.0, -0.16, 0.0, 0.02]]), jnp.array([[0.01, 1.0]])
    found = mating.felt(place, reach, sent, touch)[0]
    np.testing.assert_allclose(found, [0, 0.06 * 6.25, 0, -0.12 * 6.25, 0.03 * 6.25, 1], atol=1e-6)  # 8 mm: the play
    np.testing.assert_array_equal(mating.felt(place.at[:, 1].set(3.5), reach, sent, touch), 0)


def test_images_learn_how_sure_they_are_and_what_is_near_counts_more():
    random = np.random.default_rng(0)
    truth = jnp.asarray(random.normal(size=(4000, 2)), jnp.float32)
    spread = np.array([0.05, 0.5])
    told = truth + jnp.asarray(random.normal(size=truth.shape) * spread, jnp.float32)
    sure = jnp.broadcast_to(jnp.asarray(2 * np.log(spread), jnp.float32), truth.shape)
    pull, slope = jax.grad(unlikely, (0, 1))(told, sure, truth)
    np.testing.assert_allclose(4000 * np.mean(slope, axis=0), 0, atol=0.01)
    shifted = jax.grad(unlikely)(truth + 0.01, sure, truth)
    np.testing.assert_allclose(shifted[:, 0] / shifted[:, 1], 10, rtol=1e-3)  # by one over the spread
    assert np.all(np.isfinite(pull))


def test_two_images_that_are_read_together_tell_one_way_and_count_as_one(insertion):
    told = jnp.arange(2.0 * 2 * mating.TOLD).reshape(2, -1)
    between = jnp.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    after = mating.with_between(told, between).reshape(2, 2, mating.TOLD)
    np.testing.assert_array_equal(after[..., : mating.HELD], told.reshape(2, 2, -1)[..., : mating.HELD])
    for camera in (0, 1):
        np.testing.assert_array_equal(after[:, camera, mating.HELD :], between)
    budget = Distill(
        network=(16,), estimates=1.0, filters=(0.5,), measured_hands=True, confidence=True, mating=True, together=True
    )
    settings = student_settings(
        CAMERAS, Encoder(latent=8), budget, "aloha", ready=READY, switched=True, estimates=12, ends=(-0.03, 0.07)
    )
    task, world, joints = facing(insertion, 1, near=0.12)
    told = mating.with_between(task.image_targets(world).reshape(1, -1), between[:1])
    log_variance = mating.with_between(jnp.zeros_like(told), jnp.full((1, mating.BETWEEN), -2.0))
    seen, params = student.Seen(jnp.zeros((1, 16)), told, log_variance), student.init(jax.random.key(0), settings)
    memory = student.act_on(params, settings, seen, numbers_of(joints), start(settings.memory, 1))
    remembered = memory[1][mating.MISMATCH][0, 0, mating.BETWEEN :]
    np.testing.assert_allclose(remembered, 0.5 * np.exp(2.0), rtol=1e-5)  # half of it is of this moment


def test_a_way_that_only_both_images_show_is_learned_from_both():
    """Each camera of the toy shows two of four numbers; the way between parts is made of all of them."""
    from s2rctl.learning.student.fit import Plan, fit
    from tests.learning.toy_insertion import ToyInsertion

    fields = {"estimates": 1.0, "filters": (0.5,), "measured_hands": True, "confidence": True, "mating": True}
    left = {}
    for together in (False, True):
        budget = Distill(
            network=(16,), epochs=60, batch=64, optimiser="adam", learning_rate=3e-3, together=together, **fields
        )
        settings = student_settings(
            CAMERAS, Encoder(latent=16), budget, "aloha", ready=READY, switched=True, estimates=12, ends=(-0.03, 0.07)
        )
        state = ToyInsertion(512).reset(jax.random.key(3))
        hidden = state.hidden
        way = jnp.stack([hidden[:, 0] + hidden[:, 2], hidden[:, 1] + hidden[:, 3], hidden[:, 0] - hidden[:, 3]], -1)
        told = mating.with_between(jnp.zeros((512, 2 * mating.TOLD)), way)
        memory = {f"memory_{name}": value for name, value in start(settings.memory, 512).items()}
        rows = {
            **{name: value for name, value in state.observation.inputs.items() if "cam" in name},
            **memory,
            "label": jnp.zeros((512, 14)),
            "joints": settings.joints.features(state.observation.inputs),
            "told": told,
        }
        rows = {name: np.asarray(value)[:, None] for name, value in rows.items()}
        plan = Plan(settings, budget, 512, 60 * 8)
        params = student.init(jax.random.key(0), settings)
        params, _, _ = fit(plan, params, plan.optimiser().init(plan.trained(params)), rows, jax.random.key(1))
        latents = student.latents(params["encoder"], settings, {name: rows[name][:, 0] for name in rows})
        found = student.tell(params, settings, latents).told.reshape(512, 2, mating.TOLD)[..., mating.HELD :]
        left[together] = float(jnp.sqrt(jnp.mean((found - way[:, None]) ** 2)))
    assert left[True] < 0.5 * left[False]


@pytest.mark.parametrize(("touch", "together"), [(False, False), (True, False), (True, True)])
def test_a_student_that_mates_parts_exports_as_it_acts(tmp_path, touch, together):
    from onnxruntime import InferenceSession

    from s2rctl.export.graph import of_policy, to_onnx
    from s2rctl.learning.policy_files import load_policy, save_policy
    from s2rctl.schema.tensors import memory_in, memory_out
    from tests.learning.toy_insertion import ToyInsertion

    observation = ToyInsertion(3).reset(jax.random.key(0)).observation
    budget = Distill(
        network=(16,),
        estimates=1.0,
        filters=(0.5, 0.9),
        measured_hands=True,
        confidence=True,
        mating=True,
        touch=touch,
        together=together,
    )
    settings = student_settings(
        CAMERAS, Encoder(latent=8), budget, "aloha", ready=READY, switched=True, estimates=12, ends=(-0.028, 0.068)
    )
    save_policy(tmp_path, "student", settings.model_dump(mode="json"), student.init(jax.random.key(0), settings))
    policy = load_policy(tmp_path)
    shapes = {item.name: item.shape for item in policy.memory}
    assert shapes == {"estimates": (2, 48), "mismatch": (2, 6), "slack": (1, 13), "reach": (4,)} | (
        {"touch": (2,)} if touch else {}
    )
    memory = start(policy.memory, 3)
    for _ in range(2):
        before = {memory_in(name): memory[name] for name in shapes}
        action, memory = policy.step(observation, memory)
        found = of_policy(policy)({**observation.inputs, **before})
        np.testing.assert_allclose(found["action"], action, atol=1e-5)
        for name in shapes:
            np.testing.assert_allclose(found[memory_out(name)], memory[name], atol=1e-4)
    session = InferenceSession(to_onnx(of_policy(policy), 21).SerializeToString())
    inputs = {name: np.asarray(value) for name, value in ({**observation.inputs, **before}).items()}
    wanted = {item.name for item in session.get_inputs()}
    assert wanted <= inputs.keys()
    np.testing.assert_allclose(session.run(["action"], {name: inputs[name] for name in wanted})[0], action, atol=1e-5)
