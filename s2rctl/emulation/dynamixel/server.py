"""The emulated arms' pseudo-terminals, and the thread that answers on them and keeps time."""

import contextlib
import heapq
import logging
import os
import pty
import selectors
import threading
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any

import mujoco

from s2rctl.core.clock import WALL, Clock
from s2rctl.emulation.device import LONGEST_LAG_S
from s2rctl.emulation.dynamixel.arms import Arms
from s2rctl.emulation.dynamixel.bus import LineFaults
from s2rctl.emulation.dynamixel.ports import PortNames
from s2rctl.emulation.plant import PlantStart
from s2rctl.robots.aloha.gripper import GRIPPERS, Gripper

SLOW_S, CORRUPT = (0.005, 0.02), 0.05
"""What the faults ``slow`` and ``corrupt`` mean: delay of each answer, share of damaged answers."""
SAG_V = 9.2
"""To what the fault ``sag`` lets the voltage sink: below the 9.5 V that the motors are set to."""
_LOG = logging.getLogger("s2rctl.emulation")


def make(model: mujoco.MjModel) -> "EmulatedAloha":
    """Return the emulator for a scene with both arms."""
    return EmulatedAloha(model)


class EmulatedAloha:
    """Running arms; use as a context. ``ports`` are the serial devices to open, by arm.

    ``names``: what they are called while the emulator runs.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        gripper: Gripper = GRIPPERS["aloha2"],
        names: PortNames | None = None,
        clock: Clock = WALL,
    ) -> None:
        self._clock = clock
        self.arms = Arms(model, gripper, clock.now())
        self.lock, self.plant = self.arms.lock, self.arms.plant
        self.on_tick: Callable[[], None] = lambda: None
        line = self.arms.buses["left"]  # its faults are replaced at each reset
        self.faults: dict[str, Callable[[], None]] = {
            "silence": lambda: setattr(line.faults, "silent", True),
            "corrupt": lambda: setattr(line.faults, "corrupt", CORRUPT),
            "slow": lambda: setattr(line.faults, "slow_s", SLOW_S),
            "missing": lambda: line.faults.absent.add(4),
            "overload": lambda: self.arms.motor("left", "gripper").fail(1 << 5),
            "sag": lambda: self.arms.supply("left", SAG_V),
            "unplug": lambda: self.lose_port("left"),
        }
        self.ports: dict[str, str] = {}
        self._masters: dict[str, int] = {}
        self._slaves: dict[str, int] = {}
        self._late: list[tuple[float, int, str, bytes]] = []
        self._names = names
        self._sent = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="emulated arms", daemon=True)
        self._lag = self._lost = 0.0

    def now(self) -> float:
        """Return the arms' time in s: the clock's less what was forgotten."""
        return self._clock.now() - self._lost

    def lost(self) -> float:
        """Return the forgotten seconds."""
        return self._lost

    def reset(self, start: PlantStart) -> None:
        """Put everything where an episode begins, now; the motors' errors and the lines' faults are gone."""
        with self.lock:
            for arm, bus in self.arms.buses.items():
                bus.faults = LineFaults()
                self.arms.supply(arm)
                for motor in bus.motors.values():
                    motor.clear()
            self.arms.reset(start, self.now())

    def set_latency(self, latency: Callable[[], float]) -> None:
        """Draw the time between a goal on the wire and its effect, s, from a function."""
        self.arms.set_latency(latency)

    def settings(self) -> list[str]:
        """Return the profile values with which the driver finds the arms."""
        return [f"robot.ports.{arm}={device}" for arm, device in self.ports.items()]

    def figures(self) -> dict[str, Any]:
        """Return what happened."""
        motors = [(arm, motor) for arm, bus in self.arms.buses.items() for motor in bus.motors.values()]
        return {
            "commands": sum(bus.goals for bus in self.arms.buses.values()),
            "errors": sorted(f"{arm}/{motor.number}" for arm, motor in motors if motor.alert()),
            "stopped_by_watchdog": sorted(f"{arm}/{motor.number}" for arm, motor in motors if motor.tripped),
            "worst_lag_s": round(self._lag, 4),
        }

    def lose_port(self, arm: str) -> None:
        """Fault: the serial device goes away, as when its plug is pulled."""
        with self.arms.lock:
            for held in (self._masters, self._slaves):
                handle = held.pop(arm, None)
                if handle is not None:
                    os.close(handle)

    def __enter__(self) -> "EmulatedAloha":
        for arm in self.arms.buses:
            master, slave = pty.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            # the slave stays open here, so that a client that goes leaves the line standing
            self._masters[arm], self._slaves[arm] = master, slave
            self.ports[arm] = os.ttyname(slave)
        if self._names is not None:
            try:
                self._names.make(self.ports)
            except BaseException:
                self._close_ports()
                raise
            self.ports = {arm: str(path) for arm, path in self._names.paths.items()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join(timeout=2.0)
        if self._names is not None:
            self._names.remove()  # the devices behind them may soon be somebody's terminals
        self._close_ports()

    def _close_ports(self) -> None:
        for arm in list(self._masters):
            self.lose_port(arm)

    def _serve(self) -> None:
        """Answer, and advance the arms at the clock's pace."""
        dt = float(self.arms.plant.model.opt.timestep)
        while not self._closed.is_set():
            rest = self._clock.left(self.arms.plant.time + self._lost + dt)
            self._answer(rest)  # what has come is heard before time goes on
            if rest:
                continue
            behind = self.now() - self.arms.plant.time
            self._lag = max(self._lag, behind - dt)
            if behind > LONGEST_LAG_S:
                self._lost += behind - dt
            with self.lock:
                self.arms.tick()
                self.on_tick()

    def _answer(self, wait: float) -> None:
        """Handle what comes within ``wait`` s, at most one burst, and send what is due."""
        if self._late:
            wait = min(wait, max(0.0, self._late[0][0] - self.now()))
        with selectors.SelectSelector() as selector:
            for arm, master in list(self._masters.items()):
                with contextlib.suppress(OSError, ValueError):
                    selector.register(master, selectors.EVENT_READ, arm)
            if selector.get_map():
                try:
                    ready = selector.select(wait)
                except OSError:  # a port was lost meanwhile
                    ready = []
            else:
                time.sleep(wait)
                ready = []
        for key, _ in ready:
            try:
                data = os.read(key.fd, 4096)
            except OSError:
                continue
            for due, reply in self._replies(key.data, data):
                self._sent += 1
                heapq.heappush(self._late, (due, self._sent, key.data, reply))
        while self._late and self._late[0][0] <= self.now():
            _, _, arm, reply = heapq.heappop(self._late)
            self._write(arm, reply)

    def _replies(self, arm: str, data: bytes) -> list[tuple[float, bytes]]:
        try:
            return self.arms.receive(arm, data)
        except Exception:  # a bug in one instruction; the other arm and the clock are not to blame
            _LOG.exception("%s: %r", arm, data[:64])
            return []

    def _write(self, arm: str, reply: bytes) -> None:
        """Send bytes; where nobody reads, the line is full and they are lost."""
        with self.arms.lock:
            master = self._masters.get(arm)
            if master is not None:
                with contextlib.suppress(OSError):
                    os.write(master, reply)
