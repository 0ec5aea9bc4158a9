"""How much detector and joints err, as the pictures themselves show, and which views neither can explain."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import chi2

from s2rctl.calibration import optics
from s2rctl.calibration.adjust import Linear, Noise, Problem, State, linear

POSE = 6
"""Numbers of a rigid pose: all that the joints' error of one view can move."""
_LEAST_PX = 0.03  # a detector is not better than this
_LARGEST_RAD = 0.3
_SURE = 1 - 1e-6
_DRAWN = 30.0  # numbers for which all views' detector error stands against one view's own


def joint_sigma(problem: Problem, state: State, pixel: float, typical: bool) -> float:
    """Return the size (rad) of the joints' error that the residuals show; 0 where the detector alone explains them.

    Only what the joints can do to a view is asked, the few directions of their effect: there the squared whitened
    errors are to be as large as their number, less what the fit has taken up. The other directions show the detector
    alone. The sum of all views is taken or, where ``typical``, their median, which a few bad ones do not move.
    """
    rows = [_spectrum(linear(problem, state, view), pixel * view.spread) for view in problem.views]
    told = sum(len(s) for s, _ in rows) - problem.free.size

    def surplus(sigma: float) -> float:
        lengths = [float((along / (1 + (sigma * s) ** 2)).sum()) for s, along in rows]
        if typical:
            return float(np.median([x - chi2.ppf(0.5, len(s)) for x, (s, _) in zip(lengths, rows, strict=True)]))
        return sum(lengths) - told

    low, high = 0.0, _LARGEST_RAD
    if surplus(0.0) <= 0:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if surplus(middle) > 0 else (low, middle)
    return high


def contradictions(problem: Problem, state: State, noise: Noise) -> list[bool]:
    """Return which views cannot be explained by detector and joints: too far off in what joints can do to them."""
    found = []
    for view in problem.views:
        s, along = _spectrum(linear(problem, state, view), noise.pixel * view.spread)
        length = float((along / (1 + (noise.joint * s) ** 2)).sum())
        found.append(length > float(chi2.ppf(_SURE, len(s))))
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


def _spectrum(row: Linear, pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Return singular values (t,) of the joints' effect per rad, and the squared errors along them (t,)."""
    u, s, _ = np.linalg.svd(row.noise / pixel, full_matrices=False)
    return s, (u.T @ (row.error / pixel)) ** 2
