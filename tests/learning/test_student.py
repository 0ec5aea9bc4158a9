import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from s2rctl.export.graph import of_policy
from s2rctl.learning.policy_files import load_policy, save_policy
from s2rctl.learning.student import network as student
from s2rctl.learning.student.settings import student_settings
from s2rctl.schema.contract import start
from s2rctl.schema.distillation import Distill
from s2rctl.schema.learning import Encoder
from s2rctl.schema.simulation import CameraSettings
from s2rctl.schema.tensors import memory_in, memory_out
from s2rctl.tasks.peg_insertion import READY as FACING
from tests.learning.toy_insertion import SIZE, ToyInsertion

READY = (*FACING["left"], *FACING["right"])
CAMERAS = tuple(
    CameraSettings(name=f"wrist_cam_{side}", width=SIZE, height=SIZE, depth=True) for side in ("left", "right")
)


@pytest.fixture(scope="module")
def parts():
    settings = student_settings(CAMERAS, Encoder(latent=8), Distill(network=(16,)), "aloha", ready=READY, switched=True)
    return settings, student.init(jax.random.key(0), settings)


@pytest.fixture(scope="module")
def observation():
    return ToyInsertion(3).reset(jax.random.key(0)).observation


def test_an_untrained_student_hardly_moves(parts, observation):
    settings, params = parts
    action = student.mean(params, settings, observation.inputs)
    assert action.shape == (3, 14) and jnp.max(jnp.abs(action)) < 0.2


def test_inputs_are_the_raw_tensors_of_the_contract(parts, observation):
    settings, _ = parts
    shapes = student.raw_shapes(settings)
    assert list(shapes) == [
        "rgb_wrist_cam_left",
        "depth_wrist_cam_left",
        "rgb_wrist_cam_right",
        "depth_wrist_cam_right",
        "joint_pos",
        "joint_target",
        "switched",
    ]
    for name, (shape, dtype) in shapes.items():
        assert observation.inputs[name].shape[1:] == shape and observation.inputs[name].dtype == dtype


def test_it_uses_only_the_deployed_inputs(parts, observation):
    settings, params = parts
    poisoned = observation._replace(actor=jnp.nan * observation.actor, critic=jnp.nan * observation.critic)
    assert jnp.all(jnp.isfinite(student.mean(params, settings, poisoned.inputs)))


def test_files_give_back_the_same_policy(parts, observation, tmp_path):
    settings, params = parts
    save_policy(tmp_path, "student", settings.model_dump(mode="json"), params)
    policy = load_policy(tmp_path)
    np.testing.assert_array_equal(policy.act(observation), student.mean(params, settings, observation.inputs))


def test_a_student_with_memory_is_one_on_disk_and_as_a_graph(observation, tmp_path):
    budget = Distill(network=(16,), estimates=1.0, filters=(0.6,))
    settings = student_settings(CAMERAS, Encoder(latent=8), budget, "aloha", ready=READY, switched=True, estimates=3)
    params = student.init(jax.random.key(0), settings)
    save_policy(tmp_path, "student", settings.model_dump(mode="json"), params)
    policy = load_policy(tmp_path)
    assert [(item.name, item.shape) for item in policy.memory] == [("estimates", (1, 7))]
    memory = start(policy.memory, 3)
    for _ in range(3):
        action, memory = policy.step(observation, memory)
    once, first = student.act(params, settings, observation.inputs, start(policy.memory, 3))
    np.testing.assert_allclose(action, once, atol=1e-5)  # the mean of the same picture's estimates is the estimate
    assert np.allclose(np.asarray(memory["estimates"])[:, 0, -1], 1 - 0.6**3) and not np.allclose(
        memory["estimates"], first["estimates"]
    )
    graph = of_policy(policy)
    found = graph({**observation.inputs, memory_in("estimates"): start(policy.memory, 3)["estimates"]})
    np.testing.assert_allclose(found["action"], once, atol=1e-6)
    np.testing.assert_allclose(found[memory_out("estimates")], first["estimates"], atol=1e-6)


def test_filters_with_nothing_to_filter_are_refused_and_so_is_filtering_without_filters():
    with pytest.raises(ValidationError, match="nothing to filter"):
        Distill(filters=(0.5,))
    with pytest.raises(ValidationError, match="say how slowly"):
        Distill(filtered_errors=True)
    with pytest.raises(ValidationError, match="filtered_hands: there are none"):
        Distill(filtered_hands=True, filters=(0.5,))


def test_a_student_remembers_how_far_its_arms_usually_are_from_their_commands(observation, tmp_path):
    budget = Distill(network=(16,), filters=(0.5, 0.9), filtered_errors=True, measured_hands=True)
    settings = student_settings(CAMERAS, Encoder(latent=8), budget, "aloha", ready=READY, switched=True)
    save_policy(tmp_path, "student", settings.model_dump(mode="json"), student.init(jax.random.key(0), settings))
    policy = load_policy(tmp_path)
    # 3 numbers for each hand's place, and one for each of the 16 joints.
    assert [(item.name, item.shape) for item in policy.memory] == [("errors", (2, 23))]
    inputs = dict(observation.inputs)
    memory, errors = start(policy.memory, 3), []
    for step in range(3):
        inputs["joint_pos"] = observation.inputs["joint_pos"] + 0.01 * step
        action, after = policy.step(observation._replace(inputs=inputs), memory)
        found = of_policy(policy)({**inputs, memory_in("errors"): memory["errors"]})
        np.testing.assert_allclose(found["action"], action, atol=1e-6)
        np.testing.assert_allclose(found[memory_out("errors")], after["errors"], atol=1e-6)
        memory = after
        errors.append(np.asarray(settings.joints.errors(settings.joints.features(inputs))))
    weights = np.array([0.25, 0.5, 1.0])
    mean = sum(weight * error for weight, error in zip(weights, errors, strict=True)) / weights.sum()
    sums = np.asarray(memory["errors"])
    np.testing.assert_allclose(sums[:, 0, :-1] / sums[:, 0, -1:], mean, atol=1e-5)
    np.testing.assert_array_equal(errors[-1][:, 6:], settings.joints.read(inputs)[1])
    moved = np.abs(errors[-1][:, :6] - errors[0][:, :6])
    assert moved.max() > 0.1  # 20 mrad in every joint move a hand by millimetres


def test_a_student_remembers_where_its_hands_were_to_each_other(observation, tmp_path):
    budget = Distill(network=(16,), filters=(0.5,), filtered_hands=True, measured_hands=True)
    settings = student_settings(CAMERAS, Encoder(latent=8), budget, "aloha", ready=READY, switched=True)
    save_policy(tmp_path, "student", settings.model_dump(mode="json"), student.init(jax.random.key(0), settings))
    policy = load_policy(tmp_path)
    assert [(item.name, item.shape) for item in policy.memory] == [("hands", (1, 13))]
    inputs = dict(observation.inputs)
    first = settings.joints.hands(settings.joints.features(inputs))
    inputs["joint_target"] = inputs["joint_target"] + 0.02
    np.testing.assert_array_equal(settings.joints.hands(settings.joints.features(inputs)), first)  # as measured
    inputs["joint_pos"] = inputs["joint_pos"].at[:, 0].add(0.02)  # the left waist alone
    second = settings.joints.hands(settings.joints.features(inputs))
    assert np.abs(second - first).max() > 0.05
    _, memory = policy.step(observation, start(policy.memory, 3))
    _, memory = policy.step(observation._replace(inputs=inputs), memory)
    sums = np.asarray(memory["hands"])
    np.testing.assert_allclose(sums[:, 0, :-1] / sums[:, 0, -1:], (first + 2 * second) / 3, atol=1e-5)


def test_a_recurrent_student_exports_with_its_state(tmp_path, observation):
    distill = Distill(network=(16,), estimates=1.0, filters=(0.5,), recurrent=6)
    settings = student_settings(CAMERAS, Encoder(latent=8), distill, "aloha", ready=READY, switched=True, estimates=3)
    params = student.init(jax.random.key(0), settings)
    save_policy(tmp_path, "student", settings.model_dump(mode="json"), params)
    policy = load_policy(tmp_path)
    assert [item.name for item in policy.memory] == ["estimates", "recurrent"]
    action, memory = policy.step(observation, start(policy.memory, 3))
    again, later = policy.step(observation, memory)
    assert memory["recurrent"].shape == (3, 6) and not jnp.allclose(memory["recurrent"], later["recurrent"])
    assert not jnp.allclose(action, again)
    told = {memory_in(item.name): memory[item.name] for item in policy.memory}
    found = of_policy(policy)({**observation.inputs, **told})
    np.testing.assert_allclose(found["action"], again, atol=1e-6)
    np.testing.assert_allclose(found[memory_out("recurrent")], later["recurrent"], atol=1e-6)
