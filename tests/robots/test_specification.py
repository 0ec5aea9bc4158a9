"""What holds for every row of the robot table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.scene import SCENES
from s2rctl.schema.load import load_profile

SCENE_OF = {"aloha": "insertion", "xarm7": "reach"}


@pytest.fixture(scope="module", params=tuple(ROBOTS.rows))
def specification(request: pytest.FixtureRequest) -> RobotSpecification:
    return ROBOTS.load(request.param)


def test_lengths_agree(specification: RobotSpecification) -> None:
    joints, targets = len(specification.joints), len(specification.targets)
    assert len(specification.joint_low) == len(specification.joint_high) == len(specification.joint_speed) == joints
    assert len(specification.target_low) == len(specification.target_high) == len(specification.home) == targets
    assert len(specification.target_joint) == len(set(specification.target_joint)) == targets
    assert len(specification.arms) == len(specification.tools)
    assert specification.kinematics.joints == specification.joints
    assert set(specification.tools) <= set(specification.kinematics.points)


def test_home_and_targets_are_within_the_limits(specification: RobotSpecification) -> None:
    low, high = np.array(specification.target_low), np.array(specification.target_high)
    home = np.array(specification.home)
    assert (low <= home).all() and (home <= high).all()
    at = list(specification.target_joint)
    assert (np.array(specification.joint_low)[at] <= low).all()
    assert (np.array(specification.joint_high)[at] >= high).all()


def test_no_policy_step_is_faster_than_the_device() -> None:
    """Of a joint-commanded robot; where the policy moves the tool, the safety filter bounds the joints."""
    specification, profile = ROBOTS.load("aloha"), load_profile("aloha").profile
    assert not specification.space.tools
    for task in ("pick", "insertion"):
        speed = profile.task(task).action_scale * profile.simulation.rate_hz
        assert (speed <= np.array(specification.joint_speed)[list(specification.target_joint)]).all()


@given(st.data())
def test_every_driven_joint_takes_its_target_and_second_fingers_follow(data: st.DataObject) -> None:
    specification = ROBOTS.load(data.draw(st.sampled_from(sorted(ROBOTS.rows))))
    limits = zip(specification.target_low, specification.target_high, strict=True)
    targets = np.array([data.draw(st.floats(low, high)) for low, high in limits])
    joints = specification.joints_from_targets(targets)
    np.testing.assert_array_equal(joints[list(specification.target_joint)], targets)
    for joint, source in specification.mimic.items():
        assert joints[joint] == joints[source]
    assert len(specification.mimic) + len(targets) == len(specification.joints)


@pytest.mark.parametrize("name", tuple(ROBOTS.rows))
def test_the_model_has_the_same_joints_limits_and_targets(name: str) -> None:
    specification = ROBOTS.load(name)
    model = SCENES.load(SCENE_OF[name])()
    assert tuple(model.actuator(index).name for index in range(model.nu)) == specification.targets
    for joint, low, high in zip(specification.joints, specification.joint_low, specification.joint_high, strict=True):
        model_low, model_high = model.joint(joint).range
        assert model_low - 1e-9 <= low < high <= model_high + 1e-9, joint
    if name == "aloha":
        np.testing.assert_allclose(model.actuator_ctrlrange[:, 0], specification.target_low)
        np.testing.assert_allclose(model.actuator_ctrlrange[:, 1], specification.target_high)
    driven = [model.actuator(index).trnid[0] for index in range(model.nu)]
    wanted = [model.joint(specification.joints[joint]).id for joint in specification.target_joint]
    assert driven == wanted
