import mujoco
import numpy as np
import pytest

from s2rctl.core.clock import VirtualClock
from s2rctl.emulation.faults import Faults
from s2rctl.emulation.plant import Plant, PlantStart
from s2rctl.emulation.twin import Twin
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import StopLevel, Target
from s2rctl.scene import SCENES
from s2rctl.schema.robots import ToolLimits
from tests.driven import DrivenClock


@pytest.fixture(scope="module")
def reach():
    return SCENES.load("reach")(0.005)


@pytest.fixture(scope="module")
def insertion():
    return SCENES.load("insertion")(0.005)


def home_start(model, specification):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    return PlantStart(data.qpos.copy(), data.qvel.copy(), data.ctrl.copy())


NONE = Faults()


def twin_of(model, robot, faults=NONE, clock=None, cameras=(), render=None):
    specification = ROBOTS.load(robot)
    limits = ToolLimits(speed=0.65, acceleration=5.0)
    twin = Twin(model, specification, clock or VirtualClock(), cameras, render, faults, limits, period_s=0.05)
    twin.reset(home_start(model, specification), 0)
    return twin


@pytest.mark.parametrize(("scene", "robot"), [("reach", "xarm7"), ("insertion", "aloha")])
def test_the_robots_kinematics_agree_with_the_scene(request, scene, robot):
    model = request.getfixturevalue(scene)
    specification = ROBOTS.load(robot)
    data = mujoco.MjData(model)
    address = [int(model.joint(name).qposadr[0]) for name in specification.joints]
    sites = {model.site(i).name for i in range(model.nsite)} & set(specification.kinematics.points)
    assert set(specification.tools) <= sites
    low, high = np.array(specification.joint_low), np.array(specification.joint_high)
    for seed in range(5):
        q = np.random.default_rng(seed).uniform(np.maximum(low, -2), np.minimum(high, 2))
        data.qpos[address] = q
        mujoco.mj_forward(model, data)
        for site in sites:
            assert np.allclose(specification.kinematics.point(site, q), data.site(site).xpos, atol=1e-9), site


def test_joint_targets_are_followed(insertion):
    twin = twin_of(insertion, "aloha")
    first = np.array(twin.specification.home)
    first[0] += 0.1
    twin.send(Target(first))
    twin._clock.sleep_until(1.5)
    state = twin.read()
    assert state.t == pytest.approx(1.5)
    assert state.joint_pos[0] == pytest.approx(first[0], abs=0.02)
    assert state.tool.shape == (2, 7)
    assert state.codes == ()


def test_tool_targets_are_solved_and_followed(reach):
    twin = twin_of(reach, "xarm7")
    begin = twin.read().tool[0, :3]
    goal = begin + np.array([0.05, 0.08, 0.06])
    for step in range(1, 9):
        twin.send(Target(begin + (goal - begin) * step / 8))
        twin._clock.sleep_until(0.05 * step)
    twin._clock.sleep_until(2.0)
    tool = twin.read().tool[0]
    assert np.allclose(tool[:3], goal, atol=0.01)
    down = twin.specification.kinematics.pose("tcp", np.array(twin.specification.home))[1]
    held = np.zeros(9)
    mujoco.mju_quat2Mat(held, tool[3:])
    assert np.allclose(held.reshape(3, 3), down, atol=0.03)


def test_latency_delays_the_effect(reach):
    moved = {}
    for latency in (0.0, 0.08):
        twin = twin_of(reach, "xarm7", Faults(latency_s=(latency, latency)))
        begin = twin.read().tool[0, :3]
        twin.send(Target(begin + np.array([0, 0.03, 0])))
        twin._clock.sleep_until(0.08)
        moved[latency] = abs(twin.read().tool[0, 1] - begin[1])
    assert moved[0.0] > 1e-3
    assert moved[0.08] < 1e-4


def test_physics_is_the_same_in_one_leap_and_in_steps(reach):
    ends = []
    for count in (1, 40):
        twin = twin_of(reach, "xarm7")
        twin.send(Target(twin.read().tool[0, :3] + np.array([0, 0.03, 0])))
        for t in np.linspace(0, 0.4, count + 1)[1:]:
            twin._clock.sleep_until(t)
            twin.read()
        ends.append(twin.read().joint_pos)
    assert np.array_equal(*ends)


def pictures(poses):
    level = int(abs(float(poses.cam_xpos[0, 0, 0])) * 100) % 256
    return {"rgb_eye": np.full((4, 4, 3), level, np.uint8), "depth_eye": np.full((4, 4), 500, np.uint16)}


def test_frames_carry_their_capture_time_and_can_get_lost(reach):
    twin = twin_of(reach, "xarm7", Faults(frame_drop=0.5), cameras=["eye"], render=pictures)
    times = []
    for step in range(40):
        twin._clock.sleep_until(step * 0.05 + 0.01)
        times.append(twin.cameras[0].latest().t)
    ages = np.array([step * 0.05 + 0.01 - t for step, t in enumerate(times)])
    assert ages.min() == pytest.approx(0.01, abs=1e-6)
    assert 5 < (ages > 0.02).sum() < 35


def test_depth_can_be_dark_and_cameras_can_freeze(reach):
    twin = twin_of(
        reach, "xarm7", Faults(depth_blackout=1.0, freeze_cameras_at_s=0.2), cameras=["eye"], render=pictures
    )
    twin._clock.sleep_until(1.0)
    frame = twin.cameras[0].latest()
    assert not frame.depth.any()
    assert frame.t < 0.2


@pytest.mark.parametrize(
    ("faults", "check"),
    [
        (Faults(error_at_s=0.1), lambda state: state.codes == ("injected device error",)),
        (Faults(nan_at_s=0.1), lambda state: np.isnan(state.joint_pos[0])),
    ],
)
def test_injected_device_faults(reach, faults, check):
    twin = twin_of(reach, "xarm7", faults)
    assert not check(twin.read())
    twin._clock.sleep_until(0.1)
    assert check(twin.read())


def test_a_silent_robot_keeps_its_old_time_stamp(reach):
    twin = twin_of(reach, "xarm7", Faults(silence_at_s=0.1))
    twin._clock.sleep_until(0.1)
    twin.read()
    twin._clock.sleep_until(0.5)
    assert twin.read().t == pytest.approx(0.1)


def test_a_stopped_twin_holds_and_takes_no_targets(reach):
    twin = twin_of(reach, "xarm7")
    begin = twin.read().tool[0, :3]
    twin.stop(StopLevel.SOFT)
    twin.send(Target(begin + np.array([0, 0.1, 0])))
    twin._clock.sleep_until(1.0)
    assert np.allclose(twin.read().tool[0, :3], begin, atol=0.005)
    twin.recover()
    twin.send(Target(begin + np.array([0, 0.02, 0])))
    twin._clock.sleep_until(2.0)
    assert twin.read().tool[0, 1] - begin[1] > 0.015


def test_model_fields_of_an_episode_are_undone_by_the_next(reach):
    plant = Plant(reach)
    specification = ROBOTS.load("xarm7")
    start = home_start(reach, specification)
    mass = reach.body_mass.copy()
    plant.reset(PlantStart(start.qpos, start.qvel, start.ctrl, {"body_mass": mass * 2}), 0.0)
    assert np.allclose(reach.body_mass, mass * 2)
    plant.reset(start, 1.0)
    assert np.allclose(reach.body_mass, mass)
    assert plant.time == 1.0


def test_the_wall_clock_drives_the_twin_too(reach):
    clock = DrivenClock(3.0)
    twin = twin_of(reach, "xarm7", clock=clock)
    clock.advance(0.05)
    state = twin.read()
    assert (twin.plant.time, state.t) == (pytest.approx(3.05), pytest.approx(3.05))
