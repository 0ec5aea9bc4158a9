import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.learning.student.proprioception import Proprioception
from s2rctl.tasks.peg_insertion import READY

PLAIN = Proprioception("aloha", None, switched=True)
POSES = Proprioception("aloha", (*READY["left"], *READY["right"]), switched=True)


def joint_inputs(position=0.0, target=0.0, switched=0.0):
    return {
        "joint_pos": jnp.full((2, 16), position),
        "joint_target": jnp.full((2, 14), target),
        "switched": jnp.full((2, 1), switched),
    }


def test_an_aloha_gives_33_numbers_with_no_error_when_targets_are_reached():
    found = PLAIN.features(joint_inputs(0.02, 0.02, 1.0))
    assert found.shape == (2, 33)
    np.testing.assert_allclose(found[:, 16:32], 0, atol=1e-7)
    np.testing.assert_allclose(found[:, 32], 1)


def test_both_fingers_are_compared_with_their_own_arms_gripper_target():
    inputs = joint_inputs()
    inputs["joint_target"] = inputs["joint_target"].at[:, 13].set(0.041)
    errors = PLAIN.features(inputs)[0, 16:32]
    np.testing.assert_allclose(errors[14:], -1, atol=1e-6)
    np.testing.assert_allclose(errors[:14], 0, atol=1e-7)


@pytest.mark.parametrize("features", [PLAIN, POSES], ids=["plain", "poses"])
def test_every_raw_number_reaches_the_features(features):
    plain = joint_inputs()
    before = features.features(plain)
    assert before.shape == (2, features.size)
    for name, value in plain.items():
        for column in range(value.shape[1]):
            changed = plain | {name: value.at[:, column].add(0.01)}
            assert jnp.any(features.features(changed) != before), (name, column)


def test_a_robot_with_one_arm_and_no_gripper():
    arm = Proprioception("xarm7", None, switched=False)
    assert arm.raw_shapes == {"joint_pos": ((7,), "float32"), "joint_target": ((7,), "float32")}
    inputs = {"joint_pos": jnp.full((1, 7), 0.3), "joint_target": jnp.full((1, 7), 0.1)}
    np.testing.assert_allclose(arm.features(inputs), [[0.3] * 7 + [1.0] * 7], rtol=1e-5)
    assert arm.features(inputs).shape == (1, arm.size)
