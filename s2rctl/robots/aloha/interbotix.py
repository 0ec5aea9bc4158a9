"""The Aloha through Interbotix's ROS packages, for installations that already run them (``robot.driver: interbotix``).

Works with ``interbotix_xs_modules`` of ROS 2 and of ROS 1; ``robot.ports`` then names the robots (``follower_left``,
``puppet_left``), whose ``xs_sdk`` nodes hold the serial devices. Commands are published directly: the packages' own
``set_joint_positions`` drops an arm's whole command without a word when one joint is out of range. Operating modes are
compared, never set: setting one switches torque off, and the arms drop.

Not run against ROS by us: only against a stand-in for the packages. The motors' bus watchdog is no help here, because
the node goes on talking to them; the process that this driver runs in stops the arms instead.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, SafetyStop, UsageError
from s2rctl.robots.aloha.both import ArmReading, state_of, targets_of
from s2rctl.robots.aloha.gripper import GRIPPERS, Gripper
from s2rctl.robots.aloha.motors import COAST_S, LEADING, error_hint, error_text
from s2rctl.robots.aloha.specification import SPECIFICATION
from s2rctl.robots.poses import home_target
from s2rctl.robots.protocol import Identity, RobotSpecification, State, StopLevel, Target
from s2rctl.robots.remote import RemoteRobot
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import AlohaRobot

MODEL = "vx300s"
POLL_S = 0.005
"""The packages keep the newest joint states in an attribute; a reading's age is known to this much."""
HEALTH_S = 1.0
FIRST_READING_S = 5.0
_JOINTS = 6
_NAMES = tuple(motor.name for motor in LEADING)


def remote(robot: AlohaRobot, safety: Safety, period_s: float) -> RemoteRobot:
    """Return the driver in a process of its own, which stops the arms when the loop is gone."""
    _names(robot)
    return RemoteRobot(SPECIFICATION, robot, safety, period_s, factory="aloha-interbotix")


def make(robot: AlohaRobot, safety: Safety, period_s: float) -> "Interbotix":
    """Return the driver itself."""
    gripper = GRIPPERS[robot.gripper]
    if robot.gripper_range_rad is not None:
        gripper = gripper.between(*robot.gripper_range_rad)
    return Interbotix(_names(robot), gripper)


def _names(robot: AlohaRobot) -> list[str]:
    """Return the ROS name of each arm's robot; UsageError where one is missing."""
    arms = [arm.rstrip("/") for arm in SPECIFICATION.arms]
    for arm in arms:
        if not robot.ports.get(arm):
            raise UsageError(
                f"robot.ports has no ROS robot for the {arm} arm", f"--set robot.ports.{arm}=follower_{arm}"
            )
    return [robot.ports[arm] for arm in arms]


@dataclass(frozen=True)
class Reading:
    """Newest joint states of one arm."""

    t: float  # s, monotonic, when they were first seen
    angles: np.ndarray  # (7,) rad, six joints and the gripper's motor
    speeds: np.ndarray  # (7,) rad/s


class Interbotix:
    """Implements ``Robot``. ``names`` are the ROS names of the left and the right arm's robot."""

    specification: RobotSpecification = SPECIFICATION

    def __init__(self, names: list[str], gripper: Gripper) -> None:
        self._names, self._gripper = names, gripper
        self._arms: list[Arm] = []
        self._stopped = True

    def connect(self) -> Identity:
        """Find both arms and see that they hold in the right modes. Nothing is set and nothing is cleared."""
        self.close()
        api = Api()
        try:
            self._arms = [Arm(name, *api.robot(name)) for name in self._names]
            api.start()
            for arm in self._arms:
                arm.open()
        except BaseException:
            self.close()
            raise
        self._stopped = False
        return Identity("Aloha, two ViperX-300 through ROS", ", ".join(self._names), api.generation)

    def read(self) -> State:
        """Return the newest measurement of both arms; its time is that of the older one."""
        newest = [(arm, arm.newest()) for arm in self._arms]
        return state_of(ArmReading(r.t, r.angles, r.speeds, self._gripper, arm.codes) for arm, r in newest)

    def send(self, target: Target) -> None:
        """Publish the joint targets of both arms."""
        for arm, values in zip(self._arms, targets_of(target, self._stopped), strict=True):
            arm.aim([*values[:_JOINTS], self._gripper.angle(values[_JOINTS])])

    def hold(self) -> None:
        """Do nothing: the motors hold their last goals by themselves."""

    def stop(self, level: StopLevel) -> None:
        """SOFT: brake evenly and hold. HARD: hold where the arms are now. Torque stays on: they would drop."""
        self._stopped = True
        for arm in self._arms:
            arm.freeze(COAST_S if level is StopLevel.SOFT else 0.0)

    def parking(self) -> Target:
        """Return the home pose."""
        return home_target(SPECIFICATION)

    def recover(self) -> None:
        """Raise UsageError: errors are cleared with the packages' own tools, which reboot motors."""
        raise UsageError(
            "with robot.driver interbotix, errors are cleared through ROS",
            "call the service reboot_motors of the arm's xs_sdk node, with a hand under the arm",
        )

    def close(self) -> None:
        """Let go of the arms; they hold with torque on."""
        self._stopped = True
        for arm in self._arms:
            arm.close()
        self._arms = []


def _generation() -> tuple[str, Any, Any]:
    """Return the name of the ROS, its class of robots, and ROS 2's node; ImportError where there is neither."""
    try:
        from interbotix_common_modules.common_robot.robot import create_interbotix_global_node
        from interbotix_xs_modules.xs_robot.arm import InterbotixManipulatorXS
    except ImportError:
        from interbotix_xs_modules.arm import InterbotixManipulatorXS

        return "ROS 1", InterbotixManipulatorXS, None
    return "ROS 2", InterbotixManipulatorXS, create_interbotix_global_node("s2rctl")


class Api:
    """The packages of whichever ROS is sourced."""

    def __init__(self) -> None:
        try:
            from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand

            self.generation, self._make, self._node = _generation()
        except ImportError as error:
            raise MissingEnvironmentError(
                "Interbotix's ROS packages are not on the Python path",
                "source the workspace (ROS 1 noetic, ROS 2 humble), or set robot.driver=direct to do without ROS",
            ) from error
        self.messages = (JointGroupCommand, JointSingleCommand)
        self._first = True

    def robot(self, name: str) -> tuple[Any, Any, Any]:
        """Return the core of the robot of a name and the two message classes."""
        if self._node is not None:
            robot = self._make(robot_model=MODEL, robot_name=name, node=self._node, iterative_update_fk=False)
            return (robot.core, *self.messages)
        robot = self._make(
            robot_model=MODEL, group_name="arm", gripper_name="gripper", robot_name=name, init_node=self._first
        )
        self._first = False
        return (robot.dxl, *self.messages)

    def start(self) -> None:
        """Let ROS 2 deliver messages; ROS 1 does so by itself."""
        if self._node is not None:
            from interbotix_common_modules.common_robot.robot import robot_startup

            robot_startup(self._node)


class Arm:
    """One arm behind its ``core``: newest joint states by polling, commands by publishing."""

    def __init__(self, name: str, core: Any, group: Any, single: Any) -> None:
        self.name = name
        self.codes: tuple[str, ...] = ()
        self._core, self._group, self._single = core, group, single
        self._newest: Reading | None = None
        self._closed = threading.Event()

    def open(self) -> None:
        """Check modes, torque and errors, and start listening."""
        for motor in LEADING:
            if self._register(motor.name, "Operating_Mode") != int(motor.mode):
                raise SafetyStop(
                    f"{self.name}: {motor.name} is in the wrong operating mode", "see the mode configuration of xs_sdk"
                )
            if self._register(motor.name, "Torque_Enable") != 1:
                raise SafetyStop(
                    f"{self.name}: {motor.name} has torque disabled", "enable it through ROS, with a hand under the arm"
                )
        self._look_after()
        if self.codes:
            raise SafetyStop(self.codes[0], "find the cause before you clear it")
        threading.Thread(target=self._listen, name=self.name, daemon=True).start()
        deadline = time.monotonic() + FIRST_READING_S
        while self._newest is None:
            if time.monotonic() > deadline:
                raise MissingEnvironmentError(
                    f"{self.name} publishes no joint states",
                    "start its xs_sdk node and check the name in robot.ports",
                )
            time.sleep(POLL_S)

    def newest(self) -> Reading:
        """Return the newest reading."""
        if self._newest is None:
            raise SafetyStop(f"{self.name} publishes no joint states")
        return self._newest

    def aim(self, angles: list[float]) -> None:
        """Publish the goals (7,) rad."""
        self._core.pub_group.publish(self._group(name="arm", cmd=angles[:_JOINTS]))
        self._core.pub_single.publish(self._single(name="gripper", cmd=angles[_JOINTS]))

    def freeze(self, ahead_s: float) -> None:
        """Publish as goals where the arm is, or will be in ``ahead_s``."""
        if self._newest is not None:
            self.aim((self._newest.angles + ahead_s * self._newest.speeds).tolist())

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()

    def _listen(self) -> None:
        """Take joint states as they come, and look for errors now and then."""
        last, looked = None, time.monotonic()
        while not self._closed.wait(POLL_S):
            states = self._core.joint_states
            if states is not last and states is not None:
                last = states
                self._newest = _reading(states)
            if time.monotonic() - looked > HEALTH_S:
                self._look_after()
                looked = time.monotonic()

    def _look_after(self) -> None:
        """Note the motors' errors by name."""
        bits = {motor.name: self._register(motor.name, "Hardware_Error_Status") for motor in LEADING}
        self.codes = tuple(
            f"{self.name}, {name}: {error_text(value)} ({error_hint(value)})" for name, value in bits.items() if value
        )

    def _register(self, motor: str, register: str) -> int:
        """Return one register through the node's service."""
        return int(self._core.robot_get_motor_registers("single", motor, register).values[0])


def _reading(states: Any) -> Reading:
    """Return joint states in the order of our targets."""
    index = {name: number for number, name in enumerate(states.name)}
    rows = [index[name] for name in _NAMES]
    return Reading(time.monotonic(), np.array(states.position)[rows], np.array(states.velocity)[rows])
