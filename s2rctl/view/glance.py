"""What the page beside a calibration shows of a moment, as plain values that can go to another process."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from s2rctl.calibration.board import Detection
from s2rctl.core.channel import Message
from s2rctl.operations.calibration.collect import Live
from s2rctl.schema.cameras import Intrinsics


@dataclass(frozen=True)
class Believed:
    """Where camera and board are by now, as far as the views tell."""

    camera: np.ndarray  # (4, 4) in its parent
    board: np.ndarray  # (4, 4) in its own
    covariance: np.ndarray  # (6, 6) of the camera, in its frame
    scale: float  # squared Mahalanobis length of the 95 % ellipsoid of its place


@dataclass(frozen=True)
class Glance:
    """A view that was taken, and what follows from all of them."""

    image: np.ndarray  # (H, W, 3) or (H, W) uint8
    corners: np.ndarray | None  # (n, 2) px, of the board in the image
    refused: str  # why the view is of no use; empty: it is used
    views: int  # used before this one
    wanted: int
    lens: Intrinsics
    reading: np.ndarray | None  # (n,) joints at the picture
    taken: tuple[np.ndarray, ...]  # corners (n, 2) of the views used before
    believed: Believed | None

    @property
    def used(self) -> bool:
        """Whether the view counts."""
        return not self.refused


def glance(live: Live) -> Glance:
    """Return what is shown of what ``collect`` tells."""
    seen, found = live.judged.seen, live.solution
    return Glance(
        image=live.image,
        corners=None if seen is None else seen.pixels,
        refused="" if live.judged.good else live.judged.reason or "of no use",
        views=live.views,
        wanted=live.wanted,
        lens=live.lens,
        reading=live.reading,
        taken=tuple(view.pixels for view in live.taken),
        believed=None
        if found is None
        else Believed(found.camera, found.board, found.covariance, float(found.ellipsoid(3))),
    )


def detection(corners: np.ndarray) -> Detection:
    """Return corners (n, 2) px as a detection of which only the places in the image are known."""
    return Detection(np.arange(len(corners)), np.asarray(corners), np.full((len(corners), 3), np.nan))


def message(now: Glance) -> Message:
    """Return a glance as a message."""
    arrays = {"image": now.image, "counts": np.array([len(one) for one in now.taken], np.int64)}
    arrays["taken"] = np.concatenate([np.zeros((0, 2)), *now.taken])
    arrays |= {} if now.corners is None else {"corners": now.corners}
    arrays |= {} if now.reading is None else {"reading": np.asarray(now.reading, float)}
    values: dict[str, Any] = {"refused": now.refused, "views": now.views, "wanted": now.wanted}
    values["lens"] = now.lens.model_dump(mode="json")
    if now.believed is not None:
        found = now.believed
        values["scale"] = found.scale
        arrays |= {"camera": found.camera, "board": found.board, "covariance": found.covariance}
    return Message("view", values, arrays)


def of_message(told: Message) -> Glance:
    """Return the glance of a message; BadMessage or ValueError for what is none."""
    arrays = told.arrays
    ends = np.cumsum(told.array("counts"))[:-1]
    taken = tuple(np.split(told.array("taken"), ends)) if len(told.array("counts")) else ()
    believed = None
    if "camera" in arrays:
        camera, board, covariance = (np.array(told.array(name)) for name in ("camera", "board", "covariance"))
        believed = Believed(camera, board, covariance, told.number("scale", 0.0))
    return Glance(
        image=told.array("image"),
        corners=arrays.get("corners"),
        refused=told.text("refused"),
        views=int(told.number("views", 0.0)),
        wanted=int(told.number("wanted", 0.0)),
        lens=Intrinsics.model_validate(told.values.get("lens")),
        reading=arrays.get("reading"),
        taken=taken,
        believed=believed,
    )
