"""One bus: hands instruction packets to its motors and collects what they answer, with faults on the line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from s2rctl.emulation.dynamixel.motor import Motor
from s2rctl.emulation.dynamixel.wire import (
    BROADCAST,
    Fault,
    Instruction,
    Packet,
    fast_status,
    split,
    status,
)
from s2rctl.robots.aloha.motors import GOAL_POSITION

_STATUS_LEVEL = 68


@dataclass
class LineFaults:
    """What is wrong with the line; may be changed at any time."""

    silent: bool = False  # nobody answers, nobody hears
    corrupt: float = 0.0  # probability that an answer is damaged
    slow_s: tuple[float, float] = (0.0, 0.0)  # uniform delay of every answer
    absent: set[int] = field(default_factory=set)  # motors whose cable is out


class Bus:
    """The motors of one arm behind one serial line."""

    def __init__(self, motors: Sequence[Motor], seed: int = 0) -> None:
        self.motors = {motor.number: motor for motor in motors}
        self.faults = LineFaults()
        self.latency: Callable[[], float] = lambda: 0.0  # s between a goal on the wire and its effect
        self.goals = 0  # packets with goals that came
        self._rng = np.random.default_rng(seed)
        self._buffer = bytearray()

    def receive(self, data: bytes, now: float) -> list[tuple[float, bytes]]:
        """Take bytes at time ``now`` s and return (time, bytes) to send back."""
        self._buffer += data
        answers = []
        for packet in split(self._buffer):
            if self.faults.silent or packet.instruction == Instruction.STATUS:
                continue
            reply = self._handle(packet, now)
            if reply:
                answers.append((now + float(self._rng.uniform(*self.faults.slow_s)), self._spoil(reply)))
        return answers

    def _spoil(self, reply: bytes) -> bytes:
        """Damage one byte after the header, with the fault's probability."""
        if self.faults.corrupt and self._rng.random() < self.faults.corrupt:
            damaged = bytearray(reply)
            damaged[int(self._rng.integers(8, len(reply)))] ^= 0x55
            return bytes(damaged)
        return reply

    def _handle(self, packet: Packet, now: float) -> bytes:
        if not packet.intact:
            motor = self._motor(packet.motor, now)
            return status(motor.number, Fault.CRC | motor.alert()) if motor else b""
        group = {
            Instruction.SYNC_READ: self._sync_read,
            Instruction.FAST_SYNC_READ: self._sync_read,
            Instruction.BULK_READ: self._bulk_read,
            Instruction.FAST_BULK_READ: self._bulk_read,
            Instruction.SYNC_WRITE: self._sync_write,
            Instruction.BULK_WRITE: self._bulk_write,
        }.get(packet.instruction)  # type: ignore[call-overload]
        if group:
            return group(packet, now)  # type: ignore[no-any-return]
        return self._single(packet, now)

    def _present(self, now: float) -> list[Motor]:
        return [
            motor
            for number, motor in sorted(self.motors.items())
            if number not in self.faults.absent and motor.awake(now)
        ]

    def _motor(self, number: int, now: float) -> Motor | None:
        """Return the motor with this very ID, if it takes part."""
        return next((motor for motor in self._present(now) if motor.number == number), None)

    def _single(self, packet: Packet, now: float) -> bytes:
        """Carry out an instruction to one ID, by its owner, by motors that shadow it, or by all."""
        everyone = packet.motor == BROADCAST
        answer = b""
        latency = self._latency(packet.parameters[:2])
        for motor in self._present(now):
            if not everyone and not motor.obeys(packet.motor):
                continue
            motor.hear(now)
            own = packet.motor == motor.number
            if packet.instruction == Instruction.PING and (own or everyone):
                answer += status(motor.number, motor.alert(), bytes([*motor.table[0:2], motor.table[6]]))
                continue
            error, data = self._carry_out(motor, packet, now, latency)
            if own and motor.table[_STATUS_LEVEL] >= (1 if packet.instruction == Instruction.READ else 2):
                answer += status(motor.number, error | motor.alert(), data)
        return answer

    def _carry_out(self, motor: Motor, packet: Packet, now: float, latency: float) -> tuple[Fault, bytes]:
        """Return the error number and the data of a motor's answer."""
        kind, body = packet.instruction, packet.parameters
        if kind in (Instruction.READ, Instruction.WRITE, Instruction.REG_WRITE):
            if len(body) < 3 or (kind == Instruction.READ and len(body) != 4):
                return Fault.DATA_LENGTH, b""
            address = int.from_bytes(body[:2], "little")
            if kind == Instruction.READ:
                return motor.read(address, int.from_bytes(body[2:4], "little"))
            if kind == Instruction.WRITE:
                return motor.write(address, body[2:], now, latency), b""
            return motor.register(address, body[2:]), b""
        if kind == Instruction.ACTION:
            motor.act(now)
            return Fault.NONE, b""
        if kind == Instruction.REBOOT:
            motor.reboot(now)
            return Fault.NONE, b""
        if kind == Instruction.CLEAR:  # whole turns; these joints do not turn that far
            return (Fault.NONE if body[:1] == b"\x01" else Fault.DATA_RANGE), b""
        return Fault.INSTRUCTION, b""

    def _latency(self, address: bytes) -> float:
        """Return the latency of a write that begins at an address, and count it when it is a goal."""
        if int.from_bytes(address, "little") != GOAL_POSITION.address:
            return 0.0
        self.goals += 1
        return self.latency()

    def _sync_read(self, packet: Packet, now: float) -> bytes:
        """All listed motors answer one after another; who waits in vain for the one before stays silent."""
        address, length = _pair(packet.parameters)
        wanted = [(number, address, length) for number in packet.parameters[4:]]
        return self._chain(wanted, now, packet.instruction == Instruction.FAST_SYNC_READ)

    def _bulk_read(self, packet: Packet, now: float) -> bytes:
        rows = [packet.parameters[start : start + 5] for start in range(0, len(packet.parameters) - 4, 5)]
        wanted = [(row[0], *_pair(row[1:])) for row in rows]
        return self._chain(wanted, now, packet.instruction == Instruction.FAST_BULK_READ)

    def _chain(self, wanted: Sequence[tuple[int, int, int]], now: float, fast: bool) -> bytes:
        answers: list[tuple[int, int, bytes]] = []
        asked: set[int] = set()
        for number, address, length in wanted:
            motor = self._motor(number, now)
            if motor is None:
                break
            if number in asked:  # a motor answers once: a packet must not ask for more than there is
                continue
            asked.add(number)
            motor.hear(now)
            error, data = motor.read(address, length)
            answers.append((number, error | motor.alert(), data))
        if fast:
            return fast_status(answers) if answers else b""
        return b"".join(status(*answer) for answer in answers)

    def _sync_write(self, packet: Packet, now: float) -> bytes:
        address, length = _pair(packet.parameters)
        latency = self._latency(packet.parameters[:2])
        body = packet.parameters[4:]
        for start in range(0, len(body) - length, length + 1):
            self._write(body[start], address, body[start + 1 : start + 1 + length], now, latency)
        return b""

    def _bulk_write(self, packet: Packet, now: float) -> bytes:
        body = packet.parameters
        while len(body) >= 5:
            address, length = _pair(body[1:])
            self._write(body[0], address, body[5 : 5 + length], now, self._latency(body[1:3]))
            body = body[5 + length :]
        return b""

    def _write(self, number: int, address: int, data: bytes, now: float, latency: float) -> None:
        """Write without an answer, also in the motors that shadow the ID."""
        for motor in self._present(now):
            if motor.obeys(number):
                motor.hear(now)
                motor.write(address, data, now, latency)


def _pair(parameters: bytes) -> tuple[int, int]:
    """Return address and length at the front of the parameters."""
    return int.from_bytes(parameters[:2], "little"), int.from_bytes(parameters[2:4], "little")
