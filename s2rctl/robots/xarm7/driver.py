"""The real xArm7 through the vendor's SDK, in mode 7: the controller plans a line to the newest target by itself.

The SDK prints to stdout and sets a process-wide socket time-out; both are undone here. It does not refuse commands in
the wrong mode and accepts NaN, so mode, state and numbers are checked before each command.
"""

import logging
import math
import threading
from typing import Any

import numpy as np

from s2rctl.core.clock import WALL, Clock
from s2rctl.core.errors import MissingEnvironmentError, SafetyStop, UsageError
from s2rctl.core.spatial import from_matrix, to_rpy
from s2rctl.robots.poses import home_target
from s2rctl.robots.protocol import Identity, RobotSpecification, State, StopLevel, Target
from s2rctl.robots.xarm7.sdk import Sockets, ToStderr, quiet
from s2rctl.robots.xarm7.specification import SPECIFICATION
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import XArm7Robot

MODE_LINE_ONLINE = 7
MODE_JOINTS_ONLINE = 6
STOPPED_STATES = (4, 5)
ANSWER_SHARE = 0.9
"""Part of the age at which readings stop the robot within which the controller has to answer a command.

The SDK waits 2 s, for moves 10 s; with the usual age of two periods silence stops the loop within three."""
FENCE_SLACK_MM = 20
"""The controller's fence stands this far outside the filter's box: the filter limits, the fence only catches."""
TOOL_OFFSET_MM = 172.0
AGREEMENT_M = 0.005
"""Largest difference of the controller's tool position from our kinematics: more means another offset is set."""
VELOCITY_WINDOW_S = 0.03
_REASONS = {-1: "not connected", -8: "out of range", 3: "no answer in time", 9: "not ready to move", 10: "refused"}


def make(robot: XArm7Robot, safety: Safety, period_s: float) -> "XArm7":
    """Return the driver for the controller at ``robot.address``; UsageError without an address."""
    return XArm7(address_of(robot), safety, robot.tool_acceleration, period_s)


def address_of(robot: XArm7Robot) -> str:
    """Return where the controller is; UsageError where the profile does not say."""
    if not robot.address:
        raise UsageError("robot.address is not set", "--set robot.address=192.168.1.203 (the controller's IP address)")
    return robot.address


class XArm7:
    """Implements ``Robot``. ``address`` is an IPv4 address, with ``:port`` only for an emulated controller."""

    specification: RobotSpecification = SPECIFICATION
    mode = MODE_LINE_ONLINE

    def __init__(self, address: str, safety: Safety, acceleration: float, period_s: float, clock: Clock = WALL) -> None:
        self._clock = clock
        self._host, _, port = address.partition(":")
        self._port = int(port) if port else None
        self._safety = safety
        self._answer_s = ANSWER_SHARE * safety.max_state_age_periods * period_s
        self._acceleration = acceleration * 1000  # mm/s²
        self._arm: Any = None
        self._lock = threading.Lock()
        self._history: list[tuple[float, np.ndarray]] = []
        home = np.array(SPECIFICATION.home)
        self._rpy = to_rpy(SPECIFICATION.kinematics.pose("flange", home)[1])
        self._stopped = False

    def connect(self) -> Identity:
        """Connect, set limits, and bring the arm up in mode 7; it does not move. Errors are never cleared here."""
        self._history = []  # of a connection before
        self._arm = self._open()
        arm = self._arm
        try:
            _, (error, _) = arm.get_err_warn_code()
            if error:
                raise SafetyStop(
                    f"the controller reports {describe(error)}", "find the cause and clear it on the robot"
                )
            identity = self._identify()
            arm.clean_warn()
            self._demand(arm.motion_enable(True), "enable the motors")
            self._set_limits()
            self._demand(arm.set_tcp_offset([0, 0, TOOL_OFFSET_MM, 0, 0, 0], wait=False), "set the tool offset")
            self._ready()
            self._check_agreement()
        except BaseException:
            self.close()
            raise
        return identity

    def read(self) -> State:
        """Return the newest report; its time is when it arrived."""
        with self._lock:
            history = list(self._history)
        if not history:
            raise SafetyStop("the controller sends no reports", "check the cable and that nothing blocks port 30003")
        t, joints = history[-1]
        t0, before = next((entry for entry in reversed(history) if t - entry[0] >= VELOCITY_WINDOW_S), history[0])
        velocity = (joints - before) / (t - t0) if t > t0 else np.zeros_like(joints)
        position, rotation = SPECIFICATION.kinematics.pose("tcp", joints)
        tool = np.concatenate([position, from_matrix(rotation)])[None]
        return State(t, joints, velocity, tool, self._codes())

    def send(self, target: Target) -> None:
        """Hand the newest tool position to the controller's planner."""
        arm = self._arm
        self._may_send(target)
        x, y, z = (float(value) * 1000 for value in target.values)
        roll, pitch, yaw = self._rpy
        speed = self._safety.tool_speed * 1000
        code = arm.set_position(
            x, y, z, roll, pitch, yaw, speed=speed, mvacc=self._acceleration, is_radian=True, wait=False
        )
        if code != 0:
            raise SafetyStop(f"the xArm did not take a command: {self._reason(code)}")

    def _may_send(self, target: Target) -> None:
        """Raise SafetyStop for a target that is none, and where the controller would not move to it."""
        if not self.specification.space.takes(target.values):
            what = "tool" if self.specification.space.tools else "joint"
            raise SafetyStop(f"only finite {what} positions may be sent to the xArm")
        if self._stopped or self._arm.mode != self.mode:
            raise SafetyStop("the xArm is stopped or in another mode", "run the command again")

    def hold(self) -> None:
        """Do nothing: the controller holds the last target by itself."""

    def stop(self, level: StopLevel) -> None:
        """SOFT: let the controller decelerate. HARD: its own immediate stop."""
        self._stopped = True
        if self._arm is not None and self._arm.connected:
            self._arm.set_state(6 if level is StopLevel.SOFT else 4)

    def parking(self) -> Target:
        """Return the tool's home position."""
        return home_target(self.specification)

    def recover(self) -> None:
        """Clear the error and make ready, connecting if necessary: only when a person asked for it."""
        if self._arm is None:
            self._history = []
            self._arm = self._open()
        self._arm.clean_error()
        self._arm.clean_warn()
        self._demand(self._arm.motion_enable(True), "enable the motors")
        self._ready()

    def close(self) -> None:
        """Disconnect; the arm holds its position."""
        if self._arm is not None:
            from xarm.core.utils.log import logger

            logger.setLevel(logging.CRITICAL)  # the SDK's threads take the end of the connection for an error
            with quiet():
                self._arm.disconnect()
            self._arm = None

    def _open(self) -> Any:
        try:
            with quiet():
                from xarm.core.comm import socket_port
                from xarm.core.config.x_config import XCONF
                from xarm.core.utils.log import logger, origin_logger
                from xarm.wrapper import XArmAPI
        except ImportError as error:
            raise MissingEnvironmentError("the xArm SDK is not installed", "pip install 's2rctl[xarm]'") from error
        for chatty in (logger, origin_logger):
            chatty.handlers = [ToStderr()]  # the SDK logs to stdout
        logger.setLevel(logging.WARNING)
        socket_port.socket = Sockets()
        standard = XCONF.SocketConf.TCP_CONTROL_PORT
        try:
            if self._port is not None:
                XCONF.SocketConf.TCP_CONTROL_PORT = self._port
            with quiet():
                # without forbid_uds a file in the temporary folder could redirect every connection
                arm = XArmAPI(
                    self._host,
                    is_radian=True,
                    do_not_open=True,
                    report_type="real",
                    forbid_uds=True,
                    check_tcp_limit=True,
                )
                arm.connect()
        except Exception as error:  # the SDK raises plain Exception
            raise MissingEnvironmentError(
                f"no xArm controller answers at {self._host}",
                "check the cable, robot.address and that it is switched on",
            ) from error
        finally:
            XCONF.SocketConf.TCP_CONTROL_PORT = standard
        arm.set_timeout(self._answer_s)
        _bound_moves(arm.core, self._answer_s)
        arm.register_report_callback(self._on_report, report_cartesian=False, report_state=False)
        return arm

    def _on_report(self, report: dict[str, Any]) -> None:
        """Keep the reports of the last tenth of a second."""
        now = self._clock.now()
        with self._lock:
            self._history.append((now, np.array(report["joints"][:7], float)))
            self._history = [entry for entry in self._history if now - entry[0] < 0.1]

    def _identify(self) -> Identity:
        arm = self._arm
        if arm.axis != 7:
            raise SafetyStop(f"this is an xArm{arm.axis}, the policy is for an xArm7", "connect the right robot")
        return Identity(f"xArm{arm.axis}", str(arm.sn), ".".join(str(part) for part in arm.version_number))

    def _set_limits(self) -> None:
        """Let the controller enforce the filter's limits, too."""
        arm, safety = self._arm, self._safety
        self._demand(arm.set_reduced_max_tcp_speed(safety.tool_speed * 1000), "set the tool speed limit")
        self._demand(arm.set_reduced_max_joint_speed(math.pi, is_radian=True), "set the joint speed limit")
        if safety.workspace_low is not None and safety.workspace_high is not None:
            boundary = []
            for low, high in zip(safety.workspace_low, safety.workspace_high, strict=True):
                boundary += [round(high * 1000) + FENCE_SLACK_MM, round(low * 1000) - FENCE_SLACK_MM]
            self._demand(arm.set_reduced_tcp_boundary(boundary), "set the workspace")
            self._demand(arm.set_fence_mode(True), "switch the fence on")
        self._demand(arm.set_reduced_mode(True), "switch reduced mode on")

    def _ready(self) -> None:
        """Enter mode 7 and wait until the controller says so."""
        arm = self._arm
        self._demand(arm.set_mode(self.mode), f"set mode {self.mode}")
        self._demand(arm.set_state(0), "make ready")
        clock = self._clock
        deadline = clock.now() + 2.0
        while clock.now() < deadline:
            if arm.mode == self.mode and arm.state not in STOPPED_STATES and self._history:
                self._stopped = False
                return
            clock.sleep_until(clock.now() + 0.02)
        raise SafetyStop(f"the xArm did not become ready in mode {self.mode}", "check its state in xArm Studio")

    def _check_agreement(self) -> None:
        """Compare the controller's tool position with ours, which finds wrong offsets and a wrong arm."""
        code, pose = self._arm.get_position(is_radian=True)
        self._demand(code, "read its position")
        ours = SPECIFICATION.kinematics.point("tcp", self._history[-1][1])
        gap_m = float(np.linalg.norm(np.array(pose[:3]) / 1000 - ours))
        if gap_m > AGREEMENT_M:
            raise SafetyStop(
                f"the controller's tool position is {gap_m * 1000:.0f} mm away from our forward kinematics",
                "remove other tool and base offsets on the controller",
            )

    def _codes(self) -> tuple[str, ...]:
        """Return the errors in force; the controller is only asked when its report says that it stopped."""
        arm = self._arm
        if not arm.connected:
            return ("the connection to the controller is lost",)
        if arm.state not in STOPPED_STATES:
            return ()
        code, (error, _) = arm.get_err_warn_code()
        if code == 0 and error:
            return (describe(error),)
        return ("the controller stopped",)

    def _demand(self, code: Any, what: str) -> None:
        """Raise SafetyStop unless an SDK call returned 0 (some return it in a list)."""
        value = code[0] if isinstance(code, list | tuple) else code
        if value != 0:
            raise SafetyStop(f"could not {what}: {self._reason(value)}", "check the controller's state in xArm Studio")

    def _reason(self, code: int) -> str:
        if code == 1:
            _, (error, _) = self._arm.get_err_warn_code()
            return describe(error)
        return _REASONS.get(code, f"API code {code}")


def describe(code: int) -> str:
    """Return a controller error in the vendor's words, e.g. ``C31 Collision Caused Abnormal Current``."""
    from xarm.core.config.x_code import ControllerErrorCodeMap

    entry = ControllerErrorCodeMap.get(code, {})
    return f"C{code} {entry.get('en', {}).get('title', 'unknown error')}".strip()


def _bound_moves(commands: Any, seconds: float) -> None:
    """Give moves the same time-out as other commands: the SDK's fixed 10 s would hold its lock, and block the stop."""
    patient = commands.set_nfp32_with_bytes

    def bounded(*arguments: Any, timeout: float | None = None, **options: Any) -> Any:
        del timeout
        return patient(*arguments, timeout=seconds, **options)

    commands.set_nfp32_with_bytes = bounded
