"""What the policy wants to see, cut out of what a real camera delivers.

The policy's camera is a pinhole with square pixels, looking along the middle of its image, with the vertical field of
view of the contract. ``Fit`` finds that window in the real image from the camera's own intrinsics, so that another
resolution, focal length or an off-centre lens gives the same picture: colours are averaged over the area of each of the
policy's pixels, depth is the measurement at its centre (an average would invent surfaces at edges), in the contract's
unit.
"""

import math
from dataclasses import dataclass

import numpy as np

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.contract import CameraContract

OVERHANG = 0.02
"""Part of the window on each side that may lie outside the real image; the border pixels then stand for it."""


@dataclass(frozen=True)
class View:
    """The policy's camera."""

    width: int  # px
    height: int
    fovy_deg: float
    depth_unit_m: float | None  # None: the policy has no depth
    depth_range_m: tuple[float, float] | None

    @classmethod
    def of(cls, camera: CameraContract) -> "View":
        """Return the view that a contract asks for."""
        return cls(camera.width, camera.height, camera.fovy_deg, camera.depth_unit_m, camera.depth_range_m)


@dataclass(frozen=True)
class Window:
    """The part of a real image that the policy sees, px from the outer edge of the first pixel."""

    left: float
    top: float
    right: float
    bottom: float


def window_of(view: View, lens: Intrinsics, name: str) -> Window:
    """Return the window of a view in an image with the intrinsics ``lens``.

    Raises MissingEnvironmentError when the camera ``name`` sees less than the policy needs.
    """
    focal = 0.5 * view.height / math.tan(math.radians(view.fovy_deg) / 2)  # px of the policy's image
    half_x, half_y = lens.fx * 0.5 * view.width / focal, lens.fy * 0.5 * view.height / focal
    centre_x, centre_y = lens.cx + 0.5, lens.cy + 0.5
    window = Window(centre_x - half_x, centre_y - half_y, centre_x + half_x, centre_y + half_y)
    over = max(
        -window.left / (2 * half_x),
        -window.top / (2 * half_y),
        (window.right - lens.width) / (2 * half_x),
        (window.bottom - lens.height) / (2 * half_y),
    )
    if over > OVERHANG:
        sees = 2 * math.degrees(math.atan(0.5 * lens.height / lens.fy))
        raise MissingEnvironmentError(
            f"the camera '{name}' sees {sees:.0f}° vertically at {lens.width} x {lens.height}; the policy was trained "
            f"with {view.fovy_deg:.0f}° at {view.width} x {view.height}, and {over:.0%} of it lies outside",
            f"choose a wider stream with robot.cameras.{name}.width and .height, or another camera",
        )
    return window


class Fit:
    """Cuts a view out of the images of one camera; ``depth_scale_m`` is the device's metres per count."""

    def __init__(self, view: View, lens: Intrinsics, name: str, depth_scale_m: float | None = None) -> None:
        self.view = view
        self.window = window_of(view, lens, name)
        self._shape = (lens.height, lens.width)
        self._rows = _area_weights(self.window.top, self.window.bottom, view.height, lens.height)
        self._columns = _area_weights(self.window.left, self.window.right, view.width, lens.width)
        self._row_centres = _centres(self.window.top, self.window.bottom, view.height, lens.height)
        self._column_centres = _centres(self.window.left, self.window.right, view.width, lens.width)
        self._first, self._last = _support(self._rows)
        self._gain = None if depth_scale_m is None or view.depth_unit_m is None else depth_scale_m / view.depth_unit_m
        self._scale = depth_scale_m

    def colour(self, image: np.ndarray) -> np.ndarray:
        """Return the policy's picture (h, w, 3) uint8 of an image (H, W, 3) uint8."""
        if image.shape != (*self._shape, 3):
            raise ValueError(f"expected an image of {(*self._shape, 3)}, got {image.shape}")
        used = image[self._first : self._last].astype(np.float32)
        lines = self._rows[:, self._first : self._last] @ used.reshape(len(used), -1)
        picture = np.einsum("hwc,vw->hvc", lines.reshape(len(lines), self._shape[1], 3), self._columns, optimize=True)
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    def depth(self, image: np.ndarray) -> np.ndarray:
        """Return the policy's depth (h, w) uint16 of counts (H, W) uint16 of the device; 0 outside its range."""
        if image.shape != self._shape:
            raise ValueError(f"expected depth of {self._shape}, got {image.shape}")
        if self._gain is None or self._scale is None:
            raise ValueError("the policy or the device has no depth")
        counts = image[np.ix_(self._row_centres, self._column_centres)]
        metres = counts * self._scale
        low, high = self.view.depth_range_m or (0.0, math.inf)
        usable = (counts > 0) & (metres >= low) & (metres <= high)
        return np.where(usable, np.clip(np.rint(counts * self._gain), 0, 65535), 0).astype(np.uint16)


def _area_weights(begin: float, end: float, count: int, size: int) -> np.ndarray:
    """Return (count, size) float32: how much each source pixel counts in each of ``count`` equal parts of a range."""
    edges = np.linspace(begin, end, count + 1)
    low, high = edges[:-1, None], edges[1:, None]
    # a part outside the image takes the border pixel
    low, high = np.clip(low, 0, size - 1e-6), np.clip(high, 1e-6, size)
    pixel = np.arange(size)[None]
    weights = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _centres(begin: float, end: float, count: int, size: int) -> np.ndarray:
    """Return the source pixel (count,) at the centre of each part of a range."""
    middle = begin + (np.arange(count) + 0.5) * (end - begin) / count
    return np.clip(np.floor(middle), 0, size - 1).astype(int)


def _support(weights: np.ndarray) -> tuple[int, int]:
    """Return the first source pixel with any weight, and one past the last."""
    used = np.flatnonzero(weights.any(axis=0))
    return int(used[0]), int(used[-1]) + 1
