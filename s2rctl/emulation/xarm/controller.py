"""The controller's behaviour: modes, states, errors, limits and the answers to commands, with MuJoCo as the arm.

Modes 0 (queued lines and joints), 1 (servo), 5 (tool velocity), 6 and 7 (joint and line online) move. What a real
controller does beyond that, when it trips, and how fast it stops is not claimed.
"""

import struct
import threading
from collections import deque
from collections.abc import Callable

import mujoco
import numpy as np

from s2rctl.core.spatial import from_rpy, to_rpy, transform
from s2rctl.core.spatial import inverse as inverted
from s2rctl.emulation.plant import Plant, PlantStart
from s2rctl.emulation.xarm.motion import Goal, JointGoal, LineGoal, Motion, VelocityGoal
from s2rctl.emulation.xarm.wire import LONGEST_PAYLOAD, Function, Report, Request, Status, Unusable
from s2rctl.robots import ROBOTS

VERSION = b"7,7,XI130512345678,AC130512345,v1.12.10"  # the reply holds 40 bytes
READY, MOVING, STOPPED, MODE_CHANGED = 2, 1, 4, 5
BOUNDARY_ERROR, COLLISION_ERROR = 35, 31
MODES = range(8)
STATES = (0, 4, 6)  # ready, stop, decelerate; a pause (3) is not emulated
ALL_MOTORS = 8
LONGEST_QUEUE = 2048  # goals that wait
SERVO_SPEED = 1.0  # m/s, mode 1 executes the latest target at full speed


class Controller:
    """One controller and its arm. ``handle`` and ``tick`` may be called from different threads."""

    def __init__(self, model: mujoco.MjModel, now: float = 0.0) -> None:
        specification = ROBOTS.load("xarm7")
        self.plant = Plant(model)
        home = np.array(specification.home)
        self._qpos = np.array([int(model.joint(name).qposadr[0]) for name in specification.joints])
        self._dofs = np.array([int(model.joint(name).dofadr[0]) for name in specification.joints])
        self._ctrl = np.array([model.actuator(name).id for name in specification.targets])
        self.plant.reset(PlantStart(home, np.zeros(model.nv), home), now)
        self.latency: Callable[[], float] = lambda: 0.0  # s between a motion command and its effect
        self._coming: deque[tuple[float, Goal]] = deque()  # goals of online modes that take effect later
        self.motion = Motion(specification, home)
        self._low, self._high = np.array(specification.joint_low), np.array(specification.joint_high)
        self.mode, self.state, self.enabled = 0, STOPPED, False
        self.error = self.warning = 0
        self.commands = 0  # motion commands taken
        self.silent = False  # fault: answer nothing, report nothing
        self._queue: deque[Goal] = deque()
        self._offset = np.zeros(6)
        self.link_figures: tuple[float, ...] = ()  # what newer firmware tells of the arm's links
        self._reduced, self._fence, self._tcp_speed = False, False, 1.0
        self._boundary = np.array([9999, -9999] * 3) / 1000
        self.lock = threading.RLock()
        self._answers = self._table()

    def reset(self, start: PlantStart, now: float) -> None:
        """Put the arm where an episode begins at time ``now`` s, holding; mode, limits and enabled motors stay."""
        with self.lock:
            self.plant.reset(start, now)
            self._forget()
            self.motion.reset(np.array(start.ctrl)[self._ctrl])
            self.error, self.silent = 0, False
            self.commands = 0

    def tick(self) -> None:
        """Advance controller and arm by one physics step."""
        with self.lock:
            dt = float(self.plant.model.opt.timestep)
            while self._coming and self._coming[0][0] <= self.plant.time + 1e-9:
                self.motion.goal = self._coming.popleft()[1]
            if self.state in (READY, MOVING):
                if self.motion.goal is None and self._queue:
                    self.motion.goal = self._queue.popleft()
                self.motion.tick(self.plant.time, dt)
                self.state = MOVING if self.motion.moving else READY
                self._check_fence()
            elif not self.error:
                self.motion.tick(self.plant.time, dt)  # decelerates
            ctrl = self.plant.data.ctrl.copy()
            ctrl[self._ctrl] = self.motion.joints
            self.plant.command(ctrl, self.plant.time)
            self.plant.step()

    def fail(self, code: int) -> None:
        """Inject a controller error: the arm stops where it is."""
        with self.lock:
            self._fail(code)

    def handle(self, request: Request) -> bytes | None:
        """Return the reply to a command, or None when the controller is silent."""
        if self.silent:
            return None
        with self.lock:
            answer = self._answers.get(request.function)
            try:
                if answer is None or len(request.payload) > LONGEST_PAYLOAD:
                    raise Unusable("not for this controller")
                status, payload = answer(request)
            except Unusable:
                status, payload = Status.INVALID, _blank(request)
            return request.reply(int(status | self._condition()), payload)

    def report(self) -> Report:
        """Return what the controller tells of itself now."""
        with self.lock:
            joints = self._measured()
            torque = self.plant.data.qfrc_actuator[self._dofs]
            return Report(
                state=self.state,
                mode=self.mode,
                commands=len(self._queue),
                joints=joints.tolist(),
                pose=self._pose(joints),
                torque=torque.tolist(),
                enabled=self.enabled,
                error=self.error,
                warning=self.warning,
                tcp_offset=self._offset.tolist(),
            )

    def _table(self) -> dict[int, Callable[[Request], tuple[Status, bytes]]]:
        f = Function
        return {
            f.VERSION: lambda r: (Status.OK, VERSION.ljust(40, b"\0")),
            f.SERIAL: lambda r: (Status.OK, VERSION[4:18].ljust(40, b"\0")),
            f.MOTION_ENABLE: self._motion_enable,
            f.SET_STATE: self._set_state,
            f.GET_STATE: lambda r: (Status.OK, bytes([self.state])),
            f.COMMAND_COUNT: lambda r: (Status.OK, struct.pack(">H", len(self._queue))),
            f.ERROR_CODES: lambda r: (Status.OK, bytes([self.error, self.warning])),
            f.CLEAN_ERROR: self._clean_error,
            f.CLEAN_WARNING: self._clean_warning,
            f.SET_MODE: self._set_mode,
            f.MOVE_LINE: lambda r: self._move(r, (0, 7), self._line(r)),
            f.SERVO_LINE: lambda r: self._move(r, (1,), self._line(r, servo=True)),
            f.MOVE_JOINT: lambda r: self._move(r, (0, 6), self._joint(r, float(r.floats(8)[7]))),
            f.SERVO_JOINT: lambda r: self._move(r, (1,), self._joint(r, np.pi)),
            f.LINE_VELOCITY: self._velocity,
            f.TCP_OFFSET: self._set_offset,
            f.POSE: lambda r: (Status.OK, struct.pack("<6f", *self._pose(self._measured()))),
            f.JOINTS: lambda r: (Status.OK, struct.pack("<7f", *self._measured())),
            f.INVERSE: self._inverse,
            f.FORWARD: lambda r: (Status.OK, struct.pack("<6f", *self._pose(np.array(r.floats(7))))),
            f.REDUCED_TCP_SPEED: self._set_tcp_speed,
            f.REDUCED_JOINT_SPEED: lambda r: (Status.OK if r.floats(1)[0] > 0 else Status.INVALID, b""),
            f.GET_REDUCED_MODE: lambda r: (Status.OK, bytes([self._reduced])),
            f.REDUCED_MODE: self._set_reduced,
            f.TCP_BOUNDARY: self._set_boundary,
            f.FENCE: self._set_fence,
            f.LINK_FIGURES: self._figures,
        }

    def _figures(self, request: Request) -> tuple[Status, bytes]:
        if not self.link_figures:  # as firmware below 2.0
            raise Unusable("not for this controller")
        return Status.OK, struct.pack(f"<{len(self.link_figures)}f", *self.link_figures)

    def _condition(self) -> Status:
        status = Status.ERROR if self.error else Status.OK
        if self.warning:
            status |= Status.WARNING
        if self.state in (STOPPED, MODE_CHANGED) or not self.enabled:
            status |= Status.NOT_READY
        return status

    def _measured(self) -> np.ndarray:
        return self.plant.data.qpos[self._qpos].copy()

    def _tool(self) -> np.ndarray:
        return transform(self._offset[:3], from_rpy(*self._offset[3:]))

    def _pose(self, joints: np.ndarray) -> list[float]:
        """Return the TCP pose: mm, then roll, pitch, yaw rad."""
        pose = transform(*self.motion.flange(joints)) @ self._tool()
        return [*(pose[:3, 3] * 1000), *to_rpy(pose[:3, :3])]

    def _fail(self, code: int) -> None:
        self.error, self.state = code, STOPPED
        self._forget()
        self.motion.reset(self.motion.joints)

    def _motion_enable(self, request: Request) -> tuple[Status, bytes]:
        request.byte(0, (ALL_MOTORS,))
        self.enabled = bool(request.byte(1, (0, 1)))
        return Status.OK, b""

    def _set_state(self, request: Request) -> tuple[Status, bytes]:
        wanted = request.byte(0, STATES)
        if wanted == 0 and self.enabled and not self.error:
            self.state = READY
        elif wanted in (4, 6):
            self.state = STOPPED
            self._forget()
            if wanted == 4:
                self.motion.reset(self.motion.joints)
            self.motion.halt()
        return Status.OK, b""

    def _set_mode(self, request: Request) -> tuple[Status, bytes]:
        self.mode, self.state = request.byte(0, MODES), MODE_CHANGED
        self._forget()
        self.motion.reset(self.motion.joints)
        return Status.OK, b""

    def _clean_error(self, request: Request) -> tuple[Status, bytes]:
        self.error = 0
        return Status.OK, b""

    def _clean_warning(self, request: Request) -> tuple[Status, bytes]:
        self.warning = 0
        return Status.OK, b""

    def _line(self, request: Request, servo: bool = False) -> Goal:
        """Return the line that a request asks for."""
        numbers = np.array(request.floats(8))
        pose = transform(numbers[:3] / 1000, from_rpy(*numbers[3:6])) @ inverted(self._tool())
        speed = SERVO_SPEED if servo else max(min(float(numbers[6]) / 1000, self._tcp_speed), 1e-3)
        return LineGoal(pose[:3, 3], pose[:3, :3], speed, 50.0 if servo else max(float(numbers[7]) / 1000, 0.01))

    def _joint(self, request: Request, speed: float) -> Goal:
        joints = np.array(request.floats(7))
        if np.any(joints < self._low) or np.any(joints > self._high):
            raise Unusable("a joint outside its range")
        return JointGoal(joints, max(speed, 1e-3))

    def _move(self, request: Request, modes: tuple[int, ...], goal: Goal) -> tuple[Status, bytes]:
        """Take a motion command: queue it in mode 0, replace the goal in the online modes."""
        if self.mode not in modes or len(self._queue) + len(self._coming) >= LONGEST_QUEUE:
            raise Unusable("not in this mode, or too much is waiting")
        if self.state in (READY, MOVING) and self.enabled and not self.error:
            self.commands += 1
            if self.mode == 0:
                self._queue.append(goal)
            else:
                effective = self.plant.time + self.latency()
                self._coming.append((max(effective, self._coming[-1][0]) if self._coming else effective, goal))
        return Status.OK, _blank(request)

    def _forget(self) -> None:
        """Drop the commands that have not begun."""
        self._queue.clear()
        self._coming.clear()

    def _velocity(self, request: Request) -> tuple[Status, bytes]:
        numbers = np.array(request.floats(6))
        duration = request.floats(1, 25)[0] if len(request.payload) >= 29 else -1.0
        until = self.plant.time + duration if duration > 0 else np.inf
        return self._move(request, (5,), VelocityGoal(numbers[:3] / 1000, until))

    def _set_offset(self, request: Request) -> tuple[Status, bytes]:
        values = np.array(request.floats(6))
        self._offset = np.concatenate([values[:3] / 1000, values[3:]])
        return Status.OK, b""

    def _inverse(self, request: Request) -> tuple[Status, bytes]:
        numbers = np.array(request.floats(6))
        pose = transform(numbers[:3] / 1000, from_rpy(*numbers[3:6])) @ inverted(self._tool())
        joints, reached = self.motion.inverse(pose[:3, 3], pose[:3, :3])
        return Status.OK if reached else Status.INVALID, struct.pack("<7f", *joints)

    def _set_tcp_speed(self, request: Request) -> tuple[Status, bytes]:
        speed = request.floats(1)[0]
        if speed <= 0:
            raise Unusable("no speed")
        self._tcp_speed = max(speed / 1000, 1e-3)
        return Status.OK, b""

    def _set_reduced(self, request: Request) -> tuple[Status, bytes]:
        self._reduced = bool(request.byte(0, (0, 1)))
        return Status.OK, b""

    def _set_boundary(self, request: Request) -> tuple[Status, bytes]:
        limits = np.array(request.integers(6)) / 1000
        if np.any(limits[::2] < limits[1::2]):
            raise Unusable("a boundary with nothing inside")
        self._boundary = limits
        return Status.OK, b""

    def _set_fence(self, request: Request) -> tuple[Status, bytes]:
        self._fence = bool(request.byte(0, (0, 1)))
        return Status.OK, b""

    def _check_fence(self) -> None:
        if not self._fence:
            return
        at = np.array(self._pose(self.motion.joints)[:3]) / 1000
        if np.any(at > self._boundary[::2]) or np.any(at < self._boundary[1::2]):
            self._fail(BOUNDARY_ERROR)


def _blank(request: Request) -> bytes:
    """Return as many zeros as the SDK wants to read in an answer that says nothing."""
    known = {Function.INVERSE: 28, Function.FORWARD: 24}
    if request.function in known:
        return bytes(known[Function(request.function)])
    moves = (Function.MOVE_LINE, Function.MOVE_JOINT, Function.SERVO_LINE, Function.SERVO_JOINT, Function.LINE_VELOCITY)
    return bytes(3) if request.function in moves and len(request.payload) in (39, 43) else b""  # newer firmware's forms
