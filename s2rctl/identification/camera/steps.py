"""Noise and sub-pixel shift of the disparity: how much a pixel's level flickers, on flat ground and on slopes.

A level is round(d + sigma n), d the disparity at a place shift_px away (``render/depth_noise.py``): its variance before
rounding is sigma² + shift_px² slope². What rounding makes of that depends on where between two levels a pixel lies,
which differs from pixel to pixel; the mean over them does not.
"""

from functools import cache

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.optimize import least_squares
from scipy.special import ndtr
from scipy.stats import t

from s2rctl.identification.camera.interval import LEVEL, figure, unknown
from s2rctl.identification.camera.levels import Levels
from s2rctl.schema.camera_faults import CameraFigure

BORDER = 3
"""Pixels at the border of a picture of which nothing is taken: neighbours beyond it are made up."""
_WINDOW = 2
_CURVED = 0.8
"""How far levels may be from a plane, which are known to half a step; a step of two is told from a slope by it."""
_LEAST_PIXELS = 60
_LEAST_PLACES = 20
_LEAST_READINGS = 15
_PLACES = 4.0
_SHELL = 5.0
_OTHER_LAW = 0.02
"""Part of the squares that stays unsure: flicker is worked out for a normal law, training's has shorter tails."""
_CLEAR = ((2, 250), (1, 100))
"""How much further from an edge flicker is measured, px, where so many pixels are left. Near one, readings from further
away are lost with the edge, and what is left flickers less."""


def noise_and_shift(levels: Levels) -> tuple[CameraFigure, CameraFigure]:
    """Return sigma (steps) and shift (px) of a still scene's levels."""
    names = ("disparity_sigma", "disparity_shift_px")
    if not levels.whole:
        sigma, shift = (unknown(name, "it needs the disparity steps") for name in names)
        return sigma, shift
    slope, smooth = slopes(levels.middle)
    variance, readings = _flicker(levels, smooth)
    used = far_from_edges(smooth) & (readings >= _LEAST_READINGS)
    place = np.floor(_PLACES * levels.middle[used] + 0.5)
    if used.sum() < _LEAST_PIXELS or len(np.unique(place)) < _LEAST_PLACES:
        why = "the picture has too little smooth ground, or too few levels of it"
        return unknown(names[0], why), unknown(names[1], why)
    return _fit(variance[used], slope[used] ** 2, readings[used], place)


def slopes(middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope (H, W) of the disparity in levels per px, and where (H, W) it is that of a plane.

    A plane is fitted to 5 x 5 pixels; disparity is linear over a plane.
    """
    height, width = middle.shape
    size = 2 * _WINDOW + 1
    slope, smooth = np.zeros_like(middle), np.zeros(middle.shape, bool)
    if height < size or width < size:
        return slope, smooth
    patches = np.lib.stride_tricks.sliding_window_view(middle, (size, size))
    along = np.arange(-_WINDOW, _WINDOW + 1)
    total = float(size * (along**2).sum())
    down = (patches * along[:, None]).sum(axis=(2, 3)) / total
    across = (patches * along[None, :]).sum(axis=(2, 3)) / total
    mean = patches.mean(axis=(2, 3))
    plane = mean[..., None, None] + down[..., None, None] * along[:, None] + across[..., None, None] * along[None, :]
    with np.errstate(invalid="ignore"):
        even = np.abs(patches - plane).max(axis=(2, 3)) < _CURVED
    inner = slice(_WINDOW, -_WINDOW)
    slope[inner, inner], smooth[inner, inner] = np.hypot(down, across), even
    return np.where(smooth, slope, 0.0), smooth


def far_from_edges(smooth: np.ndarray) -> np.ndarray:
    """Return the smooth pixels (H, W) around which all are smooth, as far as enough of them are left."""
    square = np.ones((3, 3), bool)
    for around, plenty in _CLEAR:
        inner = binary_erosion(smooth, square, iterations=around)
        if inner.sum() >= plenty:
            return np.asarray(inner)
    return smooth


def _flicker(levels: Levels, smooth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance (H, W) of each pixel's own readings and their number; wrong ones among them are allowed for.

    Wrong depths are spread evenly, so their density is that beyond a pixel's reach.
    """
    own = levels.own
    count = own.sum(axis=0)
    mean = np.where(own, levels.steps, 0.0).sum(axis=0) / np.maximum(count, 1)
    variance = np.where(own, (levels.steps - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1)
    with np.errstate(invalid="ignore"):
        away = np.abs(levels.steps - levels.middle)
        shell = (away > levels.reach + 1.0) & (away <= levels.reach + 1.0 + _SHELL)
    density = shell[:, smooth].sum() / max(2.0 * _SHELL * count[smooth].sum(), 1.0)
    within = np.floor(levels.reach)
    theirs = density * within * (within + 1) * (2 * within + 1) / 3.0
    return np.maximum(variance - theirs, 0.0) / np.maximum(1.0 - 2.0 * density * within, 0.5), count


def _fit(
    variance: np.ndarray, slope2: np.ndarray, readings: np.ndarray, place: np.ndarray
) -> tuple[CameraFigure, CameraFigure]:
    """Return sigma and shift by weighted least squares of the flicker (P,), with intervals by places.

    Pixels at the same place between the same two levels flicker alike whatever the noise: they count as one.
    """

    def expected(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean flicker (P,) and its variance for sigma² and shift²: in them the flicker is nearly linear."""
        mean, between, fourth = flickering(np.sqrt(squares[0] + squares[1] * slope2))
        return mean, between + np.maximum(fourth - mean**2, 0.0) / readings + 1e-4

    squares = np.array([max(float(np.median(variance)), 0.01), 0.1])
    for _ in range(4):
        scale = np.sqrt(expected(squares)[1])
        fit = least_squares(
            lambda tried, scale=scale: (variance - expected(tried)[0]) / scale,
            np.clip(squares, 1e-3, 15.0),
            bounds=([0.0, 0.0], [2500.0, 16.0]),
        )
        squares = fit.x
    jacobian, left = fit.jac, fit.fun
    places = np.unique(place, return_inverse=True)[1]
    half = _jackknifed(jacobian, left, places)
    half = np.hypot(half, _OTHER_LAW * squares)
    value, low, high = (np.sqrt(np.maximum(each, 0.0)) for each in (squares, squares - half, squares + half))
    return (
        figure("disparity_sigma", float(value[0]), float(low[0]), float(high[0])),
        figure("disparity_shift_px", float(value[1]), float(low[1]), float(high[1])),
    )


def _jackknifed(jacobian: np.ndarray, left: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return half intervals (2,) of a fit with derivatives (P, 2): by leaving out each place in turn, to first order.

    Student's t has as many degrees of freedom as places that matter, less one for each value.
    """

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(places, values)

    whole = jacobian.T @ jacobian + 1e-12 * np.eye(2)
    own = np.array([[summed(jacobian[:, i] * jacobian[:, j]) for j in range(2)] for i in range(2)]).transpose(2, 0, 1)
    pull = np.stack([summed(jacobian[:, i] * left) for i in range(2)], axis=1)
    moved = np.linalg.solve(whole - own + 1e-9 * np.trace(whole) * np.eye(2), pull[..., None])[..., 0]
    square = (moved - moved.mean(axis=0)) ** 2
    freedom = square.sum(axis=0) ** 2 / np.maximum((square**2).sum(axis=0), 1e-300) - 2.0
    return np.asarray(t.ppf(0.5 + LEVEL / 2, np.maximum(freedom, 2.0)) * np.sqrt(square.sum(axis=0)))


def flickering(deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean variance, its variance between places, and mean fourth moment of levels.

    For deviations before rounding; places lie anywhere between two levels.
    """
    grid, mean, between, fourth = _table()
    return tuple(np.interp(deviation, grid, column) for column in (mean, between, fourth))  # type: ignore[return-value]


@cache
def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    grid = np.concatenate([np.linspace(0.0, 3.0, 151), np.linspace(3.1, 60.0, 200)])
    place = (np.arange(40) + 0.5) / 40 - 0.5
    rows = []
    for deviation in grid:
        span = np.arange(-int(5 * deviation) - 2, int(5 * deviation) + 3)
        edges = np.concatenate([span - 0.5, [span[-1] + 0.5]])
        shares = np.diff(ndtr((edges[None] - place[:, None]) / max(deviation, 1e-9)), axis=1)
        mean = (shares * span).sum(axis=1)
        around = span[None] - mean[:, None]
        variance = (shares * around**2).sum(axis=1)
        rows.append((variance.mean(), variance.var(), (shares * around**4).sum(axis=1).mean()))
    mean, between, fourth = np.array(rows).T
    return grid, mean, between, fourth
