"""The loop's side of a driver that runs in a process of its own.

What the vendor's SDK prints, the threads it starts and the time-outs it sets stay on the other side, and the arm stops
when this process is killed or hangs (see ``process``).
"""

import socket
import subprocess
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from s2rctl.core.channel import BadMessage, Message, as_error, receive, send
from s2rctl.core.errors import MissingEnvironmentError, SafetyStop
from s2rctl.core.interpreter import python
from s2rctl.robots.process import BEAT, HARD, SOFT
from s2rctl.robots.protocol import Identity, RobotSpecification, State, StopLevel, Target
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import RobotSection

BEATS = 8
"""Heartbeats per time of silence that stops the arm."""
CALL_S = 1.0
"""A driver that has not answered by then hangs; its own calls to the device end sooner."""
BRINGUP_S = 60.0
STOP_S = 0.3
STDERR = 2  # the descriptor: sys.stderr may be anything
_PATIENT = ("connect", "recover", "close")
_Answer = TypeVar("_Answer")


class RemoteRobot:
    """Implements ``Robot``; ``factory`` names the driver in ``process.FACTORIES``.

    The process starts with the first ``connect`` or ``recover`` and serves later ones, too.
    """

    def __init__(
        self,
        specification: RobotSpecification,
        robot: RobotSection,
        safety: Safety,
        period_s: float,
        *,
        factory: str,
    ) -> None:
        self.specification = specification
        self._factory = factory
        self._settings = {
            "robot": robot.model_dump(mode="json"),
            "safety": safety.model_dump(mode="json"),
            "period_s": period_s,
        }
        self._beat_s = safety.device_watchdog_s / BEATS
        self._calling = threading.Lock()
        self._link: _Link | None = None

    def connect(self) -> Identity:
        """Bring the robot up."""
        return self._ask(Message("connect"), _identity, starts=True)

    def read(self) -> State:
        """Return the newest measurement; its time is this machine's, the same in both processes."""
        return self._ask(Message("read"), _state)

    def send(self, target: Target) -> None:
        """Hand over the newest target."""
        self._ask(Message("send", arrays={"values": np.asarray(target.values, float)}), _nothing)

    def hold(self) -> None:
        """Keep the last target."""
        self._ask(Message("hold"), _nothing)

    def stop(self, level: StopLevel) -> None:
        """Stop, past any call that is still being answered."""
        link = self._link
        if link is not None:
            link.stop(level)

    def parking(self) -> Target:
        """Return where to park."""
        return self._ask(Message("parking"), self._target, starts=True)

    def _target(self, answer: Message) -> Target:
        target = Target(answer.array("values"))
        if not self.specification.space.takes(target.values):
            raise BadMessage("a target that is not the robot's")
        return target

    def recover(self) -> None:
        """Clear errors and make ready."""
        self._ask(Message("recover"), _nothing, starts=True)

    def close(self) -> None:
        """Let the driver let go of the device; its process stays until this object or this process ends."""
        if self._link is not None:
            self._ask(Message("close"), _nothing)

    def _ask(self, message: Message, take: Callable[[Message], _Answer], starts: bool = False) -> _Answer:
        """Return what is taken from the driver's answer, or raise what it raised; SafetyStop when there is none."""
        with self._calling:
            if self._link is None:
                if not starts:
                    raise SafetyStop("the driver is not connected", "run the command again")
                self._link = _Link(self._factory, self._settings, self._beat_s)
            try:
                answer = self._link.ask(message, BRINGUP_S if message.name in _PATIENT else CALL_S)
                failure = as_error(answer) if answer.name == "error" else None
                if failure is None:
                    return take(answer)
            except (OSError, BadMessage) as error:
                # What comes later would answer another question. At the end of its sockets the process stops the arm.
                self._link.close()
                self._link = None
                raise SafetyStop(
                    f"the {self.specification.name} driver's process has died or hangs",
                    "see its stderr output above; check the robot before you run the command again",
                ) from error
        raise failure


def _nothing(answer: Message) -> None:
    return None


def _identity(answer: Message) -> Identity:
    try:
        values = dict(answer.values)
        figures = tuple(float(figure) for figure in values.pop("kinematics", ()))
        return Identity(**values, kinematics=figures)
    except (TypeError, ValueError) as error:
        raise BadMessage(str(error)) from error


def _state(answer: Message) -> State:
    joints, speeds, tool = (answer.array(name) for name in ("joint_pos", "joint_vel", "tool"))
    return State(answer.number("t"), joints, speeds, tool, tuple(map(str, answer.items("codes"))))


class _Link:
    """One driver process and the sockets to it."""

    def __init__(self, name: str, settings: Any, beat_s: float) -> None:
        self._commands, theirs = socket.socketpair()
        self._pulse, theirs_too = socket.socketpair()
        ends = (theirs.fileno(), theirs_too.fileno())
        command = python("-m", "s2rctl.robots.process", name, *map(str, ends))
        # A session of its own: Ctrl-C in the terminal is the loop's, which parks the arm first.
        self._process = subprocess.Popen(
            command, pass_fds=ends, stdin=subprocess.DEVNULL, stdout=STDERR, start_new_session=True
        )
        theirs.close()
        theirs_too.close()
        self._ended = threading.Event()
        self._stopping = threading.Lock()
        self.close = weakref.finalize(self, _end, self._process, self._commands, self._pulse, self._ended)
        try:
            answer = self.ask(Message("make", settings), BRINGUP_S)
            refused = as_error(answer) if answer.name == "error" else None
        except (OSError, BadMessage) as error:
            self.close()
            raise MissingEnvironmentError(f"the {name} driver did not start", "see its stderr output above") from error
        if refused is not None:
            self.close()
            raise refused
        threading.Thread(target=_beat, args=(self._pulse, beat_s, self._ended), name="heartbeat", daemon=True).start()

    def ask(self, message: Message, seconds: float) -> Message:
        """Return the answer; OSError when there is none in time."""
        self._commands.settimeout(seconds)
        send(self._commands, message)
        answer = receive(self._commands, seconds)
        if answer is None:
            raise ConnectionError("the driver's process has ended")
        return answer

    def stop(self, level: StopLevel) -> None:
        """Tell the driver to stop, and wait a moment until it has."""
        with self._stopping:
            try:
                self._pulse.settimeout(STOP_S)
                self._pulse.sendall(HARD if level is StopLevel.HARD else SOFT)
                self._pulse.recv(64)
            except OSError:
                return  # it is gone, and stopped the arm when it went


def _beat(pulse: socket.socket, beat_s: float, ended: threading.Event) -> None:
    """Say that this process lives; holds no reference to the link, so that it can be collected."""
    while not ended.wait(beat_s):
        try:
            pulse.sendall(BEAT)
        except OSError:
            return


def _end(
    process: "subprocess.Popen[bytes]", commands: socket.socket, pulse: socket.socket, ended: threading.Event
) -> None:
    """Close the sockets, which ends the process once the arm is stopped."""
    ended.set()
    for end in (commands, pulse):
        end.close()
    try:
        process.wait(timeout=5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
