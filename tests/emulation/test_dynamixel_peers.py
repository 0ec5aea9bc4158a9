"""Whatever comes over the emulated bus: motors answer with an error or stay silent, and a good client goes on."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.emulation.dynamixel.arms import Arms
from s2rctl.emulation.dynamixel.server import EmulatedAloha
from s2rctl.emulation.dynamixel.table import SIZE
from s2rctl.emulation.dynamixel.wire import BROADCAST, HEADER, Fault, Instruction, crc, frame, split
from s2rctl.robots.aloha.gripper import GRIPPERS
from s2rctl.scene import SCENES
from tests.waiting import wait_for

HANG_S = 60
"""Far beyond what anything here takes: only a hang is caught."""


def address(at, length, *more):
    return at.to_bytes(2, "little") + length.to_bytes(2, "little") + bytes(more)


PARAMETERS = {
    "empty": b"",
    "one byte": b"\0",
    "three bytes": b"\x74\x00\x04",
    "nothing at zero": address(0, 0),
    "the whole table": address(0, SIZE),
    "the last byte": address(SIZE - 1, 1),
    "one beyond": address(SIZE, 1),
    "far beyond": address(0xFFFF, 0xFFFF),
    "no register": address(3, 1, 1, 9),
    "too long a register": address(116, 5, 1, 2, 3, 4, 5, 6),
    "ids that are none": address(132, 4, 0, 200, 252, 253, 254, 255),
    "one id very often": address(0, SIZE, *[1] * 900),
    "rows cut off": address(116, 4, 1, 0, 0, 8, 0, 2, 0, 0),
    "not a number": address(116, 4, *b"\1\0\0\xc0\x7f", *b"\2\0\0\xc0\x7f"),
    "the largest goal": b"\x74\x00\xff\xff\xff\x7f",
    "the smallest goal": b"\x74\x00\x00\x00\x00\x80",
    "all goals": b"\x64\x00" + b"\xff" * 20,
    "everything writable": b"\x40\x00" + b"\xff" * 100,
    "bulk rows": bytes([1, 0, 0, 0, 1, 9, 0xFF, 0xFF, 0xFF, 0xFF, 3, 0, 0, 0]),
    "a header inside": b"\xff\xff\xfd\x00\xff\xff\xfd\xfd\x00",
    "ones": b"\xff" * 64,
    "as long as a packet can be": b"\x01" * 1000,
}
IDS = (0, 1, 2, 9, 10, 252, 253, BROADCAST, 255)


@pytest.fixture(scope="module")
def model():
    return SCENES.load("insertion")(0.005)


@pytest.fixture
def arms(model):
    return Arms(model, GRIPPERS["aloha2"], 0.0)


def answers(arms, data, arm="left"):
    buffer = bytearray(b"".join(reply for _, reply in arms.receive(arm, data)))
    found = split(buffer)
    assert all(packet.intact and packet.instruction == Instruction.STATUS for packet in found)
    assert not buffer
    return found


def works(arms):
    """A good client: all motors of both arms answer, whole and with finite numbers behind them."""
    for _ in range(80):
        arms.tick()  # also ends a reboot
    for arm in arms.buses:
        found = answers(arms, frame(BROADCAST, Instruction.SYNC_READ, address(132, 4, *range(1, 10))), arm)
        assert [packet.motor for packet in found] == list(range(1, 10))
        assert all(len(packet.parameters) == 5 for packet in found)
        assert answers(arms, frame(3, Instruction.PING, b""), arm)[0].parameters[1:3] == (1120).to_bytes(2, "little")
    assert np.isfinite(arms.plant.data.qpos).all() and np.isfinite(arms.plant.data.qvel).all()


@pytest.mark.parametrize("torque", [0, 1])
def test_every_instruction_with_every_payload_leaves_a_bus_that_works(arms, torque):
    for number in range(256):
        arms.receive("left", frame(BROADCAST, Instruction.WRITE, b"\x40\x00" + bytes([torque])))
        for parameters in PARAMETERS.values():
            for motor in IDS if number in set(Instruction) else (1, BROADCAST):
                found = arms.receive("left", frame(motor, number, parameters))
                assert sum(len(reply) for _, reply in found) <= 9 * (SIZE + 20)
        if number in set(Instruction) or number % 32 == 0:
            works(arms)


def test_the_answers_to_what_cannot_be_used_are_errors(arms):
    for number, parameters, fault in (
        (Instruction.READ, b"", Fault.DATA_LENGTH),
        (Instruction.READ, b"\x84\x00\x04", Fault.DATA_LENGTH),
        (Instruction.READ, address(132, 4, 0), Fault.DATA_LENGTH),
        (Instruction.READ, address(132, 0), Fault.DATA_LENGTH),
        (Instruction.READ, address(SIZE, 1), Fault.DATA_LENGTH),
        (Instruction.READ, address(0xFFFF, 0xFFFF), Fault.DATA_LENGTH),
        (Instruction.WRITE, b"", Fault.DATA_LENGTH),
        (Instruction.WRITE, b"\x74\x00", Fault.DATA_LENGTH),
        (Instruction.WRITE, b"\x74\x00\x01", Fault.DATA_LENGTH),
        (Instruction.WRITE, b"\xff\xff\x01", Fault.DATA_LENGTH),
        (Instruction.WRITE, b"\x74\x00\xff\xff\xff\x7f", Fault.DATA_RANGE),
        (Instruction.WRITE, b"\x84\x00\0\0\0\0", Fault.ACCESS),
        (Instruction.REG_WRITE, b"\x03\x00\x01", Fault.DATA_LENGTH),
        (Instruction.CLEAR, b"", Fault.DATA_RANGE),
        (Instruction.FACTORY_RESET, b"\xff", Fault.INSTRUCTION),
        (0x77, b"", Fault.INSTRUCTION),
        (0, b"\xff" * 300, Fault.INSTRUCTION),
    ):
        (answer,) = answers(arms, frame(3, number, parameters))
        assert answer.motor == 3 and answer.parameters == bytes([fault]), (number, parameters)


def test_a_motor_that_is_listed_often_answers_once(arms):
    for kind in (Instruction.SYNC_READ, Instruction.BULK_READ):
        rows = address(0, 200, *[1, 2] * 400) if kind == Instruction.SYNC_READ else bytes([1, 0, 0, 200, 0]) * 200
        found = answers(arms, frame(BROADCAST, kind, rows))
        assert [packet.motor for packet in found] == ([1, 2] if kind == Instruction.SYNC_READ else [1])
    fast = arms.receive("left", frame(BROADCAST, Instruction.FAST_SYNC_READ, address(0, 200, *[1, 2] * 400)))
    assert len(fast[0][1]) < 2 * 220


HALVES = [
    HEADER,
    HEADER + b"\x01",
    HEADER + b"\x01\x00\x04",  # a kilobyte, it says
    HEADER + b"\x01\x00\x04" + b"x" * 400,
    HEADER + b"\x01\x09\x00\x03\x74\x00",
    HEADER + b"\x01\xff\xff\x03",
    HEADER + b"\x01\x00\x00",
    b"\xff\xff\xfd",
    b"\xff" * 100,
    frame(1, Instruction.WRITE, b"\x74\x00\0\0\0\0")[:-1],
]


@pytest.mark.parametrize("half", HALVES)
def test_a_packet_that_is_never_finished_does_not_swallow_the_next_one(arms, half):
    assert not answers(arms, half)
    for _ in range(2):
        found = answers(arms, half + frame(3, Instruction.PING, b""))
        assert [packet.motor for packet in found if packet.parameters[0] == 0] == [3]
        found = answers(arms, frame(4, Instruction.PING, b""))
        assert [packet.motor for packet in found] == [4]


def test_what_looks_like_a_header_across_data_and_checksum_is_none():
    for low in range(256):
        for high in range(256):
            body = HEADER + b"\x03\x07\x00" + bytes([Instruction.WRITE, low, high, 0xFF, 0xFF])
            if crc(body) == 0x00FD:  # data that ends FF FF, and the checksum goes on FD 00
                (packet,) = split(bytearray(body + b"\xfd\x00"))
                assert packet.intact and packet.parameters == bytes([low, high, 0xFF, 0xFF])
                return
    raise AssertionError("there is such a packet")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40), st.builds(frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=40))
        )
    )
)
def test_no_bytes_break_the_bus(shared, parts):
    for part in parts:
        answers(shared, part)
        shared.tick()
    assert np.isfinite(shared.plant.data.qpos).all()


@pytest.fixture(scope="module")
def shared(model):
    return Arms(model, GRIPPERS["aloha2"], 0.0)


def test_bad_packets_over_the_serial_line_leave_both_arms_answering(model):
    with EmulatedAloha(model) as emulator:
        lines = {arm: os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) for arm, port in emulator.ports.items()}
        try:
            for number in range(256):
                for parameters in PARAMETERS.values():
                    if len(parameters) <= 100:
                        written(lines["left"], frame(1, number, parameters))
            for half in HALVES:
                written(lines["left"], half)
            for line in lines.values():
                assert wait_for(lambda line=line: pings(line), HANG_S)
        finally:
            for line in lines.values():
                os.close(line)


def written(line, data):
    while data:
        try:
            data = data[os.write(line, data) :]
        except BlockingIOError:
            drained(line)


def drained(line):
    try:
        return os.read(line, 65536)
    except BlockingIOError:
        return b""


def pings(line):
    """Return whether motor 3 answers a ping on a line, in which there may be old answers."""
    drained(line)
    written(line, frame(3, Instruction.PING, b""))
    heard = bytearray()

    def answered():
        heard.extend(drained(line))
        return bytes(HEADER + b"\x03\x07\x00\x55") in heard

    return wait_for(answered, 0.5)
