"""Framing of the controller's protocol, as the vendor's open SDK speaks it.

A request is u16 transaction, u16 protocol, u16 length, u8 function, payload; the reply repeats the header and adds a
status byte. Header numbers are big-endian, floats little-endian. Positions are mm, angles rad.
"""

import math
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np

LARGEST_NUMBER = 1e6
"""mm, mm/s, mm/s², rad, s: no arm that is emulated has any use for more."""
LONGEST_PAYLOAD = 256
"""Bytes: more than any command that is answered has in any firmware."""


class Unusable(ValueError):
    """A payload that is too short, too long, or holds a value that the command does not take."""


class Function(IntEnum):
    """Function numbers that this emulator answers."""

    VERSION = 1
    SERIAL = 2
    MOTION_ENABLE = 11
    SET_STATE = 12
    GET_STATE = 13
    COMMAND_COUNT = 14
    ERROR_CODES = 15
    CLEAN_ERROR = 16
    CLEAN_WARNING = 17
    SET_MODE = 19
    MOVE_LINE = 21
    MOVE_JOINT = 23
    SERVO_JOINT = 29
    SERVO_LINE = 30
    TCP_OFFSET = 35
    POSE = 41
    JOINTS = 42
    INVERSE = 43
    FORWARD = 44
    REDUCED_TCP_SPEED = 47
    REDUCED_JOINT_SPEED = 48
    GET_REDUCED_MODE = 49
    REDUCED_MODE = 50
    TCP_BOUNDARY = 52
    FENCE = 59
    LINK_FIGURES = 67
    JOINT_VELOCITY = 81
    LINE_VELOCITY = 82


class Status(IntFlag):
    """Status byte of a reply."""

    OK = 0
    INVALID = 0x08
    NOT_READY = 0x10
    WARNING = 0x20
    ERROR = 0x40


HEADER = struct.Struct(">HHHB")
_PREFIX = struct.Struct(">HHH")


@dataclass(frozen=True)
class Request:
    """One command frame."""

    transaction: int
    protocol: int
    function: int
    payload: bytes

    def floats(self, count: int, offset: int = 0) -> list[float]:
        """Return ``count`` floats from byte ``offset`` on; Unusable where they are missing, not finite or vast."""
        if len(self.payload) < offset + 4 * count:
            raise Unusable(f"{len(self.payload)} bytes instead of {offset + 4 * count}")
        numbers = struct.unpack_from(f"<{count}f", self.payload, offset)
        if not all(math.isfinite(number) and abs(number) <= LARGEST_NUMBER for number in numbers):
            raise Unusable("a number that is not finite or far too large")
        return list(numbers)

    def byte(self, index: int, allowed: Collection[int]) -> int:
        """Return a byte of the payload; Unusable where it is missing or not one of the allowed values."""
        if len(self.payload) <= index or self.payload[index] not in allowed:
            raise Unusable("a byte that is missing or means nothing")
        return self.payload[index]

    def integers(self, count: int) -> list[int]:
        """Return the first ``count`` i32 of the payload; Unusable where it is shorter."""
        if len(self.payload) < 4 * count:
            raise Unusable(f"{len(self.payload)} bytes instead of {4 * count}")
        return list(struct.unpack_from(f"<{count}i", self.payload))

    def reply(self, status: int, payload: bytes = b"") -> bytes:
        """Return the reply frame."""
        return HEADER.pack(self.transaction, self.protocol, len(payload) + 2, self.function) + bytes([status]) + payload


def split(buffer: bytearray) -> list[Request]:
    """Take all whole requests from the front of the buffer; heartbeat frames are dropped.

    A frame of length 0 has no function; it is handed on as function 0, which nothing answers to.
    """
    requests = []
    while len(buffer) >= _PREFIX.size:
        transaction, protocol, length = _PREFIX.unpack_from(buffer)
        if len(buffer) < _PREFIX.size + length:
            break
        function = buffer[_PREFIX.size] if length else 0
        payload = bytes(buffer[HEADER.size : 6 + length])
        del buffer[: 6 + length]
        if (transaction, protocol) != (0, 1):
            requests.append(Request(transaction, protocol, function, payload))
    return requests


@dataclass(frozen=True)
class Report:
    """What the controller tells of itself."""

    state: int
    mode: int
    commands: int
    joints: Sequence[float]  # (7,) rad
    pose: Sequence[float]  # (6,) mm, rad
    torque: Sequence[float]  # (7,) N m
    enabled: bool
    error: int
    warning: int
    tcp_offset: Sequence[float]  # (6,)

    def real(self) -> bytes:
        """Return the 87-byte report of port 30003 (100 Hz)."""
        return struct.pack(">I", 87) + self._motion()

    def normal(self) -> bytes:
        """Return the 145-byte report of port 30001 (5 Hz)."""
        return struct.pack(">I", 145) + self._status()

    def rich(self) -> bytes:
        """Return a 245-byte report of port 30002 (5 Hz): the part that every firmware has."""
        limits = struct.pack("<12f", 1000, 1, 50000, 0.1, 1000, 20, 0.01, 20, 0.0001, 4, 2.3, 2.7)
        tail = bytes([7, 7, 0, 0, 0, 0]) + b"v1.12.10".ljust(30, b"\0") + limits + bytes(16)
        return struct.pack(">I", 245) + self._status() + tail

    def _motion(self) -> bytes:
        head = bytes([self.mode << 4 | self.state]) + struct.pack(">H", self.commands)
        return head + _floats(*self.joints, *self.pose, *self.torque)

    def _status(self) -> bytes:
        motors = 0x7F if self.enabled else 0
        codes = bytes([motors, motors, self.error, self.warning])
        offsets = _floats(*self.tcp_offset, 0.0, 0.0, 0.0, 0.0)
        return self._motion() + codes + offsets + bytes([3, 3]) + struct.pack("<3f", 0.0, 0.0, -1.0)


def _floats(*values: float) -> bytes:
    """Return values as f32; what does not fit is infinite, not an end of the stream of reports."""
    with np.errstate(over="ignore"):
        return np.array(values, "<f4").tobytes()
