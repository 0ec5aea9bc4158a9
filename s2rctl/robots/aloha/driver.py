"""The real Aloha: two ViperX-300 follower arms, each on its own Dynamixel bus, through the vendor's SDK.

No ROS. Both arms are read and commanded in parallel, each by its own thread; a state is as old as the older of the
two. What the motors refuse, what they report and what they were found to be is said in words.
"""

from pathlib import Path

from s2rctl.core.clock import WALL, Clock
from s2rctl.core.errors import UsageError
from s2rctl.robots.aloha.arm import Arm
from s2rctl.robots.aloha.both import ArmReading, state_of, targets_of
from s2rctl.robots.aloha.bring_up import Settings
from s2rctl.robots.aloha.gripper import GRIPPERS
from s2rctl.robots.aloha.specification import SPECIFICATION
from s2rctl.robots.poses import home_target
from s2rctl.robots.protocol import Identity, RobotSpecification, State, StopLevel, Target
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import AlohaRobot

SILENCE_SHARE = 0.8
"""Part of the age that stops the loop after which the driver says itself which motor is silent."""
DAMAGE_PERIODS = 6
"""Control periods in which an arm whose answers come damaged again and again stops the loop."""
FIRST_READING_S = 1.0
_JOINTS = 6


def make(robot: AlohaRobot, safety: Safety, period_s: float, clock: Clock = WALL) -> "Aloha":
    """Return the driver for the arms at ``robot.ports``; UsageError without a device for each."""
    arms = tuple(arm.rstrip("/") for arm in SPECIFICATION.arms)
    for arm in arms:
        if not robot.ports.get(arm):
            raise UsageError(
                f"robot.ports has no device for the {arm} arm", f"--set robot.ports.{arm}=/dev/ttyDXL_follower_{arm}"
            )
    return Aloha({arm: robot.ports[arm] for arm in arms}, robot, safety, period_s, clock)


class Aloha:
    """Implements ``Robot``. ``ports`` has the serial device of each arm by name."""

    specification: RobotSpecification = SPECIFICATION

    def __init__(
        self, ports: dict[str, str], robot: AlohaRobot, safety: Safety, period_s: float, clock: Clock = WALL
    ) -> None:
        gripper = GRIPPERS[robot.gripper]
        if robot.gripper_range_rad is not None:
            gripper = gripper.between(*robot.gripper_range_rad)
        settings = Settings(
            speed=safety.joint_speed * robot.setpoint_slack,
            gripper_current_ma=robot.gripper_current_ma,
            watchdog_s=safety.device_watchdog_s,
            silence_s=SILENCE_SHARE * safety.max_state_age_periods * period_s,
            low=SPECIFICATION.target_low[:_JOINTS],
            high=SPECIFICATION.target_high[:_JOINTS],
            damage_s=DAMAGE_PERIODS * period_s,
        )
        self._arms = [Arm(name, device, settings, gripper, clock) for name, device in ports.items()]
        self._stopped = True

    def connect(self) -> Identity:
        """Bring both arms up; they hold where they are. Errors are never cleared here."""
        try:
            for arm in self._arms:
                arm.open()
            self._wait()
        except BaseException:
            self.close()
            raise
        self._stopped = False
        firmware = min(arm.firmware for arm in self._arms)
        return Identity("Aloha, two ViperX-300", ", ".join(_serial(arm.device) for arm in self._arms), str(firmware))

    def read(self) -> State:
        """Return the newest measurement of both arms; its time is that of the older one."""
        newest = [(arm, arm.newest()) for arm in self._arms]
        return state_of(ArmReading(r.t, r.angles, r.speeds, arm.gripper, tuple(arm.codes())) for arm, r in newest)

    def send(self, target: Target) -> None:
        """Hand the joint targets to both arms' threads."""
        for arm, values in zip(self._arms, targets_of(target, self._stopped), strict=True):
            arm.aim(values[:_JOINTS], values[_JOINTS])

    def hold(self) -> None:
        """Do nothing: the motors hold their last goals by themselves."""

    def stop(self, level: StopLevel) -> None:
        """SOFT: brake evenly and hold. HARD: hold where the arms are now. Torque stays on: they would drop."""
        self._stopped = True
        for arm in self._arms:
            arm.freeze(coast=level is StopLevel.SOFT)

    def parking(self) -> Target:
        """Return the home pose."""
        return home_target(SPECIFICATION)

    def recover(self) -> None:
        """Clear errors and make ready: only when a person asked for it and holds the arms."""
        try:
            for arm in self._arms:
                arm.recover()
            self._wait()
        except BaseException:
            self.close()
            raise
        self._stopped = False

    def close(self) -> None:
        """Let go of the buses; the arms hold their position with torque on."""
        self._stopped = True
        for arm in self._arms:
            arm.close()

    def _wait(self) -> None:
        """Wait until both arms were measured."""
        for arm in self._arms:
            arm.wait(FIRST_READING_S)


def _serial(device: str) -> str:
    """Return the serial number of the USB adapter behind a device, or else the device: the motors have none."""
    from serial.tools import list_ports

    real = str(Path(device).resolve())
    return next(
        (port.serial_number for port in list_ports.comports() if port.device == real and port.serial_number), device
    )
