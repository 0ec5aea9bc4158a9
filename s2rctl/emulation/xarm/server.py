"""The emulated controller's sockets: one command port, three report ports, and the thread that keeps its time."""

import logging
import random
import select
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

import mujoco

from s2rctl.core.clock import WALL, Clock
from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.listener import Listener
from s2rctl.emulation.device import LONGEST_LAG_S
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.xarm.controller import BOUNDARY_ERROR, COLLISION_ERROR, Controller
from s2rctl.emulation.xarm.wire import Function, Report, Request, Status, split

COMMAND_PORT = 502
UNPRIVILEGED_PORT = 5502
"""Taken instead where ordinary users may not listen on port 502."""
REPORTS: dict[int, tuple[float, Callable[[Report], bytes]]] = {
    30001: (5.0, Report.normal),
    30002: (5.0, Report.rich),
    30003: (100.0, Report.real),
}
"""Report port -> (Hz, layout). The vendor's SDK knows only these port numbers."""
MOST_CLIENTS = 16
"""Connections per port; more are closed at once."""
PLACES = 50
"""Loopback addresses that ``make`` tries: report ports are fixed, so two emulators need two addresses."""

STALL_S, STALL_EVERY_S = 0.19, 10.0
"""What the fault ``stall`` means: a motion call blocks for so long, about once in so many seconds. Seen by a user of an
xArm7 in servo mode under WSL2 (xArm-Python-SDK 154)."""
MOTION = (Function.MOVE_LINE, Function.SERVO_LINE, Function.MOVE_JOINT, Function.SERVO_JOINT, Function.LINE_VELOCITY)

_LOG = logging.getLogger("s2rctl.emulation")


def make(model: mujoco.MjModel) -> "EmulatedXArm":
    """Return the emulator on a loopback address of its own."""
    rng = random.Random()
    for _ in range(PLACES):
        host = f"127.{rng.randrange(1, 255)}.{rng.randrange(255)}.{rng.randrange(1, 255)}"
        if all(_is_free(host, port) for port in (UNPRIVILEGED_PORT, *REPORTS)):
            return EmulatedXArm(model, host, UNPRIVILEGED_PORT)
    raise MissingEnvironmentError("no loopback address is free for an emulated controller", "end other emulators")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class EmulatedXArm:
    """A running emulator; use as a context. Every socket has its own time-out: the SDK sets a process-wide one."""

    def __init__(
        self, model: mujoco.MjModel, host: str = "127.0.0.1", port: int | None = None, clock: Clock = WALL
    ) -> None:
        self._clock = clock
        self.controller = Controller(model, clock.now())
        self._host = host
        self._port = port
        self._listeners: list[Listener] = []
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self._lag = self._lost = 0.0
        self.lock, self.plant = self.controller.lock, self.controller.plant
        self.on_tick: Callable[[], None] = lambda: None
        self.faults: dict[str, Callable[[], None]] = {
            "silence": lambda: setattr(self.controller, "silent", True),
            "disconnect": self.drop_connections,
            "collision": lambda: self.controller.fail(COLLISION_ERROR),
            "boundary": lambda: self.controller.fail(BOUNDARY_ERROR),
            "stall": lambda: setattr(self, "_next_stall", self.now()),
        }
        self._next_stall: float | None = None  # s; None: calls never block
        self._stalls = random.Random(0)

    def now(self) -> float:
        """Return the controller's time in s: the clock's less what was forgotten."""
        return self._clock.now() - self._lost

    def lost(self) -> float:
        """Return the forgotten seconds."""
        return self._lost

    def reset(self, start: PlantStart) -> None:
        """Put the arm where an episode begins, now; the controller's error and faults are gone."""
        self._next_stall = None
        self.controller.reset(start, self.now())

    def set_latency(self, latency: Callable[[], float]) -> None:
        """Draw the time between a command on the wire and its effect, s, from a function."""
        self.controller.latency = latency

    def settings(self) -> list[str]:
        """Return the profile values with which the driver finds the controller."""
        return [f"robot.address={self.address}"]

    @property
    def address(self) -> str:
        """Where to connect: the host, with the command port unless it is the standard one."""
        return self._host if self._port == COMMAND_PORT else f"{self._host}:{self._port}"

    def figures(self) -> dict[str, Any]:
        """Return what happened."""
        return {
            "address": self.address,
            "commands": self.controller.commands,
            "error": self.controller.error,
            "state": int(self.controller.state),
            "worst_lag_s": round(self._lag, 4),
        }

    def __enter__(self) -> "EmulatedXArm":
        command = self._listen_for_commands()
        self._start(partial(self._accept, command, self._serve_commands))
        for port, (rate, layout) in REPORTS.items():
            listener = self._listen(port)
            self._start(partial(self._accept_reports, listener, rate, layout))
        self._start(self._keep_time)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self.drop_connections()
        for listener in self._listeners:
            listener.close()
        for thread in self._threads:
            thread.join(timeout=2.0)

    def drop_connections(self) -> None:
        """Fault: close every client's connection, as a pulled cable does in the end."""
        for listener in self._listeners:
            listener.hang_up()

    def _listen_for_commands(self) -> Listener:
        ports = (COMMAND_PORT, UNPRIVILEGED_PORT) if self._port is None else (self._port,)
        for port in ports:
            try:
                listener = self._listen(port)
            except MissingEnvironmentError:
                if port == ports[-1]:
                    raise
                continue
            self._port = port
            return listener
        raise AssertionError("unreachable")

    def _listen(self, port: int) -> Listener:
        try:
            listener = Listener(self._host, port, MOST_CLIENTS)
        except OSError as error:
            raise MissingEnvironmentError(
                f"cannot listen on {self._host}:{port}: {error.strerror}",
                "end the program that uses the port, or choose another address, e.g. --address 127.0.0.9",
            ) from error
        self._listeners.append(listener)
        return listener

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        with self._starting:
            self._threads = [one for one in self._threads if one.is_alive()]
            thread.start()
            self._threads.append(thread)

    def _accept(self, listener: Listener, serve: Callable[[socket.socket], None]) -> None:
        while not self._closed.is_set():
            try:
                client, _ = listener.accept()
                client.settimeout(0.2)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                if listener.fileno() < 0:
                    return
                continue
            self._start(partial(self._attend, client, serve))

    def _attend(self, client: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        """Serve one client until it goes, or does not read what it is sent."""
        try:
            serve(client)
        except OSError:
            pass
        finally:
            client.close()

    def _accept_reports(self, listener: Listener, rate: float, layout: Callable[[Report], bytes]) -> None:
        self._accept(listener, partial(self._serve_reports, rate=rate, layout=layout))

    def _serve_commands(self, client: socket.socket) -> None:
        buffer = bytearray()
        while not self._closed.is_set():
            try:
                data = client.recv(4096)
            except TimeoutError:
                continue
            if not data:
                return
            buffer += data
            for request in split(buffer):
                reply = self._reply(request)
                self._stall(request)
                if reply is not None:
                    client.sendall(reply)

    def _stall(self, request: Request) -> None:
        """Keep a motion call waiting for its answer where the fault is in force and its time has come."""
        due = self._next_stall
        if due is None or request.function not in MOTION or self.now() < due:
            return
        self._closed.wait(STALL_S)  # on the wall's clock, on which the SDK waits for answers
        self._next_stall = self.now() + self._stalls.expovariate(1.0 / STALL_EVERY_S)

    def _reply(self, request: Request) -> bytes | None:
        try:
            return self.controller.handle(request)
        except Exception:  # a bug in one command; the other commands and clients are not to blame
            _LOG.exception("command %d with %r", request.function, request.payload[:64])
            return request.reply(Status.INVALID)

    def _serve_reports(self, client: socket.socket, rate: float, layout: Callable[[Report], bytes]) -> None:
        deadline = self._clock.now()
        while not self._closed.is_set() and not _has_gone(client):
            if not self.controller.silent:
                client.sendall(layout(self.controller.report()))
            deadline = max(deadline + 1.0 / rate, self._clock.now())
            while (rest := self._clock.left(deadline)) and not self._closed.wait(rest):
                pass

    def _keep_time(self) -> None:
        """Advance the controller at the clock's pace."""
        dt = float(self.plant.model.opt.timestep)
        while not self._closed.is_set():
            if rest := self._clock.left(self.plant.time + self._lost + dt):
                self._closed.wait(rest)
                continue
            behind = self.now() - self.plant.time
            self._lag = max(self._lag, behind - dt)
            if behind > LONGEST_LAG_S:
                self._lost += behind - dt
            with self.lock:
                self.controller.tick()
                self.on_tick()


def _has_gone(client: socket.socket) -> bool:
    """Return whether a client that has nothing to say has closed; what it says all the same is thrown away."""
    poll = select.poll()
    poll.register(client.fileno(), select.POLLIN)
    return bool(poll.poll(0)) and not client.recv(4096)
