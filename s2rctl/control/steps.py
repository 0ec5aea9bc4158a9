"""What a message of a recording must hold to be a step or a picture, so that whoever reads it need not ask again."""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from s2rctl.robots.protocol import Frame

_DTYPES: dict[str, tuple[type, int]] = {"rgb8": (np.uint8, 3), "mono16": (np.uint16, 1)}
_VECTORS = ("joint_pos", "joint_vel", "tool", "target")
_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)
_LATEST_S = 1e12
"""Beyond any time that a loop's clock has."""


class NotOurs(ValueError):
    """The message is no step and no picture."""


def step_of(content: dict[str, Any], before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a step with all that every reader asks for; NotOurs if it is none, or cannot follow those ``before``.

    Numbers may be null where they were not finite. Its vectors have the shape of the first step's.
    """
    step = {"ages": {}, "codes": [], "interventions": [], "step": len(before), **content}
    number = step["step"]
    fits = (
        _is_time(step.get("t"))
        and isinstance(number, int)
        and number >= (before[-1]["step"] + 1 if before else 0)
        and (not before or step["t"] >= before[-1]["t"])
        and isinstance(step["ages"], dict)
        and all(isinstance(step.get(name, {}), dict) for name in ("memory", "perception"))
        and all(age is None or _is_time(age) for age in step["ages"].values())
        and all(isinstance(step[name], list) for name in ("codes", "interventions"))
        and all(isinstance(text, str) for name in ("codes", "interventions") for text in step[name])
        and all(value is None or _is_number(value) for name, value in step.items() if name.endswith("_ms"))
    )
    if not fits:
        raise NotOurs("the message is no step")
    for name in _VECTORS:
        if step.get(name) is not None:
            step[name] = _vector(step[name], before[0].get(name) if before else None)
    return step


def depth_and_rgb(content: Mapping[str, Any]) -> tuple[str, Frame, np.ndarray | None]:
    """Return camera, frame and, for a depth image, the depth (H, W); NotOurs if it is no image of ours."""
    try:
        t = content["timestamp"]["sec"] + content["timestamp"]["nsec"] * 1e-9
        dtype, channels = _DTYPES[content["encoding"]]
        height, width, camera = content["height"], content["width"], content["frame_id"]
        if not (_is_time(t) and isinstance(camera, str) and _is_extent(height) and _is_extent(width)):
            raise NotOurs("the message is no image")
        pixels: np.ndarray = np.frombuffer(base64.b64decode(content["data"], validate=True), dtype)
        image = pixels.reshape((height, width, channels) if channels > 1 else (height, width))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotOurs("the message is no image") from error
    return (camera, Frame(t, image), None) if channels > 1 else (camera, Frame(t, _NO_PIXELS), image)


def _vector(value: Any, first: Any) -> Any:
    """Return nested lists of numbers, in the shape of the first step's where they have as many numbers."""
    try:
        numbers = np.array(_filled(value), float)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotOurs("a vector holds something else than numbers") from error
    if first is None or np.shape(first) == numbers.shape:
        return value
    if np.size(np.array(_filled(first), float)) != numbers.size:
        raise NotOurs("a vector has another length than before")
    # Recorders of earlier versions flattened what was not finite.
    shaped = numbers.reshape(np.shape(first)).tolist()
    return _nulled(shaped)


def _filled(value: Any) -> Any:
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if value is None:
        return math.nan
    if not _is_number(value):
        raise TypeError("no number")
    return value


def _nulled(value: Any) -> Any:
    if isinstance(value, list):
        return [_nulled(item) for item in value]
    return None if math.isnan(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    return _is_number(value) and abs(value) < _LATEST_S


def _is_extent(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
