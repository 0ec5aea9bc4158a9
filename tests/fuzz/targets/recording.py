"""MCAP recordings: read, summed up, shown, exported."""

import json
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording, read_steps
from s2rctl.operations.recordings.replay import summary
from s2rctl.robots.protocol import Frame
from tests.fuzz.box import Box
from tests.fuzz.harness import Target, call
from tests.fuzz.mutate import NUMBERS, Chooser, edit_tree, mutate_bytes, pick

MAGIC = b"\x89MCAP0\r\n"
_HEAD = 9  # opcode and length of a record
_MESSAGE, _MESSAGE_HEAD = 5, 22


def _recording(frames: bool, ended: bool) -> bytes:
    depth = np.arange(16, dtype=np.uint16).reshape(4, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mcap"
        recorder = McapRecorder(path, {"robot": "xarm7", "onnx": "0" * 64, "profile": "tiny", "rate_hz": "20.0"})
        for number in range(3):
            values = {
                "step": number,
                "ages": {"robot": 0.001, "side_cam": 0.02},
                "codes": (),
                "interventions": ("speed",) if number else (),
                "joint_pos": np.zeros(7),
                "target": np.zeros(3),
                "sent": True,
                "inference_ms": 0.1,
            }
            image = {"side_cam": Frame(number * 0.05, np.full((4, 4, 3), number, np.uint8), depth)} if frames else {}
            recorder.step(number * 0.05, values, image)
        recorder.close({"outcome": "time", "steps": 3})
        data = path.read_bytes()
        return data if ended else data[: data.rindex(b"s2rctl.outcome") - 20]


@cache
def seeds() -> list[bytes]:
    return [_recording(True, True), _recording(False, True), _recording(False, False)]


def split(data: bytes) -> list[tuple[int, bytes]]:
    """Return the records of a file: opcode and content."""
    found, at = [], len(MAGIC)
    while at + _HEAD <= len(data) and len(found) < 500:
        kind, size = struct.unpack_from("<BQ", data, at)
        found.append((kind, data[at + _HEAD : at + _HEAD + size]))
        at += _HEAD + size
    return found


def join(records: list[tuple[int, bytes]]) -> bytes:
    """Return the file of some records."""
    return MAGIC + b"".join(struct.pack("<BQ", kind, len(content)) + content for kind, content in records) + MAGIC


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change, drop, double or move a record; the body of a message as a tree; or zero the tail."""
    records = split(data)
    if not records or choose.below(12) == 0:
        return data[: choose.below(len(data) + 1)] + bytes(choose.below(4096))
    at, action = choose.below(len(records)), choose.below(8)
    kind, content = records[at]
    if action == 0:
        del records[at]
    elif action == 1:
        records.insert(choose.below(len(records) + 1), records[at])
    elif action == 2:
        records[at] = (choose.below(256), content)
    elif action == 3 and len(content) >= _MESSAGE_HEAD:
        records[at] = (kind, struct.pack("<H", choose.below(6)) + content[2:])
    elif kind == _MESSAGE and action > 3:
        try:
            body = edit_tree(choose, json.loads(content[_MESSAGE_HEAD:]))
            if "encoding" in body and choose.below(2):
                body[pick(choose, ("width", "height"))] = pick(choose, NUMBERS)
            records[at] = (kind, content[:_MESSAGE_HEAD] + json.dumps(body).encode())
        except (ValueError, TypeError, RecursionError):
            records[at] = (kind, mutate_bytes(choose, content))
    else:
        records[at] = (kind, mutate_bytes(choose, content))
    return join(records)


def run(data: bytes, box: Box) -> Any:
    path = box.file("a.mcap", data)
    recording = read_recording(path)
    assert len(read_steps(path)) == len(recording.steps)
    for name in ("t", "joint_pos", "target", "inference_ms"):
        recording.column(name)
    for camera in recording.frames:
        recording.frame_at(camera, 0.1)
    json.dumps(summary(recording), allow_nan=False)
    return recording.whole, len(recording.steps), len(recording.frames)


def command(data: bytes, box: Box) -> Any:
    box.file("a.mcap", data)
    shown = call("replay", "a.mcap", "--no-video", *(["--json"] if len(data) % 2 else []))[0]
    return shown, call("replay", "a.mcap", "--no-video", "--lerobot", "out")[0] if b"side_cam" not in data else None


TARGET = Target("recording", run, seeds, shape, command)
