"""Reads recordings, also those that were cut off or damaged: every whole step is kept, and what is lost is said."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.control.mcap_scan import OURS, Body, Entries, Gap, Scan
from s2rctl.control.steps import NotOurs, depth_and_rgb, step_of
from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.robots.protocol import Frame

MOST_PLACES = 20
"""Damaged places that are named one by one."""


@dataclass(frozen=True)
class Loss:
    """What a damaged recording has lost."""

    bytes: int  # in all
    places: tuple[tuple[int, int], ...]  # (offset, bytes), the first ``MOST_PLACES`` of them
    steps: int  # that must have been there: gaps in their numbers, and what the outcome says
    frames: int  # pictures that are there without their depth
    header: bool  # whether the header is lost

    def text(self) -> str:
        """Return the loss in words."""
        parts = [f"{self.steps} step{'s' if self.steps != 1 else ''}"] if self.steps else []
        parts += ["the header"] if self.header else []
        parts += [f"depth of {self.frames} picture{'s' if self.frames != 1 else ''}"] if self.frames else []
        where = ", ".join(f"{length} at {offset}" for offset, length in self.places[:3])
        more = ", …" if len(self.places) > 3 else ""
        return f"{self.bytes} damaged bytes ({where}{more}){': ' if parts else ''}{', '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        """Return the loss as plain data."""
        return {
            "bytes": self.bytes,
            "places": [{"offset": offset, "bytes": length} for offset, length in self.places],
            "steps": self.steps,
            "header": self.header,
        }


@dataclass
class Recording:
    """One episode."""

    header: Mapping[str, str]  # onnx, profile, robot, seed, mode, … as the recorder was given them
    outcome: Mapping[str, Any]  # empty when the recording was cut off
    steps: list[dict[str, Any]]
    frames: dict[str, list[Frame]] = field(default_factory=dict)  # by camera, in the order they were taken
    lost: Loss | None = None
    breaks: tuple[int, ...] = ()  # indices of steps before which something is missing
    since: Mapping[int, Mapping[str, int]] = field(default_factory=dict)  # frames by camera read before each break

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
        ages = {source: [step["ages"].get(source) for step in self.steps] for source in sources}
        return {source: np.array([np.nan if age is None else age for age in row]) for source, row in ages.items()}

    def frame_at(self, camera: str, t: float) -> Frame | None:
        """Return the camera's newest frame at loop time ``t`` s."""
        found = None
        for frame in self.frames.get(camera, ()):
            if frame.t > t + 1e-6:
                break
            found = frame
        return found

    def unbroken(self) -> "Recording":
        """Return the longest part in which nothing is missing, with the pictures that were taken in it."""
        if self.whole and not self.since:
            return self
        edges = [0, *self.breaks, len(self.steps)]
        begin, end = max(pairwise(edges), key=lambda part: part[1] - part[0])
        first = self.since.get(begin, {})
        frames = {camera: found[first.get(camera, 0) :] for camera, found in self.frames.items()}
        if frames and (end in self.since or not self.whole):
            end -= 1  # its pictures are written behind it, and may be what is missing
        return replace(self, steps=self.steps[begin:end], frames=frames, breaks=(), since={})

    def beginning(self) -> "Recording":
        """Return the part before anything is missing, without pictures."""
        end = self.breaks[0] if self.breaks else len(self.steps)
        if self.steps and self.steps[0]["step"] > 0:
            end = 0
        return replace(self, steps=self.steps[:end], frames={}, breaks=(), since={})


def read_recording(path: Path, images: bool = True) -> Recording:
    """Return a recording, of a damaged one every whole step; ArtifactError for anything else.

    Only what carries its own checksum is believed; recordings of earlier versions have none, and theirs is believed as
    far as it can be read.
    """
    if not path.is_file():
        raise UsageError(f"there is no recording {path}", "recordings are the .mcap files that deploy writes")
    try:
        size = path.stat().st_size
        for checked in (True, False):
            with path.open("rb") as file:
                reading = _Reading(images)
                scan = Scan(file, size, checked)
                reading.take(scan.items())
            if reading.found and (checked or (scan.ours and not scan.summed)):
                return reading.result()
    except OSError as error:
        raise ArtifactError(f"cannot read {path.name}: {error.strerror}", "check the disk, or copy the file") from error
    raise ArtifactError(f"{path.name} is not a recording of s2rctl", "choose an .mcap file written by deploy")


def read_steps(path: Path) -> list[dict[str, Any]]:
    """Return the control steps of a recording, of a damaged one all that are whole."""
    return read_recording(path, images=False).steps


class _Reading:
    """A recording that is being put together."""

    def __init__(self, images: bool) -> None:
        self._images = images
        self._header: Mapping[str, str] = {}
        self._outcome: Mapping[str, str] = {}
        self._steps: list[dict[str, Any]] = []
        self._frames: dict[str, list[Frame]] = {}
        self._depth: dict[tuple[str, float], np.ndarray] = {}
        self._gaps: list[tuple[int, int]] = []
        self._since: dict[int, dict[str, int]] = {}  # frames read when a break began
        self.found = False

    def take(self, items: Iterable[tuple[int, Body | Entries | Gap]]) -> None:
        """Take what a scan yields."""
        for offset, item in items:
            if isinstance(item, Gap):
                self._gap(item.offset, item.length)
            elif isinstance(item, Entries):
                self.found = True
                if item.name == OURS:
                    self._header = self._header or item.values
                else:
                    self._outcome = item.values
            else:
                self._body(offset, item.content)

    def _body(self, offset: int, content: dict[str, Any]) -> None:
        try:
            if "encoding" not in content:
                step = step_of(content, self._steps)
                if step["step"] != (self._steps[-1]["step"] + 1 if self._steps else 0):
                    self._break()
                self._steps.append(step)
            elif self._images:
                camera, frame, depth = depth_and_rgb(content)
                if depth is not None:
                    self._depth[(camera, frame.t)] = depth
                else:
                    self._frames.setdefault(camera, []).append(frame)
        except NotOurs:
            self._gap(offset, 0)
            return
        self.found = True

    def _gap(self, offset: int, length: int) -> None:
        if self._gaps and sum(self._gaps[-1]) == offset:
            offset, length = self._gaps[-1][0], self._gaps.pop()[1] + length
        self._gaps.append((offset, length))
        self._break()

    def _break(self) -> None:
        """Note that something is missing before the next step."""
        self._since[len(self._steps)] = {camera: len(frames) for camera, frames in self._frames.items()}

    def result(self) -> Recording:
        """Return the recording."""
        outcome = {key: _value(text) for key, text in self._outcome.items()}
        frames = {
            camera: [Frame(f.t, f.rgb, self._depth.get((camera, f.t))) for f in found]
            for camera, found in self._frames.items()
        }
        breaks = tuple(sorted(index for index in self._since if 0 < index < len(self._steps)))
        lost = None
        missing = self._missing(outcome)
        if self._gaps or missing:
            deep = {camera for camera, _ in self._depth}
            flat = sum(frame.depth is None for camera in deep for frame in frames.get(camera, ()))
            total = sum(length for _, length in self._gaps)
            lost = Loss(total, tuple(self._gaps[:MOST_PLACES]), missing, flat, not self._header)
        return Recording(self._header, outcome, self._steps, frames, lost, breaks, self._since)

    def _missing(self, outcome: Mapping[str, Any]) -> int:
        """Return how many steps are known to have been recorded and are not there."""
        last = self._steps[-1]["step"] + 1 if self._steps else 0
        told, dropped = outcome.get("steps", 0), outcome.get("dropped_steps", 0)
        most = max(last, told) if isinstance(told, int) else last
        return max(0, most - len(self._steps) - (dropped if isinstance(dropped, int) else 0))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
