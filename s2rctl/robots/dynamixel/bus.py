"""One Dynamixel bus through the vendor's SDK, with every way in which a transfer can fail as one of our errors.

The SDK polls its port without pause and waits at least 34 ms for an answer that does not come; here the port sleeps
until bytes are there. Its group reads drop the error byte, so packets are exchanged one by one.
"""

import errno
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from s2rctl.core.errors import MissingEnvironmentError, SafetyStop
from s2rctl.robots.aloha.motors import BAUD_RATE, Register

READ_WAIT_S = 0.002
"""Longest sleep of the port between two checks of the SDK's own time-out."""
LONGEST_LATENCY_MS = 4
"""A USB serial adapter that collects bytes for longer makes each of ten answers late (the kernel's default is 16)."""
ALERT = 0x80
"""Bit of a status packet's error byte: look into the hardware error register."""
PACKET_ERRORS = {
    1: "it could not do that",
    2: "it does not know this instruction",
    3: "it received a damaged packet",
    4: "the value is out of range, or the bus watchdog has stopped the motor",
    5: "the data have the wrong length",
    6: "the value exceeds the motor's limit",
    7: "the register is read only, or locked while torque is on",
}


class BusError(Exception):
    """A transfer failed: nobody answered, the answer was damaged, or the motor refused.

    ``refused`` tells the last from the others: repeating it does not help. ``damaged``: an answer came, with a wrong
    checksum.
    """

    def __init__(self, message: str, refused: bool = False, damaged: bool = False) -> None:
        super().__init__(message)
        self.refused, self.damaged = refused, damaged


class PortLost(BusError):
    """The serial device itself is gone."""


class Bus:
    """An open serial device with motors behind it; not for two threads at once."""

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device = name, device
        self._port, self._packets = _open(device)

    def ping(self, motor: int) -> int:
        """Return the model number of a motor; BusError when it does not answer."""
        model, result, error = self._call(self._packets.ping, motor)
        self._check(motor, result, error)
        return int(model)

    def read(self, motor: int, register: Register) -> int:
        """Return the value of one register."""
        raw, result, error = self._call(self._packets.readTxRx, motor, register.address, register.size)
        self._check(motor, result, error)
        return _number(raw, register, register.address)

    def write(self, motor: int, register: Register, value: int) -> None:
        """Write one register and wait for the motor's word that it took it."""
        result, error = self._call(
            self._packets.writeTxRx, motor, register.address, register.size, _raw(value, register.size)
        )
        self._check(motor, result, error)

    def write_all(self, values: Mapping[int, int], register: Register) -> None:
        """Write one register of many motors in one packet; motors never answer this, so nothing is known of it."""
        data: list[int] = []
        for motor, value in values.items():
            data += [motor, *_raw(value, register.size)]
        result = self._call(self._packets.syncWriteTxOnly, register.address, register.size, data, len(data))
        self._check(None, result, 0)

    def read_all(self, motors: Sequence[int], first: Register, last: Register) -> tuple[dict[int, list[int]], set[int]]:
        """Return the bytes from ``first`` to the end of ``last`` of many motors, and which motors raise an alert."""
        length = last.address + last.size - first.address
        result = self._call(self._packets.syncReadTx, first.address, length, list(motors), len(motors), False)
        self._check(None, result, 0)
        values, alerts = {}, set()
        for motor in motors:
            raw, result, error = self._call(self._packets.readRx, motor, length)
            self._check(motor, result, error & ~ALERT)
            values[motor] = list(raw)
            if error & ALERT:
                alerts.add(motor)
        return values, alerts

    def reboot(self, motor: int) -> None:
        """Restart a motor, which clears its hardware error and switches its torque off."""
        result, error = self._call(self._packets.reboot, motor)
        self._check(motor, result, error & ~ALERT)

    def close(self) -> None:
        """Close the device; motors keep what they do."""
        self._port.closePort()

    def __enter__(self) -> "Bus":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, function: Any, *arguments: Any) -> Any:
        """Call the SDK; a device that went away raises PortLost."""
        try:
            return function(self._port, *arguments)
        except (OSError, TypeError, termios.error) as error:  # what pyserial raises for a device that is gone
            self._port.is_using = False
            raise PortLost(f"the serial device {self.device} is gone") from error

    def _check(self, motor: int | None, result: int, error: int) -> None:
        from dynamixel_sdk import COMM_RX_CORRUPT, COMM_RX_TIMEOUT, COMM_SUCCESS

        who = self.name if motor is None else f"motor {motor} of the {self.name} arm"
        if result != COMM_SUCCESS:
            self._port.is_using = False
            reasons = {COMM_RX_TIMEOUT: "does not answer", COMM_RX_CORRUPT: "answered with a damaged packet"}
            reason = reasons.get(result, f"could not be reached (SDK result {result})")
            raise BusError(f"{who} {reason}", damaged=result == COMM_RX_CORRUPT)
        number = error & ~ALERT
        if number:
            raise BusError(f"{who} refused: {PACKET_ERRORS.get(number, f'error {number}')}", refused=True)


def value(raw: Sequence[int], register: Register, first: Register) -> int:
    """Return one register out of the bytes of a block that begins with ``first``."""
    return _number(raw[register.address - first.address :][: register.size], register, register.address)


def _number(raw: Sequence[int], register: Register, address: int) -> int:
    if len(raw) != register.size:
        raise BusError(f"register {address} came back with {len(raw)} bytes, not {register.size}")
    return int.from_bytes(bytes(raw), "little", signed=register.signed)


def _raw(number: int, size: int) -> list[int]:
    return list((number & ((1 << 8 * size) - 1)).to_bytes(size, "little"))


def _open(device: str) -> tuple[Any, Any]:
    """Return the SDK's port and packet handlers; MissingEnvironmentError says why a device cannot be used."""
    try:
        from dynamixel_sdk import PacketHandler, PortHandler
    except ImportError as error:
        raise MissingEnvironmentError("the Dynamixel SDK is not installed", "pip install 's2rctl[aloha]'") from error
    if not Path(device).exists():
        raise MissingEnvironmentError(
            f"there is no serial device {device}",
            "plug the arm in and switch it on, and check robot.ports and the udev rule that names it",
        )
    _check_latency(device)
    port = PortHandler(device)
    try:
        opened = port.setBaudRate(BAUD_RATE)
        port.ser.exclusive = True  # two programs on one bus spoil each other's packets
    except (OSError, termios.error) as error:
        if port.ser is not None and port.ser.is_open:
            port.ser.close()
        if getattr(error, "errno", None) in (errno.EACCES, errno.EPERM):
            raise _refused(device, "may not be opened", "add yourself to the group dialout, log in again") from error
        raise _refused(device, f"cannot be used: {error}", "close the other program that uses it") from error
    if not opened:
        raise _refused(device, f"does not do {BAUD_RATE} baud", "use the arm's own USB adapter")
    port.ser.timeout = READ_WAIT_S
    return port, PacketHandler(2.0)


def _refused(device: str, why: str, hint: str) -> MissingEnvironmentError:
    return MissingEnvironmentError(f"the serial device {device} {why}", hint)


def _check_latency(device: str) -> None:
    """Raise SafetyStop for a USB adapter whose latency timer would make every reading late."""
    name = Path(device).resolve().name
    file = Path("/sys/bus/usb-serial/devices") / name / "latency_timer"
    try:
        milliseconds = int(file.read_text())
    except (OSError, ValueError):
        return  # not a USB adapter with such a timer
    if milliseconds > LONGEST_LATENCY_MS:
        raise SafetyStop(
            f"the latency timer of {device} is {milliseconds} ms", f"echo 1 | sudo tee {file} (or add a udev rule)"
        )
