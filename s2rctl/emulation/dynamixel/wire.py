"""Framing of Dynamixel protocol 2.0: FF FF FD 00, ID, length, instruction, parameters, CRC-16.

Source: ROBOTIS e-Manual, protocol 2.0. The CRC has the polynomial 0x8005 and starts at 0; FF FF FD inside a packet is
followed by an extra FD.
"""

from dataclasses import dataclass
from enum import IntEnum

HEADER = b"\xff\xff\xfd\x00"
BROADCAST = 0xFE
ALERT = 0x80
_SMALLEST, _LARGEST = 3, 1024
"""Bytes that the length field may count: instruction and CRC at least."""


class Instruction(IntEnum):
    """What a packet asks for."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class Fault(IntEnum):
    """Error number of a status packet."""

    NONE = 0
    RESULT = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        remainder = byte << 8
        for _ in range(8):
            remainder = (remainder << 1) ^ (0x8005 if remainder & 0x8000 else 0)
        rows.append(remainder & 0xFFFF)
    return tuple(rows)


_CRC = _table()


def crc(data: bytes, start: int = 0) -> int:
    """Return the CRC-16 of the bytes, continuing from ``start``."""
    value = start
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC[(value >> 8 ^ byte) & 0xFF]
    return value


@dataclass(frozen=True)
class Packet:
    """One instruction packet. ``intact`` is False when its CRC did not fit."""

    motor: int
    instruction: int
    parameters: bytes
    intact: bool = True


def split(buffer: bytearray) -> list[Packet]:
    """Take all whole packets from the front of the buffer, and whatever before them is none."""
    packets: list[Packet] = []
    while True:
        start = buffer.find(HEADER)
        if start < 0:
            del buffer[: max(0, len(buffer) - len(HEADER) + 1)]  # the end may be the beginning of a header
            return packets
        del buffer[:start]
        if len(buffer) < 7:
            return packets
        length = int.from_bytes(buffer[5:7], "little")
        if not _SMALLEST <= length <= _LARGEST:
            del buffer[:1]
            continue
        # Stuffing keeps headers out of packets: where one comes early, the packet before it was never finished.
        begun = buffer.find(HEADER, 1, 7 + length - 2)
        if begun > 0:
            del buffer[:begun]
            continue
        if len(buffer) < 7 + length:
            return packets
        frame = bytes(buffer[: 7 + length])
        body = frame[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
        intact = crc(frame[:-2]) == int.from_bytes(frame[-2:], "little")
        del buffer[: len(frame) if intact else _next(frame)]
        packets.append(Packet(frame[4], body[0], body[1:], intact))


def _next(frame: bytes) -> int:
    """Return where in a damaged packet another one may begin: its end may be the beginning of the next header."""
    begun = frame.find(HEADER, 1)
    ends = (size for size in range(len(HEADER) - 1, 0, -1) if frame.endswith(HEADER[:size]))
    return begun if begun > 0 else len(frame) - next(ends, 0)


def frame(motor: int, instruction: int, parameters: bytes) -> bytes:
    """Return a whole packet."""
    body = (bytes([instruction]) + parameters).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
    head = HEADER + bytes([motor]) + (len(body) + 2).to_bytes(2, "little")
    return head + body + crc(head + body).to_bytes(2, "little")


def status(motor: int, error: int, parameters: bytes = b"") -> bytes:
    """Return a status packet."""
    return frame(motor, Instruction.STATUS, bytes([error]) + parameters)


def fast_status(answers: list[tuple[int, int, bytes]]) -> bytes:
    """Return the one status packet in which (motor, error, data) of all motors are chained, each with its own CRC."""
    length = 1 + sum(len(data) + 4 for _, _, data in answers)
    packet = HEADER + bytes([BROADCAST]) + length.to_bytes(2, "little") + bytes([Instruction.STATUS])
    for motor, error, data in answers:
        packet += bytes([error, motor]) + data
        packet += crc(packet).to_bytes(2, "little")
    return packet
