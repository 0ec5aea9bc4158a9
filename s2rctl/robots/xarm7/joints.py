"""The xArm7 moved by its joints (mode 6), and the xArm7 that is only watched: what calibration needs.

Mode 6 plans to the newest joint target by itself, as mode 7 does for tool positions.
"""

from typing import Any

from s2rctl.core.errors import SafetyStop
from s2rctl.robots.protocol import Identity, RobotSpecification, Target
from s2rctl.robots.xarm7.driver import MODE_JOINTS_ONLINE, XArm7, address_of, describe
from s2rctl.robots.xarm7.specification import IN_JOINTS
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import XArm7Robot

JOINT_ACCELERATION = 3.0
"""rad/s²: gentle, what the arm holds is large and light."""


def make(robot: XArm7Robot, safety: Safety, period_s: float) -> "XArm7Joints":
    """Return the driver for the controller at ``robot.address``; UsageError without an address."""
    return XArm7Joints(address_of(robot), safety, robot.tool_acceleration, period_s)


def make_watch(robot: XArm7Robot, safety: Safety, period_s: float) -> "XArm7Watch":
    """Return the reading driver for the controller at ``robot.address``; UsageError without an address."""
    return XArm7Watch(address_of(robot), safety, robot.tool_acceleration, period_s)


class XArm7Joints(XArm7):
    """Implements ``Robot`` with joint targets. Its identity has the arm's own kinematics where the controller tells."""

    specification: RobotSpecification = IN_JOINTS
    mode = MODE_JOINTS_ONLINE

    def send(self, target: Target) -> None:
        """Hand the newest joint positions to the controller's planner."""
        self._may_send(target)
        code = self._arm.set_servo_angle(
            angle=[float(value) for value in target.values],
            speed=self._safety.joint_speed,
            mvacc=JOINT_ACCELERATION,
            is_radian=True,
            wait=False,
        )
        if code != 0:
            raise SafetyStop(f"the xArm did not take a command: {self._reason(code)}")

    def _identify(self) -> Identity:
        identity = super()._identify()
        return Identity(identity.model, identity.serial, identity.firmware, own_kinematics(self._arm))


class XArm7Watch(XArm7Joints):
    """Implements ``Robot`` without ever enabling, commanding or stopping anything: a person moves the arm."""

    def connect(self) -> Identity:
        """Connect and read; nothing is set or cleared."""
        self._history = []
        self._arm = self._open()
        try:
            _, (error, _) = self._arm.get_err_warn_code()
            if error:
                raise SafetyStop(f"the controller reports {describe(error)}", "clear it on the robot")
            self._wait_for_report()
            return self._identify()
        except BaseException:
            self.close()
            raise

    def _wait_for_report(self) -> None:
        """Return when the first report has come."""
        deadline = self._clock.now() + 2.0
        while not self._history:
            if self._clock.now() > deadline:
                raise SafetyStop("the controller sends no reports", "check that nothing blocks port 30003")
            self._clock.sleep_until(self._clock.now() + 0.02)

    def send(self, target: Target) -> None:
        """Refuse."""
        raise SafetyStop("this driver only reads", "let the command drive the arm: --arm")

    def stop(self, level: Any) -> None:
        """Do nothing: whoever moves the arm stops it."""

    def _codes(self) -> tuple[str, ...]:
        return () if self._arm.connected else ("the connection to the controller is lost",)


def own_kinematics(arm: Any) -> tuple[float, ...]:
    """Return the 28 figures that firmware 2.0 and later gives of the arm's own links; none from older ones."""
    try:
        code, figures = arm.get_dh_params()
    except Exception:  # an SDK without the call
        return ()
    return tuple(float(figure) for figure in figures[:28]) if code == 0 and len(figures) >= 28 else ()
