"""Recordings: one MCAP file per episode, readable up to the last step when the power goes.

Messages are written one by one, without chunks, so that a truncated file loses nothing but its end. Images use
Foxglove's public RawImage schema (JSON), so that common viewers show them.
"""

import base64
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader
from mcap.writer import Writer

from s2rctl.robots.protocol import Frame

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
        "target": {"type": "array"},
        "sent": {"type": "boolean"},
        "interventions": {"type": "array"},
        "inference_ms": {"type": "number"},
        "lateness_ms": {"type": "number"},
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
    },
}


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
    """Appends to an MCAP file. ``header`` (ids, profile, seed) is written first."""

    def __init__(self, path: Path, header: Mapping[str, str], images: bool = True) -> None:
        self._file = path.open("wb")
        self._writer = Writer(self._file, use_chunking=False)
        self._writer.start(profile="", library="s2rctl")
        self._writer.add_metadata("s2rctl", {key: str(value) for key, value in header.items()})
        self._images = images
        self._channels: dict[str, int] = {}
        self._newest: dict[str, float] = {}
        self._schemas = {
            name: self._writer.register_schema(name, "jsonschema", json.dumps(schema).encode())
            for name, schema in (("s2rctl.Step", STEP_SCHEMA), ("foxglove.RawImage", IMAGE_SCHEMA))
        }

    def step(self, t: float, values: Mapping[str, Any], frames: Mapping[str, Frame]) -> None:
        """Append one step and the frames that are new since the last one."""
        self._write("/step", "s2rctl.Step", t, {"t": t, **values})
        if self._images:
            for name, frame in frames.items():
                if self._newest.get(name) == frame.t:
                    continue
                self._newest[name] = frame.t
                self._write(f"/rgb_{name}", "foxglove.RawImage", frame.t, _image(name, frame.t, frame.rgb, "rgb8"))
                if frame.depth is not None:
                    body = _image(name, frame.t, frame.depth, "mono16")
                    self._write(f"/depth_{name}", "foxglove.RawImage", frame.t, body)
        self._file.flush()

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write the outcome as metadata and finish the file."""
        text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in summary.items()}
        self._writer.add_metadata("s2rctl.outcome", text)
        self._writer.finish()
        self._file.close()

    def _write(self, topic: str, schema: str, t: float, body: Mapping[str, Any]) -> None:
        if topic not in self._channels:
            self._channels[topic] = self._writer.register_channel(topic, "json", self._schemas[schema])
        stamp = max(0, round(t * 1e9))
        self._writer.add_message(self._channels[topic], stamp, json.dumps(_plain(body)).encode(), stamp)


def read_steps(path: Path) -> list[dict[str, Any]]:
    """Return the control steps of a recording, of a truncated one as far as it goes."""
    steps: list[dict[str, Any]] = []
    with path.open("rb") as file:
        try:
            for _, channel, message in NonSeekingReader(file).iter_messages(log_time_order=False):
                if channel.topic == "/step":
                    steps.append(json.loads(message.data))
        except (McapError, struct.error):
            pass  # the end is missing; everything before it is whole
    return steps


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
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return [_plain(item) for item in value.ravel().tolist()]
        return value.tolist()
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
