"""Depth pictures as levels of disparity: the steps of a stereo camera, and what each pixel usually reads.

The model is that of ``render/depth_noise.py``: disparity = constant / depth in mm, rounded to whole steps.
"""

from dataclasses import dataclass

import numpy as np

from s2rctl.identification.camera.interval import figure, unknown
from s2rctl.schema.camera_faults import CameraFigure

MM = 1000.0
LEAST_LEVELS = 5
_SEEN = 0.05
"""A pixel with depth in a smaller share of the frames never has any: it may be out of range, or be hidden."""
_MOST_VALUES = 400
_COMB = 0.5
"""How much of the readings must stand on the steps, 1 being all, 0 what chance does."""
_NEARLY = 0.85
_LEAST_STEPS = 3.0  # of a constant, over the range of the readings
_CHUNK = 4096
_WIDE, _NARROW = 2.5, 2.6
"""Readings up to 2.5 steps and 2.6 times the shortest half of them from a pixel's middle are its own."""


@dataclass(frozen=True)
class Levels:
    """Depth pictures (N, H, W) of a still scene as disparity, in whole steps where the constant is told."""

    constant: float  # mm
    whole: bool  # whether the steps are known
    steps: np.ndarray  # (N, H, W) float, NaN where nothing was measured; frames without any depth are not among them
    middle: np.ndarray  # (H, W) what a pixel usually reads; NaN where it never has depth
    reach: np.ndarray  # (H, W) how far its own readings lie from that
    nearest: (
        np.ndarray
    )  # (H, W) where its readings are densest: at an edge, where half of them are mixed, what is there

    @property
    def lost(self) -> np.ndarray:
        """Where (N, H, W) nothing was measured."""
        return np.isnan(self.steps)

    @property
    def own(self) -> np.ndarray:
        """Where (N, H, W) a pixel reads what it usually does; elsewhere it is lost, or wrong."""
        with np.errstate(invalid="ignore"):
            return np.abs(self.steps - self.middle) <= self.reach


def constant_of(depth: np.ndarray, unit: float) -> CameraFigure:
    """Return the constant (mm) in whose steps depth (N, H, W) counts of ``unit`` m come, from the values that occur.

    It is the smallest one for which constant / depth are whole numbers nearly everywhere, then a least-squares fit to
    the values; each is off by up to half a count.
    """
    numbers = np.bincount(depth[depth > 0].ravel(), minlength=2)
    values = np.flatnonzero(numbers)
    if len(values) < LEAST_LEVELS:
        return unknown("disparity_constant", "there are too few different depths in the picture")
    often = np.sort(values[np.argsort(numbers[values])[::-1][:_MOST_VALUES]])
    weight = numbers[often] / numbers[often].sum()
    inverse = 1.0 / (MM * unit * often)  # 1/mm
    order = np.argsort(inverse)
    total = np.cumsum(weight[order])
    near, far = (inverse[order][np.searchsorted(total, share)] for share in (0.95, 0.05))
    low = _LEAST_STEPS / max(near - far, 1e-12)
    high = 0.5 / float(np.median(inverse / often))  # beyond it a step is less than two counts
    if low >= high:
        return unknown("disparity_constant", "depth differs too little over the picture")
    tried = np.arange(low, high, 0.1 / float(inverse.max()))
    comb = np.concatenate(
        [
            np.cos(2.0 * np.pi * part[:, None] * inverse) @ weight
            for part in np.array_split(tried, len(tried) // 2000 + 1)
        ]
    )
    if comb.max() < _COMB:
        return unknown("disparity_constant", "the steps are finer than the unit of depth, or not of disparity")
    first = int(np.argmax(comb > _NEARLY * comb.max()))
    while first + 1 < len(comb) and comb[first + 1] > comb[first]:
        first += 1
    return _fitted(float(tried[first]), often, weight, unit)


def _fitted(constant: float, counts: np.ndarray, weight: np.ndarray, unit: float) -> CameraFigure:
    """Return the constant fitted to the counts that stand on its steps."""
    for _ in range(8):
        steps = np.round(constant / (MM * unit * counts))
        products = MM * unit * counts * steps
        off = np.abs(constant / (MM * unit * counts) - steps)
        on = (
            (steps >= 1) & (weight > 0.05 * np.median(weight)) & (off < 0.6 * constant / (MM * unit * counts**2) + 0.05)
        )
        if len(np.unique(steps[on])) < LEAST_LEVELS:
            return unknown("disparity_constant", "too few steps are seen")
        strength = 1.0 / steps[on] ** 2
        constant = float((strength * products[on]).sum() / strength.sum())
    half = 3.0 * MM * unit / np.sqrt(12.0 * strength.sum())
    spread = np.sqrt(
        (strength * (products[on] - constant) ** 2).sum() / strength.sum() ** 2 / on.sum() * strength.sum()
    )
    half = max(half, 3.0 * float(spread))  # some are wrong depths that happen to lie on a step
    if half > 0.02 * constant:
        return unknown("disparity_constant", "the steps are hardly larger than the unit of depth")
    return figure("disparity_constant", constant, constant - half, constant + half)


def levels_of(depth: np.ndarray, unit: float, constant: float, whole: bool, limits: tuple[float, float]) -> Levels:
    """Return depth (N, H, W) counts as levels; frames without any depth are left out first."""
    pictures = depth[depth.reshape(len(depth), -1).any(axis=1)]
    with np.errstate(divide="ignore"):
        steps = np.where(pictures > 0, constant / (MM * unit * pictures.astype(np.float64)), np.nan)
    if whole:
        steps = np.round(steps)
    flat = steps.reshape(len(steps), -1)
    parts = [_middles(flat[:, at : at + _CHUNK]) for at in range(0, flat.shape[1], _CHUNK)]
    middle, reach, nearest = (np.concatenate(part).reshape(depth.shape[1:]) for part in zip(*parts, strict=True))
    # Near the ends of the camera's range some readings are cut off: what is left says nothing of losses or noise.
    far, near = (constant / MM / np.maximum(middle + side * reach, 1e-6) for side in (-1.0, 1.0))
    with np.errstate(invalid="ignore"):
        inside = (near >= limits[0]) & (far <= limits[1])
    middle, nearest = np.where(inside, middle, np.nan), np.where(inside, nearest, np.nan)
    return Levels(constant, whole, steps, middle, np.where(inside, reach, 0.0), nearest)


def _middles(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return middle, reach and densest place (P,) of the readings (N, P).

    The middle is the mean around the shortest interval that holds half of them: scratches are in the other half. Next
    to an edge a sixth may be all that is not mixed with what lies on its other side.
    """
    count = np.isfinite(steps).sum(axis=0)
    ordered = np.sort(np.where(np.isfinite(steps), steps, np.inf), axis=0)
    centre, width = _shortest(ordered, count, (count + 1) // 2)
    dense, narrow = _shortest(ordered, count, np.maximum(count // 6, 3))
    seen = (count >= max(_SEEN * len(steps), 4)) & np.isfinite(width)
    reach = np.where(seen, _WIDE + _NARROW * np.where(seen, width, 0.0), 0.0)
    middle = _mean_within(steps, centre, reach)
    nearest = _mean_within(steps, dense, np.where(seen, 0.5 * narrow + 1.0, 0.0))
    return np.where(seen, middle, np.nan), reach, np.where(seen, nearest, np.nan)


def _shortest(ordered: np.ndarray, count: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return middle and width (P,) of the shortest interval with ``held`` of the ``count`` ordered readings (N, P)."""
    rows, columns = np.arange(len(ordered))[:, None], np.arange(ordered.shape[1])
    upper = np.take_along_axis(ordered, np.minimum(rows + np.maximum(held, 1) - 1, len(ordered) - 1), axis=0)
    with np.errstate(invalid="ignore"):
        length = np.where((rows + held <= count) & (held > 0), upper - ordered, np.inf)
    start = np.argmin(length, axis=0)
    with np.errstate(invalid="ignore"):
        return 0.5 * (ordered[start, columns] + upper[start, columns]), length[start, columns]


def _mean_within(steps: np.ndarray, centre: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return the mean (P,) of the readings within ``reach`` of ``centre``."""
    with np.errstate(invalid="ignore"):
        own = np.abs(steps - centre) <= reach
    return np.asarray(np.where(own, steps, 0.0).sum(axis=0) / np.maximum(own.sum(axis=0), 1))
