"""A driver in a process of its own: ``python -m s2rctl.robots.process ROBOT COMMANDS PULSE``.

Two sockets that the parent left open (their descriptors are the last arguments) lead here. ``COMMANDS`` carries calls
and answers. ``PULSE`` carries single bytes: the parent's heartbeat and its stops, which therefore never wait for a call
that the device holds up. When the heartbeat stays away while the arm moves, or the parent is gone, this process stops
the arm: the dead-man for devices that have none.
"""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from s2rctl.core.channel import BadMessage, Message, fault, receive, send
from s2rctl.core.errors import S2rError, UsageError
from s2rctl.core.interrupt import leave_to_parent
from s2rctl.core.steady import SteadyStream
from s2rctl.core.tables import Table
from s2rctl.robots.protocol import Robot, StopLevel, Target
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import ROBOT

BEAT, SOFT, HARD, DONE = b".", b"s", b"h", b"d"

# Each row is a function (profile.robot, profile.deploy.safety, control period in s) -> Robot that speaks to the device.
FACTORIES = Table(
    "driver that runs apart",
    {
        "aloha-interbotix": "s2rctl.robots.aloha.interbotix:make",
        "xarm7": "s2rctl.robots.xarm7.driver:make",
        "xarm7-joints": "s2rctl.robots.xarm7.joints:make",
        "xarm7-watch": "s2rctl.robots.xarm7.joints:make_watch",
    },
)


class Host:
    """Serves one driver to one parent. ``silence_s``: longest time without a heartbeat while the arm moves."""

    def __init__(self, robot: Robot, commands: socket.socket, pulse: socket.socket, silence_s: float) -> None:
        self._robot, self._commands, self._pulse = robot, commands, pulse
        self._pulse.settimeout(silence_s)
        self._moving = False
        self._calls: dict[str, Callable[[Message], Message]] = {
            "connect": self._connect,
            "read": self._read,
            "send": self._send,
            "hold": self._hold,
            "parking": self._parking,
            "recover": self._recover,
            "close": self._close,
        }

    def serve(self) -> None:
        """Answer until the parent is gone; then see to it that nothing moves."""
        threading.Thread(target=self._watch, name="pulse", daemon=True).start()
        while (message := receive(self._commands)) is not None:
            try:
                if message.name not in self._calls:
                    raise BadMessage(f"unknown message '{message.name[:64]}'")
                answer = self._calls[message.name](message)
            except BadMessage as error:
                answer = fault(UsageError(f"the driver's process cannot use this: {error}"))
            except S2rError as error:
                answer = fault(error)
            send(self._commands, answer)

    def abandon(self) -> None:
        """Stop what moves and let go of the device."""
        if self._moving:
            self._stop(StopLevel.SOFT)
        self._robot.close()

    def _watch(self) -> None:
        """Stop when told to, and when nobody is there any more to tell."""
        while True:
            try:
                said = self._pulse.recv(64)
            except TimeoutError:
                if self._moving:
                    self._stop(StopLevel.SOFT)
                continue
            except OSError:
                return
            if not said:
                return  # serve() sees the end, too
            if HARD in said or SOFT in said:
                self._stop(StopLevel.HARD if HARD in said else StopLevel.SOFT)
                with contextlib.suppress(OSError):
                    self._pulse.sendall(DONE)

    def _stop(self, level: StopLevel) -> None:
        self._moving = False
        self._robot.stop(level)

    def _connect(self, message: Message) -> Message:
        self._moving = False
        return Message("identity", asdict(self._robot.connect()))

    def _read(self, message: Message) -> Message:
        state = self._robot.read()
        arrays = {name: getattr(state, name) for name in ("joint_pos", "joint_vel", "tool")}
        return Message("state", {"t": state.t, "codes": list(state.codes)}, arrays)

    def _send(self, message: Message) -> Message:
        self._robot.send(Target(message.array("values")))
        self._moving = True
        return Message("done")

    def _hold(self, message: Message) -> Message:
        self._robot.hold()
        return Message("done")

    def _parking(self, message: Message) -> Message:
        return Message("target", arrays={"values": self._robot.parking().values})

    def _recover(self, message: Message) -> Message:
        self._moving = False
        self._robot.recover()
        return Message("done")

    def _close(self, message: Message) -> Message:
        self._moving = False
        self._robot.close()
        return Message("done")


def main(arguments: list[str]) -> int:
    """Run until the parent closes its sockets; return the exit code."""
    name, commands, pulse = arguments[0], *(socket.socket(fileno=int(number)) for number in arguments[1:])
    leave_to_parent()  # a driver does not go away while its arm is being parked
    # The vendor's SDKs print; when the terminal has hung up, that must not end a call in the middle of parking.
    with contextlib.redirect_stdout(SteadyStream(sys.stdout)), contextlib.redirect_stderr(SteadyStream(sys.stderr)):
        return _serve(name, commands, pulse)


def _serve(name: str, commands: socket.socket, pulse: socket.socket) -> int:
    """Make the driver that the parent describes and serve it; return the exit code."""
    try:
        settings: Any = receive(commands)
        if settings is None:
            return 0
        safety = Safety.model_validate(settings.values["safety"])
        section = ROBOT.validate_python(settings.values["robot"])
        robot: Robot = FACTORIES.load(name)(section, safety, float(settings.values["period_s"]))
    except S2rError as error:
        send(commands, fault(error))
        return int(error.exit_code)
    except (ValueError, KeyError, TypeError) as error:  # pydantic's and the channel's are ValueErrors
        return _refuse(commands, error)
    host = Host(robot, commands, pulse, safety.device_watchdog_s)
    try:
        send(commands, Message("ready"))
        host.serve()
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the parent went away while it was being answered
    except BadMessage as error:  # where the next message begins is not known any more
        return _refuse(commands, error)
    finally:
        host.abandon()
    return 0


def _refuse(commands: socket.socket, error: Exception) -> int:
    refusal = UsageError(
        f"the driver's process cannot use this: {error}", "make sure that both processes run the same version"
    )
    with contextlib.suppress(OSError):
        send(commands, fault(refusal))
    return int(refusal.exit_code)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise UsageError("usage: python -m s2rctl.robots.process ROBOT COMMANDS PULSE")
    sys.exit(main(sys.argv[1:]))
