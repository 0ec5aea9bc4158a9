"""Does the simulated camera see what the real one sees? Pictures to look at, and one number."""

from collections.abc import Sequence

import cv2
import numpy as np

_RED, _GREY = (220, 40, 30), (120, 120, 120)


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
