"""Depth from a short stereo pair like the RealSense D405's, which has other faults than the training's sensor model."""

from collections.abc import Mapping

import numpy as np

from s2rctl.render.laboratory.chance import Chance

BASELINE_M = 0.018
COLUMNS = 848
HALF_WIDTH_DEG = 42.0
"""Baseline, columns and half the horizontal field of view of a D405 (Intel data sheet 337029)."""
FOCAL_PX = COLUMNS / 2 / np.tan(np.deg2rad(HALF_WIDTH_DEG))
FATTENING_STEP_M = 0.01
"""Edges lower than this stay where they are."""
BLACK, SHINING = 0.1, 0.93
"""Grey values below which there is no texture to match, and above which there are reflections only."""
_REACH_PX = 8


def measured(
    depth: np.ndarray,
    rgb: np.ndarray,
    tangent: np.ndarray,
    values: Mapping[str, np.ndarray],
    chance: Chance,
) -> np.ndarray:
    """Return depth (n, H, W) m as such a camera measures it; 0: nothing.

    ``rgb`` (n, H, W, 3) uint8 is the rendered picture, ``tangent`` (n,) of half its width.
    """
    shape = depth.shape[1:]
    z = depth * (1 + _column(values["depth_scale"]))
    z = _fattened(z, values["depth_fattening"], chance)
    z = np.where(_shadowed(z, tangent, values["depth_shadow"]), 0.0, z)
    z = _quantised(z, values, chance)
    grey = rgb.mean(axis=-1) / 255
    bad = np.clip(1 - grey / BLACK, 0, 1) + np.clip((grey - SHINING) / (1 - SHINING), 0, 1)
    if np.any(values["depth_holes"] > 0):
        spots = np.stack([_patches(draw, shape) for draw in chance("holes")])
        z = np.where(spots < _column(values["depth_holes"]) * np.minimum(bad, 1), 0.0, z)
    if np.any(values["depth_loss"] > 0):
        spots = np.stack([_patches(draw, shape) for draw in chance("loss")])
        z = np.where(spots < _column(values["depth_loss"]), 0.0, z)
    return np.where(z < _column(values["depth_near"]), 0.0, z).astype(np.float32)


def _column(value: np.ndarray) -> np.ndarray:
    return np.asarray(value)[:, None, None]


def _patches(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return uniform numbers (H, W) that are alike in patches of 2 x 2 pixels."""
    height, width = shape
    coarse = draw.random(((height + 1) // 2, (width + 1) // 2))
    return np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)[:height, :width]


def _shift(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    height, width = image.shape[1:]
    row = np.clip(np.arange(height) + rows, 0, height - 1)
    column = np.clip(np.arange(width) + columns, 0, width - 1)
    return image[:, row][:, :, column]


def _fattened(z: np.ndarray, reach: np.ndarray, chance: Chance) -> np.ndarray:
    """Spread near surfaces over what is behind by ``reach`` (n,) px; part of a pixel is the share of pixels."""
    for ring in range(int(np.ceil(reach.max(initial=0.0)))):
        far = np.where(z > 0, z, np.inf)
        around = [_shift(far, row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
        near = np.min(around, axis=0)
        spots = np.stack([_patches(draw, z.shape[1:]) for draw in chance(f"edges {ring}")])
        spread = (spots < _column(np.clip(reach - ring, 0, 1))) & (near < far - FATTENING_STEP_M)
        z = np.where(spread, near, z)
    return z


def _shadowed(z: np.ndarray, tangent: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return where the right imager's view is blocked: left of near edges, as wide as the disparity differs.

    The disparity in our pixels is focal length times baseline over depth; ``strength`` scales the baseline.
    """
    if not np.any(strength > 0):
        return np.zeros(z.shape, bool)
    focal = z.shape[2] / 2 / tangent
    shift = np.where(z > 0, _column(focal * BASELINE_M * strength) / np.where(z > 0, z, 1.0), 0.0)
    blocked = np.zeros(z.shape, bool)
    for step in range(1, min(_REACH_PX, z.shape[2] - 1) + 1):
        other = np.full(z.shape, -np.inf)
        other[:, :, :-step] = shift[:, :, step:]
        blocked |= other - shift > step - 0.5
    return blocked


def _quantised(z: np.ndarray, values: Mapping[str, np.ndarray], chance: Chance) -> np.ndarray:
    """Add noise to the disparity of the camera's own pixels and round it."""
    noise, step = values["depth_noise"], values["depth_quantum"]
    if not np.any(noise > 0) and not np.any(step > 0):
        return z
    disparity = np.where(z > 0, FOCAL_PX * BASELINE_M / np.where(z > 0, z, 1.0), 0.0)
    if np.any(noise > 0):
        white = np.stack([draw.standard_normal(z.shape[1:]) for draw in chance("disparity")])
        disparity = np.where(disparity > 0, np.maximum(disparity + _column(noise) * white, 1e-3), 0.0)
    fine = np.maximum(_column(step), 1e-9)
    disparity = np.where(_column(step) > 0, np.maximum(np.round(disparity / fine), 1) * fine, disparity)
    exact = _column((noise <= 0) & (step <= 0))
    return np.where(exact | (z <= 0), z, FOCAL_PX * BASELINE_M / np.maximum(disparity, 1e-3))
