"""Intervals at 95 %, and when a figure counts as told."""

import math

import numpy as np
from scipy.special import betaincinv
from scipy.stats import t

from s2rctl.schema.camera_faults import MEANINGS, CameraFigure

LEVEL = 0.95
_TAIL = (1.0 - LEVEL) / 2.0
TOLD_SHARE = 0.5
"""A figure is told if the recording leaves less than this part of what was not known of it before."""


def figure(name: str, value: float, low: float, high: float, why: str = "") -> CameraFigure:
    """Return a figure with its interval; told where the interval is narrow enough."""
    low, high = min(low, value), max(high, value)
    told = math.isfinite(high - low) and high - low < TOLD_SHARE * MEANINGS[name].width
    why = why or ("" if told else "this recording leaves it open")
    return CameraFigure(name=name, value=value, low=low, high=high, told=told, why=why)  # type: ignore[arg-type]


def unknown(name: str, why: str) -> CameraFigure:
    """Return a figure of which a recording says nothing."""
    return CameraFigure(name=name, value=0.0, low=0.0, high=MEANINGS[name].width, told=False, why=why)  # type: ignore[arg-type]


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return mean and interval of independent values (n,), by Student's t."""
    mean = float(np.mean(values))
    half = float(t.ppf(1.0 - _TAIL, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def share_interval(events: float, of: float, spread: float = 1.0) -> tuple[float, float, float]:
    """Return a share and its interval (Clopper and Pearson 1934).

    ``spread`` is the variance of the counts over that of independent events: each then counts for less.
    """
    if of <= 0:
        return 0.0, 0.0, 1.0
    k, n = max(events, 0.0) / spread, of / spread
    low = float(betaincinv(k, n - k + 1.0, _TAIL)) if k > 0 else 0.0
    high = float(betaincinv(k + 1.0, n - k, 1.0 - _TAIL)) if k < n else 1.0
    return k / n, low, high
