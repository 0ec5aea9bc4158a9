"""Noise, brightness and vignette of colour pictures, by the model that training spoils pictures with.

A value of frame t is round(g_t m + 255 a u), clipped to 0..255: g the frame's brightness factor, m what the pixel
shows, u uniform in [-1, 1] in 256 levels (``env/images.py:spoil_colours``).
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2, t

from s2rctl.identification.camera.interval import LEVEL, figure, mean_interval, unknown
from s2rctl.schema.camera_faults import CameraFigure

LEAST_VALUES = 100
"""Fewest values of a picture between black and white."""
_WHITE = 255.0
_ROUGH = 1e-3
"""Part of the noise that stays unsure: how rounding adds to it depends on where between two levels pixels lie."""
_SLOW = 3.0  # autocorrelation of the brightness in its standard deviations that counts as a drift
_UNEVEN = 0.5  # correlation of neighbours in what is left of a flat picture that shows that it is not flat
_STRUCTURE = 0.01  # and how much may be left at any rate, of the picture


@dataclass(frozen=True)
class Shades:
    """Colour pictures (N, H, W, 3) of a still scene, taken apart."""

    gains: np.ndarray  # (N,) brightness of each frame, mean 1
    level: np.ndarray  # (P,) mean of each value that is never black or white
    rest: np.ndarray  # (N, P) what is left
    used: np.ndarray  # (H, W, 3) bool, which values these are

    @property
    def variance(self) -> np.ndarray:
        """Variance of each frame's noise (N,), in squared levels."""
        frames, values = self.rest.shape
        return np.asarray((self.rest**2).sum(axis=1) / (values - 1) * frames / (frames - 1))


def shades_of(rgb: np.ndarray) -> Shades | None:
    """Return pictures (N, H, W, 3) uint8 taken apart; None where nearly everything is black or white."""
    used = (rgb.min(axis=0) > 0) & (rgb.max(axis=0) < _WHITE)
    if used.sum() < LEAST_VALUES:
        return None
    values = rgb[:, used].astype(np.float64)
    level = values.mean(axis=0)
    gains = values @ level / (level @ level)
    gains /= gains.mean()
    return Shades(gains, level, values - gains[:, None] * level, used)


def noise_of(shades: Shades) -> CameraFigure:
    """Return the half width of the noise, of 1: that of the uniform law with the variance that was seen."""
    variance, low, high = mean_interval(shades.variance)
    widths, variances = _by_width()
    width, least, most = (float(np.interp(each, variances, widths)) / _WHITE for each in (variance, low, high))
    third = np.quantile(shades.level, (1 / 3, 2 / 3))
    spread = (shades.rest**2).mean(axis=0)
    dark, bright = spread[shades.level <= third[0]].mean(), spread[shades.level >= third[1]].mean()
    why = ""
    if dark > 0 and not 0.67 < bright / dark < 1.5:
        why = f"its variance is {bright / dark:.1f} times as large in bright parts as in dark ones"
    return figure("pixel_noise", width, least - _ROUGH * width, most + _ROUGH * width, why)


@cache
def _by_width() -> tuple[np.ndarray, np.ndarray]:
    """Return half widths in levels, and the variance of rounded values with such noise, whatever lies below it."""
    widths = np.concatenate([np.linspace(0.0, 2.0, 81), np.linspace(2.05, 130.0, 600)])
    below = (np.arange(32) + 0.5) / 32
    noise = np.arange(256) / 127.5 - 1.0
    rounded = np.round(below[None, :, None] + widths[:, None, None] * noise)
    return widths, rounded.var(axis=2).mean(axis=1)


def brightness_of(shades: Shades) -> CameraFigure:
    """Return ± how much the brightness of frames differs, of its middle: half the width of the uniform law it is from.

    Likelihood of that law with the noise of the gains; its ratio for a width is exp(-2 ratio) of a gamma law of shape 2
    where that noise is small, so chi-squared with 4 degrees of freedom bounds the interval. Frames that follow one
    another in brightness count for fewer.
    """
    gains = shades.gains
    blur = math.sqrt(float(shades.variance.mean()) / float(shades.level @ shades.level))
    around = gains - gains.mean()
    alike = float((around[1:] * around[:-1]).sum() / max((around**2).sum(), 1e-30))
    slow = alike > _SLOW / math.sqrt(len(gains)) and float(around.std()) > 2.0 * blur
    weight = (1.0 - alike) / (1.0 + alike) if slow else 1.0
    half, low, high = _uniform_width(gains, max(blur, 1e-6), weight)
    why = "it drifts slowly: a longer recording may show more" if slow else ""
    return figure("brightness", half, low, high, why)


def _uniform_width(gains: np.ndarray, blur: float, weight: float) -> tuple[float, float, float]:
    """Return half width over middle of a uniform law seen with Gaussian noise ``blur``, with its interval."""
    reach = 0.5 * float(np.ptp(gains))
    middle = 0.5 * float(gains.max() + gains.min())
    limit = float(chi2.ppf(LEVEL, 4)) / (2.0 * weight)
    longest = reach * math.exp(limit / len(gains)) + 2.0 * blur
    widths = np.linspace(max(reach - 6.0 * blur, 0.02 * blur), longest, 160)
    slack = max(longest - reach, 2.0 * blur)
    centres = middle + np.linspace(-slack, slack, 61)
    best = np.empty(len(widths))
    for number, width in enumerate(widths):
        from_left = ndtr((gains[:, None] - (centres - width)) / blur)
        inside = from_left - ndtr((gains[:, None] - (centres + width)) / blur)
        best[number] = (np.log(np.maximum(inside, 1e-300)).sum(axis=0) - len(gains) * math.log(2.0 * width)).max()
    held = widths[best >= best.max() - limit]
    value = float(widths[best.argmax()])
    low = 0.0 if held[0] == widths[0] and reach < 6.0 * blur else float(held[0])
    return value / middle, low / middle, float(held[-1]) / middle


def vignette_of(flat: np.ndarray | None) -> CameraFigure:
    """Return how much darker the corners are, from pictures (N, H, W, 3) uint8 of an evenly lit plain surface.

    Least squares of the mean picture by 1 - v (x² + y²) / 2 (``env/development.py``) times a plane, as a lamp on one
    side makes one.
    """
    if flat is None:
        return unknown("vignette", "it needs a picture of an evenly lit plain surface: --flat")
    if float(((flat == 0) | (flat == _WHITE)).mean()) > 0.01:
        return unknown("vignette", "the flat picture is black or white in places")
    picture = flat.astype(np.float64).mean(axis=(0, 3))
    height, width = picture.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    design = np.stack([np.ones(picture.size), 0.5 * (x * x + y * y).ravel(), x.ravel(), y.ravel()], axis=1)
    solution = np.linalg.lstsq(design, picture.ravel(), rcond=None)[0]
    left = picture - (design @ solution).reshape(picture.shape)
    alike = float((left[:, 1:] * left[:, :-1]).mean() / max((left**2).mean(), 1e-30))
    if alike > _UNEVEN and left.std() > _STRUCTURE * solution[0]:
        return unknown("vignette", "the flat picture shows something else than an evenly lit plain surface")
    freedom = picture.size - design.shape[1]
    covariance = np.linalg.inv(design.T @ design) * float((left**2).sum()) / freedom
    # Neighbours that are alike count for fewer; the mean of a channel's rounding is known no better than 0.01 levels.
    widening = math.sqrt((1.0 + max(alike, 0.0)) / (1.0 - min(max(alike, 0.0), 0.9)))
    value = -solution[1] / solution[0]
    slope = np.array([value / solution[0], 1.0 / solution[0], 0.0, 0.0])
    half = float(t.ppf(0.5 + LEVEL / 2, freedom)) * widening * math.sqrt(float(slope @ covariance @ slope))
    value, half = float(value), half + 0.01 / float(solution[0])
    return figure("vignette", max(value, 0.0), max(value - half, 0.0), max(value + half, 0.0))
