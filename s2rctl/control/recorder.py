"""Recordings: one MCAP file per episode, readable up to the last step when the process is killed.

Messages are written one by one, without chunks, so that a truncated file loses nothing but its end, and each carries a
checksum of its own, so that damage anywhere else loses nothing but what it hit (see ``checksum``). A thread of its own
writes them: the control loop only hands over. Every step is given to the operating system at once and to the disk once
per second, so a killed process loses at most the step under way, a power cut about a second. Images use Foxglove's
public RawImage schema (JSON), so that common viewers show them.
"""

import base64
import json
import os
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mcap.writer import Writer

from s2rctl.control.checksum import LIBRARY, stamped, stamped_metadata
from s2rctl.robots.protocol import Frame
from s2rctl.schema.tensors import depth_name, rgb_name

STEP_SCHEMA = {
    "type": "object",
    "title": "s2rctl.Step",
    "description": "One control step: s, rad, m. Numbers that are not finite are null.",
    "properties": {
        "t": {"type": "number"},
        "step": {"type": "integer"},
        "ages": {"type": "object"},
        "joint_pos": {"type": "array"},
        "joint_vel": {"type": "array"},
        "tool": {"type": "array"},
        "codes": {"type": "array"},
        "outputs": {"type": "object"},
        "memory": {"type": "object", "description": "what the policy remembered when it was asked"},
        "perception": {"type": "object", "description": "per estimate: the image's error and the filtered one, m"},
        "target": {"type": "array"},
        "sent": {"type": "boolean"},
        "interventions": {"type": "array"},
        "inference_ms": {"type": "number"},
        "filter_ms": {"type": "number"},
        "send_ms": {"type": "number"},
        "sent_ms": {"type": "number", "description": "from reading the sensors to the command being sent"},
        "lateness_ms": {"type": "number"},
        "crc32": {"type": "string", "description": "of all bytes of this JSON before this entry"},
    },
}
IMAGE_SCHEMA = {
    "type": "object",
    "title": "foxglove.RawImage",
    "properties": {
        "timestamp": {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}},
        "frame_id": {"type": "string"},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "encoding": {"type": "string"},
        "step": {"type": "integer"},
        "data": {"type": "string", "contentEncoding": "base64"},
        "crc32": {"type": "string"},
    },
}


BACKLOG = 2000
"""Steps that may wait for the disk."""
SYNC_S = 1.0
_Step = tuple[float, Mapping[str, Any], Mapping[str, Frame]]


class Recorder(Protocol):
    """Takes what a loop did."""

    def step(self, t: float, values: Mapping[str, Any], frames: Mapping[str, Frame]) -> None:
        """Keep one control step at loop time ``t`` s."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write the outcome and end the recording."""


class NullRecorder:
    """Keeps nothing."""

    def step(self, t: float, values: Mapping[str, Any], frames: Mapping[str, Frame]) -> None:
        """Ignore."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """Ignore."""


class McapRecorder:
    """Appends to an MCAP file in its own thread. ``header`` (ids, profile, seed) is written first.

    Steps that the disk cannot take (``BACKLOG`` of them waiting) are dropped and counted in the outcome; an error of
    the disk is raised by ``close``, not into the loop.
    """

    def __init__(self, path: Path, header: Mapping[str, str], images: bool = True) -> None:
        self._file = path.open("wb")
        self._writer = Writer(self._file, use_chunking=False)
        self._writer.start(profile="", library=LIBRARY)
        self._header = stamped_metadata("s2rctl", {key: str(value) for key, value in header.items()})
        self._writer.add_metadata("s2rctl", self._header)
        self._images = images
        self._channels: dict[str, int] = {}
        self._newest: dict[str, float] = {}
        self._schemas = {
            name: self._writer.register_schema(name, "jsonschema", json.dumps(schema).encode())
            for name, schema in (("s2rctl.Step", STEP_SCHEMA), ("foxglove.RawImage", IMAGE_SCHEMA))
        }
        self._file.flush()
        self._waiting: queue.Queue[_Step | None] = queue.Queue(BACKLOG)
        self._dropped = 0
        self._trouble: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def step(self, t: float, values: Mapping[str, Any], frames: Mapping[str, Frame]) -> None:
        """Hand over one step and its frames; they must not be changed afterwards."""
        try:
            self._waiting.put_nowait((t, values, frames))
        except queue.Full:
            self._dropped += 1

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write what waits and the outcome as metadata, and finish the file; OSError when the disk did not take it."""
        if not self._thread.is_alive() and self._file.closed:
            return
        self._waiting.put(None)
        self._thread.join()
        try:
            if self._trouble is None:
                content = {**summary, **({"dropped_steps": self._dropped} if self._dropped else {})}
                text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in content.items()}
                self._writer.add_metadata("s2rctl", self._header)  # once more, in case the first one is damaged
                self._writer.add_metadata("s2rctl.outcome", stamped_metadata("s2rctl.outcome", text))
                self._writer.finish()
        finally:
            self._file.close()
        if self._trouble is not None:
            raise self._trouble

    def _run(self) -> None:
        synced = time.monotonic()
        while (item := self._waiting.get()) is not None:
            if self._trouble is not None:
                continue
            try:
                self._append(*item)
                self._file.flush()
                if time.monotonic() - synced > SYNC_S:
                    os.fsync(self._file.fileno())
                    synced = time.monotonic()
            except Exception as error:  # whatever it is, the loop must get rid of its steps
                self._trouble = error

    def _append(self, t: float, values: Mapping[str, Any], frames: Mapping[str, Frame]) -> None:
        """Append one step and the frames that are new since the last one."""
        self._write("/step", "s2rctl.Step", t, {"t": t, **values})
        if not self._images:
            return
        for name, frame in frames.items():
            if self._newest.get(name) == frame.t:
                continue
            self._newest[name] = frame.t
            self._write(f"/{rgb_name(name)}", "foxglove.RawImage", frame.t, _image(name, frame.t, frame.rgb, "rgb8"))
            if frame.depth is not None:
                body = _image(name, frame.t, frame.depth, "mono16")
                self._write(f"/{depth_name(name)}", "foxglove.RawImage", frame.t, body)

    def _write(self, topic: str, schema: str, t: float, body: Mapping[str, Any]) -> None:
        if topic not in self._channels:
            self._channels[topic] = self._writer.register_channel(topic, "json", self._schemas[schema])
        stamp = max(0, round(t * 1e9))
        self._writer.add_message(self._channels[topic], stamp, stamped(_plain(body)), stamp)


def _image(name: str, t: float, image: np.ndarray, encoding: str) -> dict[str, Any]:
    height, width = image.shape[:2]
    return {
        "timestamp": {"sec": int(t), "nsec": round((t - int(t)) * 1e9)},
        "frame_id": name,
        "width": width,
        "height": height,
        "encoding": encoding,
        "step": image.strides[0],
        "data": base64.b64encode(np.ascontiguousarray(image).tobytes()).decode(),
    }


def _plain(value: Any) -> Any:
    """Return the value in JSON's own types; non-finite numbers become None."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        plain = value.tolist()
        return _plain(plain) if value.dtype.kind == "f" and not np.isfinite(value).all() else plain
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
