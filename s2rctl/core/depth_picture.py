"""Depth as people look at it."""

import numpy as np

_DARKEST = 0.85
"""How far the greys go down: what is measured far away can still be told from what is not measured."""


def grey(depth: np.ndarray, far: float | None = None) -> np.ndarray:
    """Return depth (..., H, W), 0 where nothing was measured, as greys (..., H, W, 3) uint8: near is bright, 0 black.

    What is ``far`` (in the unit of ``depth``; None: the farthest of each image) is darkest.
    """
    values = np.asarray(depth, np.float64)
    farthest = values.max(axis=(-2, -1), keepdims=True) if far is None else far
    share = np.clip(values / np.maximum(farthest, 1e-9), 0, 1)
    picture = np.where(values > 0, 255 * (1 - _DARKEST * share), 0).astype(np.uint8)
    return np.repeat(picture[..., None], 3, axis=-1)
