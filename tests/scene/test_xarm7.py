import itertools

import mujoco
import numpy as np
import pytest

from s2rctl.robots.xarm7.specification import SPECIFICATION
from s2rctl.scene.xarm7 import build_reach
from tests.scene.scenes import at_home, run

LOW, HIGH = np.array(SPECIFICATION.joint_low), np.array(SPECIFICATION.joint_high)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_reach()


def test_names_and_order(model: mujoco.MjModel) -> None:
    assert [model.actuator(index).name for index in range(model.nu)] == list(SPECIFICATION.targets)
    assert [model.joint(index).name for index in range(model.njnt)] == list(SPECIFICATION.joints)
    assert {model.camera(index).name for index in range(model.ncam)} == {"side", "front", "viewer"}
    np.testing.assert_allclose(model.key("home").qpos, SPECIFICATION.home)


def test_the_tool_points_down_at_home_and_its_sensor_agrees_with_the_kinematics(model: mujoco.MjModel) -> None:
    data = at_home(model)
    np.testing.assert_allclose(data.sensor("tcp_pos").data, [0.3998, 0.0, 0.2278], atol=1e-3)
    np.testing.assert_allclose(data.site("tcp").xmat.reshape(3, 3)[:, 2], [0, 0, -1], atol=1e-3)
    generator = np.random.default_rng(0)
    for _ in range(20):
        data.qpos[:] = generator.uniform(LOW, HIGH)
        mujoco.mj_forward(model, data)
        expected = SPECIFICATION.kinematics.point("tcp", data.qpos)
        np.testing.assert_allclose(data.sensor("tcp_pos").data, expected, atol=1e-9)


def test_the_published_flange_at_zero(model: mujoco.MjModel) -> None:
    """Vendor's figure: at q = 0 the flange is at (0.206, 0, 0.1205) m."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.body("link7").xpos, [0.206, 0, 0.1205], atol=1e-6)


def workspace(model: mujoco.MjModel) -> list[np.ndarray]:
    """Return joint positions at the corners of the reach workspace: ±0.15 m about the tool at home."""
    home = np.array(SPECIFICATION.home)
    centre, axes = SPECIFICATION.kinematics.pose("tcp", home)
    found = []
    for corner in itertools.product((-0.15, 0.15), repeat=3):
        q, reached = SPECIFICATION.kinematics.solve("tcp", centre + np.array(corner), axes, home, LOW, HIGH, 200)
        assert reached, corner
        found.append(q)
    return found


@pytest.mark.parametrize("name", ["side", "front", "viewer"])
def test_arm_and_tool_stay_in_view_over_the_workspace(model: mujoco.MjModel, name: str) -> None:
    camera = model.camera(name).id
    slope = np.tan(np.radians(model.cam_fovy[camera]) / 2)
    for q in workspace(model):
        data = at_home(model)
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        axes = data.cam_xmat[camera].reshape(3, 3)
        for link in ("link_base", "link2", "link3", "link4", "link5", "link6", "link7"):
            seen = axes.T @ (data.body(link).xpos - data.cam_xpos[camera])
            assert np.abs(seen[:2] / (-seen[2] * slope)).max() < 0.95, (link, q)
        tool = axes.T @ (data.site("tcp").xpos - data.cam_xpos[camera])
        assert np.abs(tool[:2] / (-tool[2] * slope)).max() < 0.9, q


def test_targets_over_the_workspace_are_reached_without_sagging(model: mujoco.MjModel) -> None:
    for q in workspace(model)[::3]:
        data = at_home(model)
        data.ctrl[:] = q
        run(model, data, 2.0)
        np.testing.assert_allclose(data.qpos, q, atol=5e-3)
        assert data.ncon == 0


def test_the_gripper_meets_the_table(model: mujoco.MjModel) -> None:
    data = at_home(model)
    centre, axes = SPECIFICATION.kinematics.pose("tcp", np.array(SPECIFICATION.home))
    below, reached = SPECIFICATION.kinematics.solve(
        "tcp", np.array([centre[0], 0.0, -0.03]), axes, np.array(SPECIFICATION.home), LOW, HIGH, 200
    )
    assert reached
    data.ctrl[:] = below
    run(model, data, 2.0)
    assert data.ncon > 0
    assert data.sensor("tcp_pos").data[2] > -0.01


def test_limits_of_every_arm_lie_within_the_model_s(model: mujoco.MjModel) -> None:
    assert (LOW >= model.jnt_range[:, 0]).all() and (HIGH <= model.jnt_range[:, 1]).all()
