"""How much detector and joints err, as the pictures themselves show, and which views neither can explain."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import chi2

from s2rctl.calibration import optics
from s2rctl.calibration.adjust import Linear, Noise, Problem, State, linear, whitened

POSE = 6
"""Numbers of a rigid pose: all that the joints' error of one view can move."""
_LEAST_PX = 0.03  # a detector is not better than this
_LARGEST_RAD = 0.3
_CONTRADICTION = float(chi2.ppf(1 - 1e-5, POSE))
_DRAWN = 30.0  # numbers for which all views' detector error stands against one view's own


def joint_sigma(problem: Problem, state: State, pixel: float, typical: bool) -> float:
    """Return the size (rad) of the joints' error that the residuals show; 0 where the detector alone explains them.

    It makes the squared whitened errors as large as their number: in the sum, or, where ``typical``, in the median of
    the views, which a few bad ones do not move.
    """
    rows = [_spectrum(linear(problem, state, view), pixel * view.spread) for view in problem.views]
    told = sum(count for *_, count in rows) - problem.free.size

    def surplus(sigma: float) -> float:
        lengths = [rest + float((along / (1 + (sigma * s) ** 2)).sum()) for s, along, rest, _ in rows]
        if typical:
            over = [length - count + POSE for length, (*_, count) in zip(lengths, rows, strict=True)]
            return float(np.median(over)) - float(chi2.ppf(0.5, POSE))
        return sum(lengths) - told

    low, high = 0.0, _LARGEST_RAD
    if surplus(0.0) <= 0:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if surplus(middle) > 0 else (low, middle)
    return high


def contradictions(problem: Problem, state: State, noise: Noise) -> list[bool]:
    """Return which views cannot be explained by detector and joints."""
    found = []
    for view in problem.views:
        _, error = whitened(linear(problem, state, view), noise.of(view))
        found.append(float(error @ error) - len(error) + POSE > _CONTRADICTION + 4 * np.sqrt(2 * len(error)))
    return found


def detector(problem: Problem, boards: Sequence[np.ndarray]) -> tuple[float, Problem]:
    """Return the detector's error (px on one axis), and the problem with each view's own part of it.

    It is what is left when every picture has a pose of its own. One picture alone tells little of it: its own figure is
    drawn towards that of all.
    """
    figures = optics.figures(problem.lens)
    squares, free = [], []
    for pose, view in zip(boards, problem.views, strict=True):
        pixels, _, _ = optics.project(figures, view.seen.points @ pose[:3, :3].T + pose[:3, 3])
        squares.append(float(((pixels - view.seen.pixels) ** 2).sum()))
        free.append(2 * len(view.seen.ids) - POSE)
    pixel = max(_LEAST_PX, float(np.sqrt(sum(squares) / max(sum(free), 1))))
    views = [
        replace(view, spread=float(np.sqrt((square / pixel**2 + _DRAWN) / (count + _DRAWN))))
        for view, square, count in zip(problem.views, squares, free, strict=True)
    ]
    return pixel, replace(problem, views=views)


def _spectrum(row: Linear, pixel: float) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Return singular values (t,) of the joints' effect per rad, squared errors along them (t,), rest and count."""
    u, s, _ = np.linalg.svd(row.noise / pixel, full_matrices=False)
    error = row.error / pixel
    along = (u.T @ error) ** 2
    return s, along, float(error @ error - along.sum()), len(error)
