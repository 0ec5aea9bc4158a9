"""Camera pictures as the page shows them: so large that no browser blurs their pixels, depth beside colour."""

import numpy as np

LEAST_PX = 256
"""Least width on the page, reached by a whole factor."""


def with_depth(rgb: np.ndarray | None, depth: np.ndarray | None) -> np.ndarray:
    """Return colour (H, W, 3) uint8 with depth (H, W) in counts beside it: near is bright, not measured is black."""
    colour = np.zeros((1, 1, 3), np.uint8) if rgb is None else np.asarray(rgb)
    if depth is None:
        return enlarged(colour)
    measured = depth > 0
    far = float(depth.max()) or 1.0
    grey = np.where(measured, 255 - 200 * (depth / far), 0).astype(np.uint8)
    return enlarged(np.concatenate([colour, np.repeat(grey[..., None], 3, axis=-1)], axis=1))


def enlarged(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) with each pixel repeated until it is ``LEAST_PX`` wide."""
    factor = max(1, -(-LEAST_PX // picture.shape[1]))
    return np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))
