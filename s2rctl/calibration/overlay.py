"""Does the simulated camera see what the real one sees? Pictures to look at, and one number."""

from collections.abc import Sequence

import cv2
import numpy as np

from s2rctl.calibration.board import Detection
from s2rctl.schema.cameras import Intrinsics

_RED, _GREY = (220, 40, 30), (120, 120, 120)
SEEN, RENDERED = (40, 220, 60), (230, 40, 30)
"""Colours of outlines."""


def blend(photo: np.ndarray, render: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Return ``alpha`` of the render over the photo; both (H, W, 3) uint8."""
    return cv2.addWeighted(render, alpha, photo, 1.0 - alpha, 0.0)


def edges_over(photo: np.ndarray, render: np.ndarray, colour: tuple[int, int, int] = (255, 60, 30)) -> np.ndarray:
    """Return the photo (H, W, 3) with the edges of the render drawn on it."""
    edges = cv2.Canny(cv2.cvtColor(render, cv2.COLOR_RGB2GRAY), 40, 120) > 0
    result = photo.copy()
    result[edges] = colour
    return result


def silhouette_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return intersection over union of two masks (H, W) bool; 1 when both are empty."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0


def outline_over(photo: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = (255, 60, 30)) -> np.ndarray:
    """Return the photo (H, W, 3) with the outline of a mask (H, W) bool drawn on it."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(photo.copy(), contours, -1, colour, 1))


def residual_plot(errors: Sequence[np.ndarray], train_px: np.ndarray, held_out_px: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3): all residuals (n, 2) px as a cloud, and per pose train (grey) and held out (red)."""
    cloud = _cloud(np.concatenate(errors))
    return np.hstack([cloud, _bars(train_px, held_out_px, cloud.shape[0])])


def coverage_plot(views: Sequence[Detection], lens: Intrinsics) -> np.ndarray:
    """Return a picture (H, W, 3) of where in the image the corners of all views lie."""
    scale = 480 / lens.height
    image = np.full((480, round(lens.width * scale), 3), 255, np.uint8)
    for number, view in enumerate(views):
        shade = int(40 + 150 * number / max(len(views) - 1, 1))
        for u, v in view.pixels * scale:
            cv2.circle(image, (round(u * 16), round(v * 16)), 40, (shade, 90, 220 - shade // 2), -1, cv2.LINE_AA, 4)
    cv2.rectangle(image, (0, 0), (image.shape[1] - 1, image.shape[0] - 1), _GREY, 1)
    _text(image, f"corners of {len(views)} views in the image", (10, 18))
    return image


def ellipsoid_plot(covariance: np.ndarray, scale: float, side: int = 320) -> np.ndarray:
    """Return a picture (H, W, 3): the ellipsoid of the camera's position seen along each of its axes, in mm.

    ``covariance`` (6, 6) is in the camera's frame; ``scale`` the squared Mahalanobis length of the ellipsoid.
    """
    block = covariance[:3, :3] * scale * 1e6
    limit = 1.25 * float(np.sqrt(max(np.diag(block).max(), 1e-12)))
    planes = ((0, 1, "right", "down"), (0, 2, "right", "forward"), (1, 2, "down", "forward"))
    return np.hstack([_ellipse(block[np.ix_((a, b), (a, b))], limit, (x, y), side) for a, b, x, y in planes])


def _ellipse(block: np.ndarray, limit: float, names: tuple[str, str], side: int) -> np.ndarray:
    image = np.full((side, side, 3), 255, np.uint8)
    middle, scale = side / 2, (side / 2 - 34) / limit
    step = 10 ** np.floor(np.log10(limit))
    for value in np.arange(-np.floor(limit / step) * step, limit, step):
        at = round(middle + value * scale)
        cv2.line(image, (at, 30), (at, side - 30), (228, 228, 228), 1)
        cv2.line(image, (30, at), (side - 30, at), (228, 228, 228), 1)
    root = np.linalg.cholesky(block + 1e-12 * np.eye(2))
    angles = np.linspace(0, 2 * np.pi, 120)
    points = middle + scale * (root @ np.stack([np.cos(angles), np.sin(angles)])).T
    cv2.polylines(image, [np.rint(points * 16).astype(np.int32)], True, (40, 90, 200), 2, cv2.LINE_AA, 4)
    _text(image, f"x: {names[0]}, y: {names[1]}; grid {step:g} mm", (10, 18))
    return image


def _cloud(errors: np.ndarray, side: int = 420) -> np.ndarray:
    image = np.full((side, side, 3), 255, np.uint8)
    limit = max(0.5, float(np.quantile(np.abs(errors), 0.995)) * 1.3)
    scale, middle = (side / 2 - 30) / limit, side // 2
    step = 10 ** np.floor(np.log10(limit))
    step *= 1 if limit / step < 3 else 2
    for ring in np.arange(step, limit * 1.4, step):
        cv2.circle(image, (middle, middle), round(ring * scale), (215, 215, 215), 1, cv2.LINE_AA)
        _text(image, f"{ring:g} px", (middle + 3, middle - round(ring * scale) - 3))
    for x, y in errors:
        place = (round((middle + x * scale) * 16), round((middle + y * scale) * 16))
        cv2.circle(image, place, 24, (40, 90, 200), -1, cv2.LINE_AA, 4)
    _text(image, "reprojection error of each corner", (10, 18))
    return image


def _bars(train: np.ndarray, held_out: np.ndarray, height: int, width: int = 560) -> np.ndarray:
    image = np.full((height, width, 3), 255, np.uint8)
    top = max(float(held_out.max()), float(train.max()), 1e-6) * 1.1
    left, low, room = 50, height - 40, height - 90
    slot = (width - left - 15) / len(train)
    for value in np.linspace(0, top, 5):
        row = round(low - value / top * room)
        cv2.line(image, (left, row), (width - 10, row), (225, 225, 225), 1)
        _text(image, f"{value:.2f}", (8, row + 4))
    for index, pair in enumerate(zip(train, held_out, strict=True)):
        for part, (value, colour) in enumerate(zip(pair, (_GREY, _RED), strict=True)):
            x = left + slot * (index + 0.15 + 0.36 * part)
            corner = (round(x + slot * 0.33), round(low - float(value) / top * room))
            cv2.rectangle(image, (round(x), low), corner, colour, -1)
        _text(image, str(index + 1), (round(left + slot * (index + 0.35)), low + 16))
    _text(image, "px per robot pose: all poses (grey), from the other poses (red)", (10, 18))
    return image


def _text(image: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
