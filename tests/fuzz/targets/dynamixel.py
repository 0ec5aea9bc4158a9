"""Packets of the Dynamixel protocol: whatever comes over the line, the emulated motors go on answering."""

from typing import Any

from s2rctl.emulation.dynamixel.arms import motors
from s2rctl.emulation.dynamixel.bus import Bus
from s2rctl.emulation.dynamixel.wire import BROADCAST, Instruction, frame, split
from tests.fuzz.box import Box
from tests.fuzz.harness import Target
from tests.fuzz.mutate import Chooser, mutate_bytes, pick

SEEDS = (
    frame(1, Instruction.PING, b"") + frame(BROADCAST, Instruction.PING, b""),
    frame(1, Instruction.READ, bytes([132, 0, 4, 0])) + frame(2, Instruction.WRITE, bytes([116, 0, 0, 8, 0, 0])),
    frame(3, Instruction.REG_WRITE, bytes([65, 0, 1])) + frame(BROADCAST, Instruction.ACTION, b""),
    frame(4, Instruction.REBOOT, b"") + frame(5, Instruction.CLEAR, b"\x01\x44\x58\x4c\x22"),
    frame(BROADCAST, Instruction.SYNC_READ, bytes([132, 0, 4, 0, *range(1, 10)])),
    frame(BROADCAST, Instruction.FAST_SYNC_READ, bytes([126, 0, 10, 0, *range(1, 10)])),
    frame(BROADCAST, Instruction.BULK_READ, bytes([1, 0, 0, 2, 0, 9, 0, 0, 2, 0])),
    frame(BROADCAST, Instruction.FAST_BULK_READ, bytes([1, 0, 0, 2, 0, 9, 0, 0, 2, 0])),
    frame(BROADCAST, Instruction.SYNC_WRITE, bytes([64, 0, 1, 0, 1, 1, 3, 1])),
    frame(BROADCAST, Instruction.BULK_WRITE, bytes([1, 65, 0, 1, 0, 0, 2, 112, 0, 4, 0, 7, 0, 0, 0])),
    frame(1, Instruction.WRITE, bytes([98, 0, 20])) + frame(6, Instruction.WRITE, bytes([11, 0, 5])),
)
INSTRUCTIONS = tuple(int(kind) for kind in Instruction)


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change, add, drop or double a packet, with a checksum that fits again."""
    packets = split(bytearray(data))
    if not packets:
        return frame(choose.below(256), pick(choose, INSTRUCTIONS), bytes(choose.below(16)))
    at, action = choose.below(len(packets)), choose.below(6)
    parts = [frame(p.motor, p.instruction, p.parameters[:900]) for p in packets]
    packet = packets[at]
    motor, kind, body = packet.motor, packet.instruction, packet.parameters[:900]
    if action == 0:
        parts[at] = frame(pick(choose, (0, 1, 2, 9, 10, 252, 253, 254, 255)), kind, body)
    elif action == 1:
        parts[at] = frame(motor, pick(choose, (*INSTRUCTIONS, choose.below(256))), body)
    elif action == 2:
        parts[at] = frame(motor, kind, body[: choose.below(len(body) + 1)])
    elif action == 3:
        parts.insert(choose.below(len(parts) + 1), pick(choose, SEEDS))
    elif action == 4:
        value = pick(choose, (0, 1, 6, 11, 64, 98, 116, 146, 147, 255)) + 256 * choose.below(2)
        parts[at] = frame(motor, kind, value.to_bytes(2, "little") + body[2:])
    else:
        parts[at] = frame(motor, kind, mutate_bytes(choose, body)[:900])
    return b"".join(parts)


def run(data: bytes, box: Box) -> Any:
    bus = Bus(motors(), 0)
    now, answers = 0.0, 0
    for start in range(0, len(data), 61):  # the line cuts where it likes
        for due, reply in bus.receive(data[start : start + 61], now):
            assert due >= now
            assert all(packet.intact for packet in split(bytearray(reply))), "an answer that nobody can read"
            answers += 1
        for motor in bus.motors.values():
            motor.tick(now, 0.005, 0.1, 0.0, 3.0)
        now += 0.005
    now += 10.0
    bus.receive(bytes(2000), now)  # whoever comes next begins anew after a header that promised too much
    replies = b"".join(reply for _, reply in bus.receive(frame(1, Instruction.PING, b""), now))
    assert split(bytearray(replies)), "motor 1 answers no more"
    return answers


TARGET = Target("dynamixel", run, lambda: SEEDS, shape, pure=True)
