"""The Aloha through Interbotix's ROS packages: against a stand-in with the packages' names, calls and behaviour."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from s2rctl.core.errors import MissingEnvironmentError, SafetyStop, UsageError
from s2rctl.robots import make_driver
from s2rctl.robots.aloha import interbotix
from s2rctl.robots.aloha.gripper import GRIPPERS
from s2rctl.robots.aloha.motors import LEADING
from s2rctl.robots.protocol import StopLevel, Target
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import AlohaRobot, XArm7Robot
from tests.waiting import wait_for

SETTINGS = AlohaRobot(name="aloha", driver="interbotix", ports={"left": "follower_left", "right": "follower_right"})
NAMES = [motor.name for motor in LEADING]


class Core:
    """One robot's node: publishes joint states, takes goals, answers for registers."""

    def __init__(self, name):
        self.name, self.goals, self.registers = name, {}, {}
        self.velocity = np.zeros(9)
        self.pub_group = SimpleNamespace(publish=self._take)
        self.pub_single = SimpleNamespace(publish=self._take)
        self.publish(np.zeros(7))

    def publish(self, angles):
        # ROS gives them in an order of its own, with the fingers.
        order = [*reversed(NAMES), "left_finger", "right_finger"]
        values = [*reversed(list(angles)), 0.02, -0.02]
        self.joint_states = SimpleNamespace(name=order, position=values, velocity=list(self.velocity))

    def _take(self, message):
        self.goals[message.name] = message.cmd

    def robot_get_motor_registers(self, kind, motor, register):
        assert kind == "single"
        usual = {"Torque_Enable": 1, "Hardware_Error_Status": 0, "Operating_Mode": 5 if motor == "gripper" else 3}
        return SimpleNamespace(values=[self.registers.get((motor, register), usual[register])])


@pytest.fixture(params=["ROS 2", "ROS 1"])
def cores(request, monkeypatch):
    made = {}

    def manipulator(**given):
        assert given["robot_model"] == "vx300s"
        made[given["robot_name"]] = core = Core(given["robot_name"])
        if request.param == "ROS 2":
            assert given["node"] == "node" and given["iterative_update_fk"] is False
            return SimpleNamespace(core=core)
        assert given["init_node"] is (len(made) == 1)  # a ROS 1 process has one node
        return SimpleNamespace(dxl=core)

    def module(name, **values):
        found = ModuleType(name)
        vars(found).update(values)
        monkeypatch.setitem(sys.modules, name, found)

    module("interbotix_xs_msgs")
    module("interbotix_xs_msgs.msg", JointGroupCommand=SimpleNamespace, JointSingleCommand=SimpleNamespace)
    module("interbotix_xs_modules")
    if request.param == "ROS 2":
        started = []
        module("interbotix_common_modules")
        module("interbotix_common_modules.common_robot")
        module(
            "interbotix_common_modules.common_robot.robot",
            create_interbotix_global_node=lambda name: "node",
            robot_startup=started.append,
        )
        module("interbotix_xs_modules.xs_robot")
        module("interbotix_xs_modules.xs_robot.arm", InterbotixManipulatorXS=manipulator)
    else:
        module("interbotix_xs_modules.arm", InterbotixManipulatorXS=manipulator)
    yield made, request.param
    if request.param == "ROS 2":
        assert started == ["node"] * len(started) and started


@pytest.fixture
def arms(cores):
    cores, generation = cores
    driver = interbotix.make(SETTINGS, Safety(), 0.05)
    identity = driver.connect()
    assert (identity.serial, identity.firmware) == ("follower_left, follower_right", generation)
    yield driver, cores["follower_left"], cores["follower_right"]
    driver.close()


def test_joints_are_read_by_name_and_age_as_they_stop_coming(arms):
    driver, left, right = arms
    gripper = GRIPPERS["aloha2"]
    left.publish([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, gripper.open_rad])
    right.publish([-0.1] * 6 + [gripper.closed_rad])
    assert wait_for(lambda: driver.read().joint_pos[0] == 0.1 and driver.read().joint_pos[8] == -0.1)
    state = driver.read()
    np.testing.assert_allclose(state.joint_pos[:8], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.037, 0.037], atol=1e-9)
    np.testing.assert_allclose(state.joint_pos[14:], [0.002, 0.002], atol=1e-9)
    assert driver.read().t == state.t  # nothing new has come: the reading grows old


def test_goals_go_to_both_arms_and_fingers_become_motor_angles(arms):
    driver, left, right = arms
    home = driver.parking().values
    driver.send(Target(home))
    for core, goal in ((left, home[:7]), (right, home[7:])):
        np.testing.assert_allclose(core.goals["arm"], goal[:6])
        assert GRIPPERS["aloha2"].travel(core.goals["gripper"]) == pytest.approx(goal[6])


@pytest.mark.parametrize(("level", "ahead"), [(StopLevel.SOFT, 0.05), (StopLevel.HARD, 0.0)])
def test_a_stop_holds_where_the_arms_are_and_takes_nothing_more(arms, level, ahead):
    driver, left, _ = arms
    left.velocity = np.full(9, 0.4)
    left.publish([0.5] * 7)
    assert wait_for(lambda: driver.read().joint_pos[0] == 0.5)
    driver.stop(level)
    np.testing.assert_allclose(left.goals["arm"], 0.5 + 0.4 * ahead)
    with pytest.raises(SafetyStop, match="is stopped"):
        driver.send(driver.parking())


def test_only_finite_targets_of_both_arms_are_taken(arms):
    for values in (np.full(14, np.nan), np.zeros(7)):
        with pytest.raises(SafetyStop, match="14 finite"):
            arms[0].send(Target(values))


def test_errors_that_come_up_are_named(arms, monkeypatch):
    driver, left, _ = arms
    monkeypatch.setattr(interbotix, "HEALTH_S", 0.0)
    left.registers["gripper", "Hardware_Error_Status"] = 1 << 5
    assert wait_for(lambda: driver.read().codes)
    assert driver.read().codes[0].startswith("follower_left, gripper: overload")
    with pytest.raises(UsageError, match="through ROS"):
        driver.recover()


@pytest.mark.parametrize(
    ("register", "value", "words"),
    [
        ("Operating_Mode", 16, "elbow is in the wrong operating mode"),
        ("Torque_Enable", 0, "elbow has torque disabled"),
        ("Hardware_Error_Status", 4, "elbow: overheating"),
    ],
)
def test_what_is_not_ready_is_refused_and_nothing_is_set(cores, monkeypatch, register, value, words):
    monkeypatch.setattr(Core, "robot_get_motor_registers", _with(("elbow", register), value))
    driver = interbotix.make(SETTINGS, Safety(), 0.05)
    with pytest.raises(SafetyStop, match=words):
        driver.connect()
    assert all(core.goals == {} for core in cores[0].values())


def _with(key, value):
    usual = Core.robot_get_motor_registers

    def answer(self, kind, motor, register):
        return SimpleNamespace(values=[value]) if (motor, register) == key else usual(self, kind, motor, register)

    return answer


def test_a_profile_chooses_it_and_it_runs_apart_and_says_what_is_missing():
    with pytest.raises(ValueError, match="driver"):
        XArm7Robot(name="xarm7", driver="interbotix")
    with pytest.raises(UsageError, match="left arm"):
        make_driver(AlohaRobot(name="aloha", driver="interbotix"), Safety(), 0.05)
    driver = make_driver(SETTINGS, Safety(), 0.05)
    with pytest.raises(MissingEnvironmentError, match="ROS packages are not on the Python path"):
        driver.connect()
    driver.close()
