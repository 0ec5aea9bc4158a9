import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from s2rctl.core.spatial import from_rpy
from s2rctl.robots.aloha.specification import ARM_HOME, FINGER_HOME, SPECIFICATION
from s2rctl.scene import sizes
from s2rctl.scene.aloha import build_insertion, build_pick
from s2rctl.scene.sensors import FINGERS
from tests.scene.scenes import at_home, left_arm_at, run

JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "left_finger", "right_finger")
TARGETS = (*JOINTS[:6], "gripper")


@pytest.fixture(scope="module")
def pick() -> mujoco.MjModel:
    return build_pick()


@pytest.fixture(scope="module")
def insertion() -> mujoco.MjModel:
    return build_insertion()


def joints(model: mujoco.MjModel) -> list[str]:
    return [model.joint(index).name for index in range(model.njnt)]


def test_pick_has_the_left_arm_and_then_the_box(pick: mujoco.MjModel) -> None:
    assert joints(pick) == [*(f"left/{joint}" for joint in JOINTS), "box"]
    assert [pick.actuator(index).name for index in range(pick.nu)] == [f"left/{target}" for target in TARGETS]
    assert (pick.nq, pick.nv, pick.nu) == (15, 14, 7)


def test_insertion_has_both_arms_then_socket_and_peg(insertion: mujoco.MjModel) -> None:
    arms = [f"{arm}/{joint}" for arm in ("left", "right") for joint in JOINTS]
    assert joints(insertion) == [*arms, "socket", "peg"]
    targets = [f"{arm}/{target}" for arm in ("left", "right") for target in TARGETS]
    assert [insertion.actuator(index).name for index in range(insertion.nu)] == targets
    assert {insertion.camera(index).name for index in range(insertion.ncam)} == {
        "wrist_cam_left",
        "wrist_cam_right",
        "overhead_cam",
        "worms_eye_cam",
        "viewer",
    }


def test_home_is_the_robot_s_home(insertion: mujoco.MjModel) -> None:
    home = insertion.key("home")
    np.testing.assert_allclose(home.qpos[:16], [*ARM_HOME, FINGER_HOME, FINGER_HOME] * 2)
    np.testing.assert_allclose(home.ctrl, SPECIFICATION.home)


def test_objects_rest_on_the_table_at_home(insertion: mujoco.MjModel) -> None:
    data = at_home(insertion)
    begin = data.qpos[16:].copy()
    run(insertion, data, 1.0)
    np.testing.assert_allclose(data.qpos[16:], begin, atol=5e-4)


def test_sensors_are_in_the_frame_of_the_arm_s_base(pick: mujoco.MjModel) -> None:
    data = at_home(pick)
    data.qpos[8:11] = [-0.1, 0.05, 0.2]
    data.qvel[8:11] = [0.1, 0.2, 0.3]
    mujoco.mj_forward(pick, data)
    base = np.array([-0.469, -0.019, 0.02])
    at = np.array([-0.1, 0.05, 0.2])
    np.testing.assert_allclose(data.sensor("box_pos").data, at - base)
    np.testing.assert_allclose(data.sensor("box_grip_pos").data, at - base + [-0.02, 0, 0])
    np.testing.assert_allclose(data.sensor("box_far_end_pos").data, at - base + [0.048, 0, 0])
    np.testing.assert_allclose(data.sensor("box_linvel").data, [0.1, 0.2, 0.3], atol=1e-9)
    np.testing.assert_allclose(data.sensor("box_quat").data, [1, 0, 0, 0])


def test_both_arms_see_the_mirrored_world_alike(insertion: mujoco.MjModel) -> None:
    """The right base is turned by 180°: equal joints and mirrored objects give equal signals."""
    data = at_home(insertion)
    data.qpos[16:19] = [-0.1, -0.019 + 0.03, 0.1]
    data.qpos[23:26] = [0.1, -0.019 - 0.03, 0.1]
    mujoco.mj_forward(insertion, data)
    for quantity in ("gripper_quat", "fingertip_pos/left", "fingertip_pos/right"):
        np.testing.assert_allclose(
            data.sensor(f"left_{quantity}").data, data.sensor(f"right_{quantity}").data, atol=1e-9
        )
    np.testing.assert_allclose(data.sensor("socket_pos").data, data.sensor("peg_pos").data, atol=1e-9)
    np.testing.assert_allclose(np.abs(data.sensor("peg_quat").data), [1, 0, 0, 0], atol=1e-9)


def test_peg_end_is_measured_along_the_socket(insertion: mujoco.MjModel) -> None:
    data = at_home(insertion)
    data.qpos[16:23] = [0, 0, 0.2, np.sqrt(0.5), 0, 0, np.sqrt(0.5)]  # the socket opens to +y
    data.qpos[23:30] = [0, 0.1, 0.2, np.sqrt(0.5), 0, 0, -np.sqrt(0.5)]  # the peg's end 1 looks to -y
    mujoco.mj_forward(insertion, data)
    np.testing.assert_allclose(data.sensor("peg_end_in_socket").data, [0.1 - 0.048 + 0.048, 0, 0], atol=1e-9)


ANGLES = hnp.arrays(float, (16,), elements=st.floats(0.0, 1.0))


@settings(max_examples=20, deadline=None)
@given(ANGLES)
def test_the_model_agrees_with_the_robot_s_kinematics(insertion: mujoco.MjModel, fractions: np.ndarray) -> None:
    low, high = np.array(SPECIFICATION.joint_low), np.array(SPECIFICATION.joint_high)
    q = low + fractions * (high - low)
    data = at_home(insertion)
    data.qpos[:16] = q
    mujoco.mj_kinematics(insertion, data)
    for name in ("left/gripper", "right/gripper", "left/left_fingertip", "right/right_fingertip"):
        np.testing.assert_allclose(
            data.site(name).xpos, SPECIFICATION.kinematics.point(name, q), atol=1e-9, err_msg=name
        )


def finger_forces(data: mujoco.MjData, item: str, finger: str) -> float:
    """Return the sum of the normal forces of one finger's two geoms, N."""
    names = [name for name in FINGERS if name.startswith(finger)]
    return float(sum(data.sensor(f"left_{item}_contact/{name}").data[1] for name in names))


@pytest.mark.parametrize(("half", "mass"), [(0.01, 0.1), (0.0125, 0.05), (0.025, 0.03)])
def test_closed_fingers_lift_a_box_and_keep_it(half: float, mass: float) -> None:
    model = build_pick()
    geom, body = model.geom("box").id, model.body("box").id
    model.geom_size[geom, 1:] = half
    model.body_mass[body] = mass
    squares = model.geom_size[geom] ** 2
    model.body_inertia[body] = mass / 3 * (squares.sum() - squares)
    data = mujoco.MjData(model)
    mujoco.mj_setConst(model, data)
    data = at_home(model)
    data.qpos[10] = sizes.TABLE_TOP + half

    pitched = from_rpy(0.0, np.radians(55.0), 0.0)
    tips = pitched @ np.array([0.009, 0.0, 0.0])  # fingertips before the gripper site
    grip = data.qpos[8:11] + np.array([-0.02, 0.0, 0.0]) - tips
    start = SPECIFICATION.joints_from_targets(np.array(SPECIFICATION.home))
    above = left_arm_at(grip + np.array([0, 0, 0.08]), pitched, start)
    down = left_arm_at(grip + np.array([0, 0, 0.004]), pitched, above)
    up = left_arm_at(grip + np.array([0, 0, 0.15]), pitched, down)

    def move(q: np.ndarray, finger: float, seconds: float) -> None:
        begin, steps = data.ctrl[:6].copy(), round(seconds / 0.05)
        for step in range(steps):
            data.ctrl[:6] = begin + (q[:6] - begin) * min(1.0, (step + 1) / (0.8 * steps))
            data.ctrl[6] = finger
            run(model, data, 0.05)

    move(above, 0.037, 1.5)
    assert finger_forces(data, "box", "left") == finger_forces(data, "box", "right") == 0
    move(down, 0.037, 1.0)
    move(down, 0.002, 1.0)
    move(up, 0.002, 1.5)
    lifted = float(data.qpos[10])
    assert lifted > 0.12
    assert finger_forces(data, "box", "left") > 2.5
    assert finger_forces(data, "box", "right") > 2.5
    touching = data.sensor("left_box_contact/left_finger_top").data
    assert touching[0] > 0 and touching[1] > 0 and abs(touching[5]) > 0.9  # its normal crosses the hand, along y
    move(up, 0.002, 2.0)
    assert abs(float(data.qpos[10]) - lifted) < 0.005


def test_a_finger_on_the_table_is_felt(pick: mujoco.MjModel) -> None:
    data = at_home(pick)
    assert not any(data.sensor(f"left_table_contact/{geom}").data[0] for geom in (*FINGERS, "gripper_base"))
    start = SPECIFICATION.joints_from_targets(np.array(SPECIFICATION.home))
    low = left_arm_at(np.array([-0.15, 0.1, 0.0]), from_rpy(0, np.radians(55), 0), start)
    data.qpos[:8] = low[:8]
    mujoco.mj_forward(pick, data)
    assert any(data.sensor(f"left_table_contact/{geom}").data[0] for geom in FINGERS)


def test_the_socket_weighs_what_the_published_one_does(insertion: mujoco.MjModel) -> None:
    """Four walls and four linings of 16 g about x = 0, a back wall of 6 g at -44 mm: 134 g, centre at -1.97 mm."""
    body = insertion.body("socket")
    assert abs(body.mass[0] - 0.134) < 1e-9
    np.testing.assert_allclose(body.ipos, [-0.006 * 0.044 / 0.134, 0, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("sideways", "low", "high"),
    [(0.0, 0.0065, 0.0085), (0.0075, 0.0065, 0.0085), (0.012, 0.094, 0.097)],
    ids=["middle", "along a wall", "against a wall's end"],
)
def test_a_pushed_peg_stops_at_the_back_wall_or_outside(
    insertion: mujoco.MjModel, sideways: float, low: float, high: float
) -> None:
    """The socket is held in the air, the peg is pushed along its axis with 1 N and kept parallel."""
    data = at_home(insertion)
    socket, peg = np.array([0, 0.25, 0.4, 1, 0, 0, 0.0]), np.array([0.11, 0.25 + sideways, 0.4, 0, 0, 0, 1.0])
    data.qpos[16:30] = [*socket, *peg]
    for _ in range(600):
        data.qpos[16:23], data.qvel[16:22] = socket, 0.0
        data.qpos[24:30], data.qvel[23:28] = peg[1:], 0.0
        data.qfrc_applied[22] = np.clip(-10.0 * (data.qvel[22] + 0.1), -1.0, 1.0)
        mujoco.mj_step(insertion, data)
    mujoco.mj_forward(insertion, data)
    assert low < data.sensor("peg_end_in_socket").data[0] < high


def test_only_the_own_hand_meets_an_object(insertion: mujoco.MjModel) -> None:
    """A peg laid into the left hand goes through it, a socket is touched by its hull."""
    data = at_home(insertion)
    left = data.site("left/left_fingertip").xpos.copy()
    for item, touched in (("peg", False), ("socket", True)):
        data = at_home(insertion)
        start = insertion.joint(item).qposadr[0]
        data.qpos[start : start + 3] = left
        mujoco.mj_forward(insertion, data)
        pairs = {frozenset((int(c.geom1), int(c.geom2))) for c in data.contact}
        hands = {insertion.geom(f"left/{name}").id for name in FINGERS}
        assert any(pair & hands for pair in pairs) is touched, item


def test_the_wrist_camera_sees_both_fingertips_and_what_is_between_them(insertion: mujoco.MjModel) -> None:
    data = at_home(insertion)
    for arm in ("left", "right"):
        camera = insertion.camera(f"wrist_cam_{arm}").id
        axes = data.cam_xmat[camera].reshape(3, 3)
        slope = np.tan(np.radians(insertion.cam_fovy[camera]) / 2)
        tips = []
        for side in ("left", "right"):
            seen = axes.T @ (data.site(f"{arm}/{side}_fingertip").xpos - data.cam_xpos[camera])
            tips.append(seen[:2] / (-seen[2] * slope))
        assert all(np.abs(tip).max() < 1 for tip in tips)
        assert tips[0][0] * tips[1][0] < 0 and tips[0][1] < 0 > tips[1][1]  # one on each side, in the lower half
