"""One motor: its registers, what it does about them, and the bus watchdog that stops it when the bus falls silent."""

from collections import deque

from s2rctl.emulation.dynamixel.profile import Profile
from s2rctl.emulation.dynamixel.table import MODELS, RAM, RATED_V, SIZE, Entry, entries
from s2rctl.emulation.dynamixel.wire import ALERT, Fault
from s2rctl.robots.aloha.motors import (
    ACCELERATION_UNIT,
    BUS_WATCHDOG,
    CURRENT_LIMIT,
    CURRENT_UNIT_MA,
    DRIVE_MODE,
    GOAL_CURRENT,
    GOAL_POSITION,
    HARDWARE_ERROR,
    HOMING_OFFSET,
    MAX_POSITION,
    MIN_POSITION,
    MIN_VOLTAGE,
    NO_SECONDARY,
    OPERATING_MODE,
    PRESENT_CURRENT,
    PRESENT_POSITION,
    PRESENT_VELOCITY,
    PROFILE_ACCELERATION,
    PROFILE_VELOCITY,
    PWM_FULL,
    PWM_LIMIT,
    REVERSED,
    SECONDARY_ID,
    SHUTDOWN,
    TORQUE_ENABLE,
    VELOCITY_UNIT,
    VOLTAGE,
    VOLTAGE_UNIT,
    WATCHDOG_TRIPPED,
    WATCHDOG_UNIT_S,
    Mode,
    Register,
    to_angle,
    to_ticks,
)

REBOOT_S = 0.3
"""Time for which a restarting motor neither answers nor obeys."""
_GOALS = (100, 102, 104, 116)


class Motor:
    """A motor on a joint. Angles are the joint's, rad; ``mounted_reversed``: which drive mode fits its mounting."""

    def __init__(self, number: int, model: int, mounted_reversed: bool, firmware: int = 46) -> None:
        self.number, self.model = number, MODELS[model]
        self._mounted = mounted_reversed
        self._entries = entries(self.model, number, firmware)
        self.table = bytearray(SIZE)
        for entry in self._entries.values():
            self._store(entry.address, entry.size, entry.initial)
        self.resting = True  # since power-up torque was never on: the arm lies on its rest
        self.profile = Profile()
        self._volts = RATED_V
        self._angle = 0.0
        self._goals: deque[tuple[float, float]] = deque()  # (s, rad) that take effect later
        self._goal = 0.0
        self._heard = self._asleep_until = -1.0
        self._waiting: tuple[int, bytes] | None = None  # a registered write

    def get(self, register: Register) -> int:
        """Return a register's value."""
        raw = self.table[register.address : register.address + register.size]
        return int.from_bytes(raw, "little", signed=register.signed)

    def set(self, register: Register, value: int) -> None:
        """Put a value into a register, whatever may be written over the bus."""
        self._store(register.address, register.size, value)

    @property
    def torque(self) -> bool:
        """Whether the motor holds."""
        return bool(self.get(TORQUE_ENABLE))

    @property
    def tripped(self) -> bool:
        """Whether the bus watchdog has stopped the motor."""
        return self.get(BUS_WATCHDOG) == WATCHDOG_TRIPPED

    @property
    def goal(self) -> float:
        """The goal in force, rad."""
        return self._goal

    @property
    def current_limit(self) -> float:
        """Largest current in mA that the controller may use now."""
        if self.get(OPERATING_MODE) == Mode.CURRENT_BASED_POSITION:
            return abs(self.get(GOAL_CURRENT)) * CURRENT_UNIT_MA
        return self.get(CURRENT_LIMIT) * CURRENT_UNIT_MA

    @property
    def setpoint(self) -> float:
        """Where the position controller is told to be now, rad."""
        return self.profile.position

    def torques(self, speed: float) -> tuple[float, float]:
        """Return the least and the largest torque (N m) at a speed of the joint (rad/s), by current and by voltage.

        The data sheet's straight line between stall and no load, at the voltage that there is and the largest PWM.
        """
        model = self.model
        most = self.current_limit / 1000.0 * model.torque_per_ampere
        full = self.get(VOLTAGE) * VOLTAGE_UNIT / RATED_V * self.get(PWM_LIMIT) / PWM_FULL
        back = speed / model.no_load
        low, high = -model.stall_torque * (full + back), model.stall_torque * (full - back)
        return max(-most, min(low, 0.0)), min(most, max(high, 0.0))

    def supply(self, volts: float) -> None:
        """Take the voltage at the plug from now on; one below its limit is a hardware error, also after a restart."""
        self._volts = volts
        self.set(VOLTAGE, round(volts / VOLTAGE_UNIT))
        if self.get(VOLTAGE) < self.get(MIN_VOLTAGE):
            self.fail(1)

    def obeys(self, number: int) -> bool:
        """Return whether an instruction to the ID ``number`` is carried out (and answered only if it is the own ID)."""
        secondary = self.get(SECONDARY_ID)
        return number == self.number or (secondary < NO_SECONDARY - 2 and number == secondary)

    def awake(self, now: float) -> bool:
        """Return whether the motor takes part at time ``now`` s."""
        return now >= self._asleep_until

    def hear(self, now: float) -> None:
        """Note that an instruction for this motor came."""
        self._heard = now

    def alert(self) -> int:
        """Return the bit that every status packet carries while there is a hardware error."""
        return ALERT if self.get(HARDWARE_ERROR) else 0

    def read(self, address: int, length: int) -> tuple[Fault, bytes]:
        """Return the bytes of a read instruction."""
        if length == 0 or address + length > SIZE:
            return Fault.DATA_LENGTH, b""
        return Fault.NONE, bytes(self.table[address : address + length])

    def write(self, address: int, data: bytes, now: float, latency: float = 0.0) -> Fault:
        """Carry out a write of whole registers; a new goal takes effect after ``latency`` s."""
        parts = self._split(address, len(data))
        if parts is None:
            return Fault.DATA_LENGTH
        values = []
        for entry in parts:
            raw = data[entry.address - address :][: entry.size]
            value = int.from_bytes(raw, "little", signed=entry.signed)
            fault = self._refusal(entry, value)
            if fault:
                return fault
            values.append((entry, value))
        for entry, value in values:
            self._write(entry, value, now, latency)
        return Fault.NONE

    def register(self, address: int, data: bytes) -> Fault:
        """Keep a write until the action instruction."""
        if self._split(address, len(data)) is None:
            return Fault.DATA_LENGTH
        self._waiting = (address, data)
        return Fault.NONE

    def act(self, now: float) -> None:
        """Carry out the registered write."""
        if self._waiting:
            address, data = self._waiting
            self._waiting = None
            self.write(address, data, now)

    def reboot(self, now: float) -> None:
        """Restart: RAM registers as at power-up, no error, no torque."""
        self._power_up()
        self._asleep_until = now + REBOOT_S

    def fail(self, bits: int) -> None:
        """Fault: raise a hardware error; where the shutdown register says so, torque goes off."""
        self.set(HARDWARE_ERROR, self.get(HARDWARE_ERROR) | bits)
        if bits & self.get(SHUTDOWN):
            self.set(TORQUE_ENABLE, 0)

    def clear(self) -> None:
        """Be as after power was off and on and the arm laid on its rest, if there is an error in force."""
        if self.get(HARDWARE_ERROR) or self.tripped:
            self._power_up()
            self.resting = True

    def place(self, angle: float, goal: float, now: float) -> None:
        """Put the joint somewhere with a goal in force, as a hand does before an episode."""
        self._goals.clear()
        self._angle, self._goal, self._heard = angle, goal, now
        self.profile.stand(goal)
        self.set(GOAL_POSITION, self._ticks(goal))
        self._show(angle, 0.0, 0.0)

    def tick(self, now: float, dt: float, angle: float, speed: float, current_ma: float) -> None:
        """Take what the joint does (rad, rad/s, mA) and advance the set-point and the watchdog by ``dt`` s."""
        self._angle = angle
        self._show(angle, speed, current_ma)
        watchdog = self.get(BUS_WATCHDOG)
        if watchdog and watchdog != WATCHDOG_TRIPPED and self.torque:
            if now - self._heard > watchdog * WATCHDOG_UNIT_S:
                self.set(BUS_WATCHDOG, WATCHDOG_TRIPPED)
                self._goals.clear()
                self._goal = angle
                self.profile.stand(angle)
        while self._goals and self._goals[0][0] <= now + 1e-9:
            self._goal = self._goals.popleft()[1]
        fastest = self.get(PROFILE_VELOCITY) * VELOCITY_UNIT
        self.profile.move(self._goal, fastest, self.get(PROFILE_ACCELERATION) * ACCELERATION_UNIT, dt)

    def _split(self, address: int, length: int) -> list[Entry] | None:
        """Return the registers that exactly fill the range, or None."""
        parts, end = [], address + length
        while address < end:
            entry = self._entries.get(address)
            if entry is None:
                return None
            parts.append(entry)
            address += entry.size
        return parts if parts and address == end else None

    def _refusal(self, entry: Entry, value: int) -> Fault:
        """Return why a register does not take a value."""
        if entry.low is None or entry.high is None:
            return Fault.ACCESS
        if entry.address < RAM and self.torque:
            return Fault.ACCESS
        if entry.address in _GOALS and self.tripped:
            return Fault.DATA_RANGE
        if not entry.low <= value <= entry.high or (entry.address == 11 and value not in self.model.modes):
            return Fault.DATA_RANGE
        if entry.address == GOAL_POSITION.address and self.get(OPERATING_MODE) == Mode.POSITION:
            if not self.get(MIN_POSITION) <= value <= self.get(MAX_POSITION):
                return Fault.DATA_LIMIT
        if entry.address == GOAL_CURRENT.address and abs(value) > self.get(CURRENT_LIMIT):
            return Fault.DATA_LIMIT
        if entry.address == TORQUE_ENABLE.address and value and self.get(HARDWARE_ERROR) & self.get(SHUTDOWN):
            return Fault.ACCESS
        return Fault.NONE

    def _write(self, entry: Entry, value: int, now: float, latency: float) -> None:
        self._store(entry.address, entry.size, value)
        if entry.address == GOAL_POSITION.address:
            effective = max(now + latency, self._goals[-1][0]) if self._goals else now + latency
            self._goals.append((effective, self._direction() * to_angle(value - self.get(HOMING_OFFSET))))
        elif entry.address == TORQUE_ENABLE.address and value:
            self.resting = False
            self.profile.stand(self._angle)
            self._goals.clear()
            self._goal = self._direction() * to_angle(self.get(GOAL_POSITION) - self.get(HOMING_OFFSET))
        elif entry.address == BUS_WATCHDOG.address:
            self._heard = now

    def _power_up(self) -> None:
        """Give the RAM registers the values that they have at power-up."""
        for entry in self._entries.values():
            if entry.address >= RAM:
                self._store(entry.address, entry.size, entry.initial)
        self._goals.clear()
        self.supply(self._volts)

    def _direction(self) -> int:
        """Return -1 where the drive mode does not fit the mounting: the motor then turns the wrong way."""
        return 1 if bool(self.get(DRIVE_MODE) & REVERSED) == self._mounted else -1

    def _ticks(self, angle: float) -> int:
        return to_ticks(self._direction() * angle) + self.get(HOMING_OFFSET)

    def _show(self, angle: float, speed: float, current_ma: float) -> None:
        way = self._direction()
        self.set(PRESENT_POSITION, self._ticks(angle))
        self.set(PRESENT_VELOCITY, round(way * speed / VELOCITY_UNIT))
        self.set(PRESENT_CURRENT, max(-32768, min(32767, round(way * current_ma / CURRENT_UNIT_MA))))

    def _store(self, address: int, size: int, value: int) -> None:
        self.table[address : address + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
