"""The driver's side of a Dynamixel bus: whatever the line answers, it is a value or one of the driver's own errors."""

from collections.abc import Callable
from typing import Any
from unittest import mock

from dynamixel_sdk import PacketHandler

from s2rctl.emulation.dynamixel.wire import status
from s2rctl.robots.aloha.motors import PRESENT_CURRENT, PRESENT_POSITION
from s2rctl.robots.dynamixel import bus as driver
from tests.fuzz.box import Box
from tests.fuzz.harness import Target
from tests.fuzz.mutate import Chooser, pick
from tests.fuzz.targets import dynamixel

SEEDS = (
    b"".join(status(number, 0, bytes(range(10))) for number in range(1, 4)),
    status(1, 0, b"\xfc\x03\x2a") + status(1, 0x80, b"\x01\x02\x03\x04") + status(1, 4),
    status(2, 0, b"\x00\x08\x00\x00") + status(1, 0, b"\x00\x08\x00\x00") + status(1, 0),
)


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change a packet as on the other side, or put a status packet with any error and length in front."""
    if choose.below(3):
        return dynamixel.shape(choose, data)
    return status(1 + choose.below(4), pick(choose, (0, 1, 7, 8, 127, 128, 135, 255)), bytes(choose.below(20))) + data


class Line:
    """A serial port that answers with given bytes, a few at a time, and then with nothing."""

    def __init__(self, answer: bytes) -> None:
        self.is_using, self.packet_timeout = False, 0.0
        self._answer = answer
        self._patience = 0

    def readPort(self, length: int) -> bytes:
        part, self._answer = self._answer[: min(length, 13)], self._answer[min(length, 13) :]
        return part

    def writePort(self, packet: Any) -> int:
        self._patience = 5
        return len(packet)

    def isPacketTimeout(self) -> bool:
        self._patience -= 1
        return self._patience < 0 and not self._answer

    def clearPort(self) -> None: ...
    def setPacketTimeout(self, length: int) -> None: ...
    def setPacketTimeoutMillis(self, milliseconds: float) -> None: ...
    def closePort(self) -> None: ...


def run(data: bytes, box: Box) -> Any:
    calls: tuple[Callable[[driver.Bus], Any], ...] = (
        lambda line: line.ping(1),
        lambda line: line.read(1, PRESENT_POSITION),
        lambda line: line.write(1, PRESENT_POSITION, 7),
        lambda line: line.reboot(1),
        lambda line: line.read_all([1, 2, 3], PRESENT_CURRENT, PRESENT_POSITION),
    )
    outcomes = []
    for number, use in enumerate(calls):
        with mock.patch.object(driver, "_open", lambda device: (Line(data), PacketHandler(2.0))):
            line = driver.Bus("left", "none")
        try:
            use(line)
            outcomes.append(number)
        except driver.BusError:
            continue
    return tuple(outcomes)


TARGET = Target("dynamixel_driver", run, lambda: SEEDS, shape, pure=True)
