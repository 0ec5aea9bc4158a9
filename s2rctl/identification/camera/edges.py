"""Depth that is lost at edges: from which step on, and how much more often at a larger one.

A pixel is lost with the probability atan(gain x step) where depth changes by more than the least step; the lost pixels
of a frame are then shifted together by up to one pixel, and where the camera's sub-pixel shift reaches into one,
nothing is measured either (``render/depth_noise.py:lose_edges``, ``resample``). So what a pixel loses is a mean over
shifts of a product over two by two pixels.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import t

from s2rctl.identification.camera.interval import LEVEL, figure, unknown
from s2rctl.identification.camera.levels import MM, Levels
from s2rctl.identification.camera.losses import Losses, change_of, worst_near
from s2rctl.identification.camera.steps import flickering
from s2rctl.schema.camera_faults import MEANINGS, CameraFigure

NAMES = ("edge_gradient", "edge_gain")
GAINS, GRADIENTS = (0.2, 200.0), (0.001, 1.0)
_FINE = 32
_LEAST_PIXELS = 30
_MIXED = 0.02
"""How well a step is known, of itself: what is read next to an edge is mixed from both sides."""
_DENSEST = 0.1
"""Variance of the densest place among a hundred readings or so, of theirs (seen in simulation)."""
_BLOCK = 4
"""Side of the squares of pixels, px, in which a step that is taken for another makes all differ."""
_BYTES_SD = 147.8016
"""Standard deviation of a sum of four bytes, which training's normal numbers are made of (``pixel_noise.gaussian``)."""


@dataclass(frozen=True)
class Seen:
    """What pixels near edges lost."""

    change: np.ndarray  # (H, W) m, step to the next pixels; 0 where it is not known
    unsure: np.ndarray  # (H, W) m, deviation of that
    used: np.ndarray  # (H, W) bool, pixels that are compared
    lost: np.ndarray  # (N, P) bool
    spread: tuple[np.ndarray, np.ndarray]  # (H, H), (W, W) probabilities that a row or column is taken from another
    pairs: bool  # whether a pixel is measured from two by two
    single: float  # share of the pixels far from edges that are lost one by one
    patches: float  # and in patches
    wrong: float  # share of pixels, lost ones too, over which lines of wrong depth lie

    def expected(self, gradient: float, gains: np.ndarray) -> np.ndarray:
        """Return the probabilities (G, P) that the compared pixels are lost, for each of the gains (G,)."""
        over = ndtr((self.change - gradient) / self.unsure)
        kept = 1.0 - over * np.minimum(np.arctan(gains[:, None, None] * self.change), 1.0)
        if self.pairs:
            kept = kept * np.roll(kept, -1, axis=1)
            kept = kept * np.roll(kept, -1, axis=2)
        down, across = self.spread
        kept = (down @ kept @ across.T)[:, self.used]
        lost = kept * self.single + (1.0 - kept) * (1.0 - self.wrong)
        return np.asarray(np.clip(self.patches + (1.0 - self.patches) * lost, 1e-6, 1.0 - 1e-6))


def edges_of(levels: Levels, losses: Losses, shift_px: float) -> tuple[CameraFigure, CameraFigure]:
    """Return the least step that loses pixels (m/px) and the gain (px/m); ``shift_px`` is the sub-pixel shift."""
    change = change_of(levels)
    worst = worst_near(change)
    used = np.isfinite(worst) & (worst > np.nanquantile(worst, 0.2) if np.isfinite(worst).any() else False)
    used &= ~losses.worst
    if not losses.told:
        why = "what is lost without edges is not told"
        return unknown(NAMES[0], why), unknown(NAMES[1], why)
    if used.sum() < _LEAST_PIXELS:
        why = "there are too few edges with depth on both sides"
        return unknown(NAMES[0], why), unknown(NAMES[1], why)
    kernel, pairs = _kernel(shift_px)
    seen = Seen(
        change=np.nan_to_num(change),
        unsure=_unsure(levels, np.nan_to_num(change)),
        used=used,
        lost=levels.lost[:, used],
        spread=(_matrix(kernel, len(change)), _matrix(kernel, change.shape[1])),
        pairs=pairs,
        single=losses.single,
        patches=losses.patches,
        wrong=losses.wrong,
    )
    return _fit(seen)


def _kernel(shift_px: float) -> tuple[np.ndarray, bool]:
    """Return with which probability losses come from how far along an axis, and whether pairs of pixels count.

    The camera's own shift by less than a pixel counts by its whole part, that of the lost pixels is -1, 0 or 1.
    """
    thirds = np.full(3, 1.0 / 3.0)
    if shift_px < 1e-3:
        return thirds, False
    total = np.array([1.0])
    for _ in range(4):
        total = np.convolve(total, np.full(256, 1.0 / 256.0))
    reach = int(np.ceil(510.0 / _BYTES_SD * shift_px))
    places = np.floor((np.arange(len(total)) - 510.0) / _BYTES_SD * shift_px).astype(int)
    whole = np.bincount(np.clip(places, -reach, reach) + reach, total, 2 * reach + 1)
    return np.convolve(whole, thirds), True


def _matrix(kernel: np.ndarray, size: int) -> np.ndarray:
    """Return the matrix (size, size) that takes means by a kernel along an axis; what lies beyond is as at the end."""
    reach, matrix = len(kernel) // 2, np.zeros((size, size))
    for number, weight in enumerate(kernel):
        matrix[np.arange(size), np.clip(np.arange(size) + number - reach, 0, size - 1)] += weight
    return matrix


def _unsure(levels: Levels, change: np.ndarray) -> np.ndarray:
    """Return how well the step at each pixel (H, W) is known, m: levels are whole, and edges are mixed."""
    spread = np.where(levels.own, (levels.steps - levels.middle) ** 2, 0.0).sum(axis=0)
    flat = float(np.nanmedian(spread / np.maximum(levels.own.sum(axis=0), 1)))
    deviations = np.linspace(0.0, 2.0, 50)
    blur = np.interp(flat, flickering(deviations)[0], deviations)
    off = np.exp(-((2.0 * np.pi * blur) ** 2)) / 12.0 * float(levels.whole) + _DENSEST * flat
    metres = np.nan_to_num(levels.constant / MM / levels.middle**2) * np.sqrt(off)
    return np.asarray(np.sqrt(2.0 * metres**2 + (_MIXED * change) ** 2) + 1e-4)


def _fit(seen: Seen) -> tuple[CameraFigure, CameraFigure]:
    """Return both figures by the likelihood of each pixel's losses, all pixels taken for independent.

    They are not: all of a frame are shifted together, and where a step is taken for another, all frames are wrong
    alike. So the likelihood's width is corrected by how the scores of frames and of places differ (Varin, Reid and
    Firth 2011), and intervals are those of its profiles.
    """
    count, frames = seen.lost.sum(axis=0).astype(np.float64), len(seen.lost)

    def likelihoods(gradients: np.ndarray, gains: np.ndarray) -> np.ndarray:
        shares = (seen.expected(gradient, gains) for gradient in gradients)
        return np.array([np.log(share) @ count + np.log1p(-share) @ (frames - count) for share in shares])

    gradients, gains = np.geomspace(*GRADIENTS, _FINE), np.geomspace(*GAINS, _FINE)
    for _ in range(2):
        table = likelihoods(gradients, gains)
        row, column = np.unravel_index(int(table.argmax()), table.shape)
        widening = _widening(seen, float(gradients[row]), float(gains[column]))
        near = table.max() - table <= 0.5 * 3.0 * max(widening)
        gradients = _closer(gradients, near.any(axis=1))
        gains = _closer(gains, near.any(axis=0))
    table = likelihoods(gradients, gains)
    row, column = np.unravel_index(int(table.argmax()), table.shape)
    widening = _widening(seen, float(gradients[row]), float(gains[column]))
    found = []
    for name, grid, profile, at, wide in zip(
        NAMES, (gradients, gains), (table.max(axis=1), table.max(axis=0)), (row, column), widening, strict=True
    ):
        held = np.flatnonzero(table.max() - profile <= 0.5 * wide)
        low, high = float(grid[max(held[0] - 1, 0)]), float(grid[min(held[-1] + 1, len(grid) - 1)])
        if name == NAMES[0]:  # a threshold is known no better than the few steps next to it
            blur = _blur_at(seen, float(grid[at]))
            low, high = max(low - blur, 0.0), high + blur
        else:
            low, high = low * (1.0 - 2.0 * _MIXED), high * (1.0 + 2.0 * _MIXED)
        found.append(figure(name, float(grid[at]), low, high))
    gradient, gain = found
    if gain.value < 1.05 * GAINS[0]:
        why = "no step in the picture loses pixels"
        return unknown(NAMES[0], why), unknown(NAMES[1], why)
    if gain.high >= 0.99 * GAINS[1]:
        gain = unknown(NAMES[1], "every edge in the picture is lost as often as can be, or none is")
    largest = float(seen.change[seen.used].max())
    if gradient.high >= largest:  # nothing beyond it: whether anything is lost at a step at all is not seen
        gradient = unknown(NAMES[0], "no step in the picture is large enough")
    elif gradient.high - gradient.low > 0.5 * MEANINGS[NAMES[0]].width:
        gradient = gradient.model_copy(update={"told": False, "why": "no step in the picture is near it"})
    return gradient, gain


def _blur_at(seen: Seen, gradient: float) -> float:
    """Return how well steps of about the least one that loses pixels are known, m."""
    near = seen.used & (seen.change > 0.7 * gradient) & (seen.change < 1.4 * gradient)
    return float(np.median(seen.unsure[near])) if near.any() else 0.0


def _closer(grid: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return a finer grid over the part that is ``near`` the best, and one step more on both sides."""
    held = np.flatnonzero(near)
    return np.geomspace(grid[max(held[0] - 1, 0)], grid[min(held[-1] + 1, len(grid) - 1)], _FINE)


def _widening(seen: Seen, gradient: float, gain: float) -> tuple[float, float]:
    """Return for both figures twice the loss of likelihood at the ends of their intervals.

    That is the quantile of Student's t, squared, for as many places as tell the figure, times the variance over that of
    independent pixels.
    """
    one = np.array([gain])
    share = seen.expected(gradient, one)[0]
    steps = (0.02 * gradient, 0.02 * gain)
    by_gradient = seen.expected(gradient + steps[0], one) - seen.expected(gradient - steps[0], one)
    by_gain = seen.expected(gradient, one + steps[1]) - seen.expected(gradient, one - steps[1])
    slopes = np.concatenate([by_gradient / (2 * steps[0]), by_gain / (2 * steps[1])])
    weight = 1.0 / (share * (1.0 - share))
    bread = np.linalg.pinv(len(seen.lost) * (slopes * weight) @ slopes.T)
    each = seen.lost - share
    frames = each @ (slopes * weight).T
    rows, columns = np.nonzero(seen.used)
    block = np.unique((rows // _BLOCK) * seen.used.shape[1] + columns // _BLOCK, return_inverse=True)[1]
    places = np.stack([np.bincount(block, each.sum(axis=0) * slope * weight) for slope in slopes], axis=1)
    meat = sum((scores - scores.mean(axis=0)).T @ (scores - scores.mean(axis=0)) for scores in (frames, places))
    covariance = bread @ meat @ bread
    plain = np.maximum(np.diag(bread), 1e-30)
    factors = np.clip(np.diag(covariance) / plain, 1.0, 1e4)
    influence = (places @ bread) ** 2
    telling = influence.sum(axis=0) ** 2 / np.maximum((influence**2).sum(axis=0), 1e-300)
    quantiles = t.ppf(0.5 + LEVEL / 2, np.maximum(telling - 1.0, 2.0)) ** 2
    return float(factors[0] * quantiles[0]), float(factors[1] * quantiles[1])
