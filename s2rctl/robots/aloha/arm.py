"""One arm while it runs: a thread owns its bus, reads all motors, passes goals on and looks after errors.

The motors' own bus watchdog is the dead-man: it counts the time since the last packet that a motor was asked to answer
or obey, so it trips when this process dies, is stopped, or no longer gets to its thread. Errors are kept until a person
asks to recover.
"""

import math
import threading
from collections import deque
from dataclasses import dataclass
from functools import partial

from s2rctl.core.clock import WALL, Clock
from s2rctl.core.errors import SafetyStop
from s2rctl.robots.aloha.bring_up import Found, Settings, bring_up, patiently
from s2rctl.robots.aloha.gripper import Gripper
from s2rctl.robots.aloha.motors import (
    BUS_WATCHDOG,
    COAST_S,
    GOAL_POSITION,
    HARDWARE_ERROR,
    LEADING,
    PRESENT_POSITION,
    PRESENT_VELOCITY,
    TORQUE_ENABLE,
    VELOCITY_UNIT,
    VX300S,
    WATCHDOG_TRIPPED,
    WATCHDOG_UNIT_S,
    Motor,
    error_text,
    to_angle,
    to_ticks,
)
from s2rctl.robots.dynamixel.bus import Bus, BusError, PortLost, value

READ_RATE_HZ = 100.0
DAMAGED = 3
"""Damaged answers within ``Settings.damage_s`` that are an error. A sound bus damages one in many thousand; one in a
thousand stops a program about once an hour, one in twenty after a third of a second (median)."""
REBOOT_S = 0.5
"""A motor does not answer while it restarts."""


@dataclass(frozen=True)
class Reading:
    """One measurement of an arm."""

    t: float  # s, monotonic, before the question was sent
    angles: tuple[float, ...]  # rad, the six joints and the gripper's motor
    speeds: tuple[float, ...]  # rad/s


class Arm:
    """A ViperX-300 on its own bus. ``open`` first; afterwards any thread may call the rest."""

    def __init__(self, name: str, device: str, settings: Settings, gripper: Gripper, clock: Clock = WALL) -> None:
        self._clock = clock
        self.name, self.device, self.gripper = name, device, gripper
        self._settings = settings
        self._bus: Bus | None = None
        self._found = Found(0, (), ())
        self._thread: threading.Thread | None = None
        self._wake = threading.Condition()
        self._goals: dict[int, int] | None = None
        self._newest: Reading | None = None
        self._faults: dict[str, str] = {}  # what failed -> its text, kept until recovery
        self._closing = False
        self._heard = 0.0  # s, when motors last answered
        self._damaged: deque[float] = deque(maxlen=DAMAGED)  # s, when answers last came damaged

    @property
    def firmware(self) -> int:
        """The oldest firmware version of the arm's motors."""
        return self._found.firmware

    def open(self) -> None:
        """Bring the arm up and start its thread; SafetyStop or MissingEnvironmentError say why not."""
        bus = Bus(self.name, self.device)
        try:
            self._start(bus)
        except BaseException:
            bus.close()
            raise

    def recover(self) -> None:
        """Clear errors, opening the bus if necessary, then bring the arm up.

        A motor with an error of its own reboots, without torque meanwhile: somebody must hold the arm.
        """
        if self._bus is not None:
            self._halt()
        bus = self._bus or Bus(self.name, self.device)
        try:
            self._clear(bus)
            self._start(bus)
        except BaseException:
            bus.close()
            self._bus = None
            raise

    def newest(self) -> Reading:
        """Return the newest measurement; SafetyStop before the first."""
        reading = self._newest
        if reading is None:
            raise SafetyStop(f"the {self.name} arm has not been measured yet", "check its cable")
        return reading

    def wait(self, seconds: float) -> None:
        """Wait for the first measurement; SafetyStop when none comes in time or the arm reports an error."""
        clock = self._clock
        deadline = clock.now() + seconds
        while self._newest is None and clock.now() < deadline and not self._faults:
            clock.sleep_until(clock.now() + 0.005)
        if self._faults or self._newest is None:
            raise SafetyStop("; ".join(self.codes()) or f"the {self.name} arm sends no measurements", "check its cable")

    def codes(self) -> tuple[str, ...]:
        """Return the errors in force."""
        return tuple(self._faults.values())

    def aim(self, joints: list[float], finger: float) -> None:
        """Set the goals: six joints in rad and the finger travel in m, within the motors' own limits."""
        angles = [*joints, self.gripper.angle(finger)]
        self._send([to_ticks(angle) for angle in angles])

    def freeze(self, coast: bool) -> None:
        """Set the goals to where the arm is, or, to brake evenly, to where it is about to be."""
        reading = self._newest
        if reading is None or self._thread is None:
            return
        ahead = COAST_S if coast else 0.0
        pairs = zip(reading.angles, reading.speeds, strict=True)
        self._send([to_ticks(angle + speed * ahead) for angle, speed in pairs])

    def close(self) -> None:
        """Switch the watchdog off, so that the arm goes on holding its position, and close the bus."""
        if self._bus is None:
            return
        self._halt()
        for motor in VX300S:
            for _ in range(2):
                try:
                    if self._bus.read(motor.number, BUS_WATCHDOG) != WATCHDOG_TRIPPED:  # writing 0 would clear it
                        self._bus.write(motor.number, BUS_WATCHDOG, 0)
                    break
                except BusError:
                    continue
        self._bus.close()
        self._bus = None

    def _start(self, bus: Bus) -> None:
        self._found = bring_up(bus, self._settings)
        self._bus = bus
        self._faults.clear()
        self._damaged.clear()
        self._newest, self._goals, self._closing = None, None, False
        try:
            units = math.ceil(self._settings.watchdog_s / WATCHDOG_UNIT_S - 1e-9)
            for motor in VX300S:
                patiently(partial(bus.write, motor.number, BUS_WATCHDOG, units))
        except BusError as error:
            raise SafetyStop(f"could not arm the bus watchdog: {error}", "check the cables") from error
        self._heard = self._clock.now()
        self._thread = threading.Thread(target=self._run, args=(bus,), name=f"{self.name} arm", daemon=True)
        self._thread.start()

    def _halt(self) -> None:
        """End the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _clear(self, bus: Bus) -> None:
        rebooted = False
        for motor in VX300S:
            try:
                if patiently(partial(bus.read, motor.number, HARDWARE_ERROR)):
                    bus.reboot(motor.number)
                    rebooted = True
                elif patiently(partial(bus.read, motor.number, BUS_WATCHDOG)):
                    patiently(partial(bus.write, motor.number, BUS_WATCHDOG, 0))
            except BusError as error:
                raise SafetyStop(f"could not clear the errors: {error}", "check the arm's power and cables") from error
        if rebooted:
            self._clock.sleep_until(self._clock.now() + REBOOT_S)

    def _send(self, ticks: list[int]) -> None:
        limits = zip(LEADING, ticks, self._found.low, self._found.high, strict=True)
        goals = {motor.number: min(max(goal, low), high) for motor, goal, low, high in limits}
        with self._wake:
            self._goals = goals
            self._wake.notify()

    def _run(self, bus: Bus) -> None:
        """Pass goals on at once and read at a fixed rate, until closed."""
        period, turn = 1.0 / READ_RATE_HZ, 0
        deadline = self._clock.now()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closing or self._goals is not None, self._clock.left(deadline))
                if self._closing:
                    return
                goals, self._goals = self._goals, None
            try:
                if goals is not None:
                    bus.write_all(goals, GOAL_POSITION)
                if self._clock.now() >= deadline:
                    deadline = max(deadline + period, self._clock.now())
                    self._read(bus)
                    self._look_after(bus, VX300S[turn % len(VX300S)])
                    turn += 1
            except PortLost as error:
                self._faults["bus"] = str(error)
                return
            except BusError as error:
                self._note(error)

    def _note(self, error: BusError) -> None:
        """Make errors of the bus that last or come often a fault: single damaged packets happen on a serial bus."""
        now = self._clock.now()
        if error.damaged:
            self._damaged.append(now)
        often = len(self._damaged) == DAMAGED and now - self._damaged[0] <= self._settings.damage_s
        if often:
            within = f"{1e3 * self._settings.damage_s:.0f} ms"
            self._faults["bus"] = f"{error}; {DAMAGED} answers came damaged within {within}: check the cable"
        elif now - self._heard > self._settings.silence_s:
            self._faults["bus"] = str(error)

    def _read(self, bus: Bus) -> None:
        """Measure all motors; query the error register of any that raises an alert."""
        t = self._clock.now()
        numbers = [motor.number for motor in VX300S]
        raw, alerts = bus.read_all(numbers, PRESENT_VELOCITY, PRESENT_POSITION)
        angles, speeds = [], []
        for motor in LEADING:
            block = raw[motor.number]
            angles.append(to_angle(value(block, PRESENT_POSITION, PRESENT_VELOCITY)))
            speeds.append(value(block, PRESENT_VELOCITY, PRESENT_VELOCITY) * VELOCITY_UNIT)
        self._heard = self._clock.now()
        self._newest = Reading(t, tuple(angles), tuple(speeds))
        for motor in VX300S:
            if motor.number in alerts:
                self._look_after(bus, motor)

    def _look_after(self, bus: Bus, motor: Motor) -> None:
        """Look whether a motor has an error, was stopped by its watchdog, or lost its torque."""
        raw, _ = bus.read_all([motor.number], TORQUE_ENABLE, BUS_WATCHDOG)
        block = raw[motor.number]
        who = f"{self.name} arm, motor {motor.number} ({motor.name})"
        bits = value(block, HARDWARE_ERROR, TORQUE_ENABLE)
        if bits:
            self._faults[motor.name] = f"{who}: {error_text(bits)}"
        elif value(block, BUS_WATCHDOG, TORQUE_ENABLE) == WATCHDOG_TRIPPED:
            self._faults[motor.name] = f"{who}: stopped by its bus watchdog"
        elif not value(block, TORQUE_ENABLE, TORQUE_ENABLE):
            self._faults[motor.name] = f"{who}: its torque is off"
