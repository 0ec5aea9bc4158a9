"""Frames of the xArm's protocol: whatever comes, the emulated controller goes on answering and reporting."""

import gc
import struct
from functools import cache
from typing import Any

import numpy as np

from s2rctl.emulation.xarm.controller import Controller
from s2rctl.emulation.xarm.wire import HEADER, Function, split
from s2rctl.scene import SCENES
from tests.fuzz.box import Box
from tests.fuzz.harness import Target
from tests.fuzz.mutate import NUMBERS, Chooser, mutate_bytes, pick


def frame(function: int, payload: bytes = b"", transaction: int = 5, length: int | None = None) -> bytes:
    """Return one request."""
    return HEADER.pack(transaction, 2, len(payload) + 1 if length is None else length, function) + payload


def floats(*values: float) -> bytes:
    """Return little-endian floats."""
    return struct.pack(f"<{len(values)}f", *values)


READY = (frame(11, b"\x08\x01"), frame(12, b"\x00"))
SEEDS = (
    b"".join([frame(1), frame(2), *READY, frame(19, b"\x07"), frame(12, b"\x00"), frame(13), frame(14), frame(15)]),
    b"".join([*READY, frame(19, b"\x07"), READY[1], frame(21, floats(400, 50, 250, 3.1, 0, 0, 200, 5000, 0))]),
    b"".join([*READY, frame(21, floats(400, 50, 250, 3.1, 0, 0, 200, 5000, 0)), frame(23, floats(*[0.1] * 10))]),
    b"".join([*READY, frame(19, b"\x01"), READY[1], frame(29, floats(*[0.1] * 7)), frame(30, floats(*[300.0] * 6))]),
    b"".join([*READY, frame(19, b"\x05"), READY[1], frame(82, floats(10, 0, 0, 0, 0, 0) + b"\x00" + floats(1.0))]),
    b"".join([frame(35, floats(0, 0, 172, 0, 0, 0)), frame(41), frame(42), frame(44, floats(*[0.1] * 7))]),
    b"".join([frame(43, floats(400, 0, 228, 3.1, 0, 0)), frame(47, floats(650)), frame(48, floats(3.1)), frame(49)]),
    b"".join([frame(50, b"\x01"), frame(52, struct.pack("<6i", 700, 150, 400, -400, 700, 20)), frame(59, b"\x01")]),
)
FUNCTIONS = tuple(int(function) for function in Function)


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change, add, drop or double a frame: function, payload, floats in it, or the length that it announces."""
    frames = split(bytearray(data))
    if not frames:
        return frame(pick(choose, FUNCTIONS), bytes(choose.below(64)))
    at, action = choose.below(len(frames)), choose.below(7)
    request = frames[at]
    parts = [frame(r.function, r.payload, r.transaction) for r in frames]
    if action == 0:
        parts[at] = frame(pick(choose, (*FUNCTIONS, choose.below(256))), request.payload)
    elif action == 1:
        parts[at] = frame(request.function, request.payload[: choose.below(len(request.payload) + 1)])
    elif action == 2:
        parts[at] = frame(request.function, request.payload, length=pick(choose, (0, 1, 2, 255, 4096, 65535)))
    elif action == 3:
        number = np.float32(np.clip(float(pick(choose, NUMBERS)), -3.4e38, 3.4e38))
        place = 4 * choose.below(max(1, len(request.payload) // 4))
        parts[at] = frame(request.function, request.payload[:place] + number.tobytes() + request.payload[place + 4 :])
    elif action == 4:
        parts.insert(choose.below(len(parts) + 1), frame(pick(choose, FUNCTIONS), request.payload))
    elif action == 5:
        parts.insert(choose.below(len(parts) + 1), pick(choose, READY + SEEDS))
    else:
        parts[at] = frame(request.function, mutate_bytes(choose, request.payload))
    return b"".join(parts)


@cache
def model() -> Any:
    return SCENES.load("reach")(0.005)


def run(data: bytes, box: Box) -> Any:
    gc.collect(
        1
    )  # a controller is a circle around megabytes of MuJoCo's; the bound for memory is not about those before
    controller = Controller(model())
    buffer, answers, asked = bytearray(), 0, 0
    for start in range(0, len(data), 97):  # the network cuts where it likes
        buffer += data[start : start + 97]
        for request in split(buffer):
            asked += 1
            reply = controller.handle(request)
            assert reply is not None, "a request without an answer"
            transaction, _, length, function = HEADER.unpack_from(reply)
            assert (transaction, function, length) == (request.transaction, request.function, len(reply) - 6)
            answers += 1
        _alive(controller)
    assert len(buffer) <= 6 + 65535, "the buffer grows without an end"
    for _ in range(3):
        controller.tick()
    _alive(controller)
    assert np.isfinite(controller.plant.data.qpos).all(), "the arm is nowhere"
    return answers, controller.error


def _alive(controller: Controller) -> None:
    """A well-behaved client beside this one still gets its reports and its answers."""
    report = controller.report()
    assert [len(data) for data in (report.real(), report.normal(), report.rich())] == [87, 145, 245]
    (request,) = split(bytearray(frame(Function.VERSION)))
    reply = controller.handle(request)
    assert reply is not None and len(reply) == 48


TARGET = Target("xarm", run, lambda: SEEDS, shape, pure=True)
