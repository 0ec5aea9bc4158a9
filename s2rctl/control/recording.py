"""Reads recordings, whole ones and those that a crash cut off."""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Metadata
from mcap.stream_reader import StreamReader

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.robots.protocol import Frame

_DTYPES = {"rgb8": (np.uint8, 3), "mono16": (np.uint16, 1)}


@dataclass
class Recording:
    """One episode."""

    header: Mapping[str, str]  # onnx, profile, robot, seed, mode, … as the recorder was given them
    outcome: Mapping[str, Any]  # empty when the recording was cut off
    steps: list[dict[str, Any]]
    frames: dict[str, list[Frame]] = field(default_factory=dict)  # by camera, in the order they were taken

    @property
    def whole(self) -> bool:
        """Whether the recorder closed the file."""
        return bool(self.outcome)

    def column(self, name: str) -> np.ndarray:
        """Return one field of all steps as floats, NaN where it is null or missing; (steps, …)."""
        rows = [step.get(name) for step in self.steps]
        shape = next((np.shape(row) for row in rows if row is not None), ())
        return np.array([np.full(shape, np.nan) if row is None else np.array(row, float) for row in rows])

    def ages(self) -> dict[str, np.ndarray]:
        """Return the age in s of each source at every step."""
        sources = dict.fromkeys(source for step in self.steps for source in step["ages"])
        return {source: np.array([step["ages"].get(source, np.nan) for step in self.steps]) for source in sources}

    def frame_at(self, camera: str, t: float) -> Frame | None:
        """Return the camera's newest frame at loop time ``t`` s."""
        found = None
        for frame in self.frames.get(camera, ()):
            if frame.t > t + 1e-6:
                break
            found = frame
        return found


def read_recording(path: Path, images: bool = True) -> Recording:
    """Return a recording, of a truncated one as much as there is; ArtifactError for anything else."""
    if not path.is_file():
        raise UsageError(f"there is no recording {path}", "recordings are the .mcap files of deploy")
    recording = Recording({}, {}, [])
    channels: dict[int, str] = {}
    depth: dict[tuple[str, float], np.ndarray] = {}
    outcome: dict[str, str] = {}
    try:
        for record in _records(path):
            if isinstance(record, Channel):
                channels[record.id] = record.topic
            elif isinstance(record, Metadata) and record.name == "s2rctl":
                recording.header = record.metadata
            elif isinstance(record, Metadata) and record.name == "s2rctl.outcome":
                outcome = record.metadata
            elif isinstance(record, Message):
                _keep(recording, channels[record.channel_id], record.data, depth, images)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"{path.name} is not a recording of s2rctl: {error}", "choose an .mcap of deploy"
        ) from error
    if not recording.header:
        raise ArtifactError(f"{path.name} is not a recording of s2rctl", "choose an .mcap file of deploy")
    recording.outcome = {key: _value(text) for key, text in outcome.items()}
    for camera, frames in recording.frames.items():
        recording.frames[camera] = [Frame(f.t, f.rgb, depth.get((camera, f.t))) for f in frames]
    return recording


def read_steps(path: Path) -> list[dict[str, Any]]:
    """Return the control steps of a recording, of a truncated one as far as it goes."""
    return read_recording(path, images=False).steps


def _records(path: Path) -> Iterator[Any]:
    """Yield all records; the missing end of a truncated file ends the iteration."""
    with path.open("rb") as file:
        try:
            yield from StreamReader(file).records
        except (McapError, struct.error):
            return


def _keep(
    recording: Recording, topic: str, data: bytes, depth: dict[tuple[str, float], np.ndarray], images: bool
) -> None:
    kind, _, camera = topic.lstrip("/").partition("_")
    if topic == "/step":
        recording.steps.append(json.loads(data))
    elif images and kind in ("rgb", "depth"):
        body = json.loads(data)
        stamp = body["timestamp"]["sec"] + body["timestamp"]["nsec"] * 1e-9
        image = _pixels(body)
        if kind == "rgb":
            recording.frames.setdefault(camera, []).append(Frame(stamp, image))
        else:
            depth[(camera, stamp)] = image


def _pixels(body: Mapping[str, Any]) -> np.ndarray:
    dtype, channels = _DTYPES[body["encoding"]]
    pixels = np.frombuffer(base64.b64decode(body["data"]), dtype)
    shape = (body["height"], body["width"])
    return pixels.reshape((*shape, channels) if channels > 1 else shape)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
