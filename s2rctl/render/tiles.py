"""Cutting images into bands of rows, and finding the geoms that each band can see."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.render.layout import Layout
from s2rctl.render.view import View


class Tiles(NamedTuple):
    """Pixel centres of each band, in [-1, 1] with y up; fixed."""

    x: np.ndarray  # (P,) the same for every band
    y: np.ndarray  # (T, P)
    low: np.ndarray  # (T,) lowest y of a band
    high: np.ndarray  # (T,)
    edge: float  # largest |x|


def cut(width: int, height: int, pixels: int) -> Tiles:
    """Return bands of equal height with at most about ``pixels`` pixels each."""
    rows = max(1, min(height, pixels // width))
    while height % rows:
        rows -= 1
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    x = ((2 * column + 1) / width - 1).astype(np.float32)
    y = (1 - (2 * row + 1) / height).astype(np.float32)
    y = y.reshape(height // rows, rows * width)
    return Tiles(x[:rows].reshape(-1), y, y.min(axis=1), y.max(axis=1), float(x.max()))


def visible(layout: Layout, view: View, tiles: Tiles) -> jax.Array:
    """Return words (F, T, G) uint32 whose bit i says that the band may see geom i of the group.

    A geom is out of sight when the box around it lies wholly outside one of the six planes of the band's frustum.
    """
    normals, offsets = _frustum(view.image, tiles, layout.near, layout.far)
    distance = jnp.einsum("ftkj,fnj->ftnk", normals, view.centre) + offsets
    reach = jnp.abs(jnp.einsum("ftkj,fnji->ftnki", normals, view.extents)).sum(-1)
    seen = (distance + reach >= 0).all(-1) & view.shown[:, None]
    return words_of(layout, seen)


def words_of(layout: Layout, chosen: jax.Array) -> jax.Array:
    """Return words (..., G) uint32 whose bit i says that geom i of the group is among ``chosen`` (..., N) bool."""
    words = [
        (chosen[..., group.first : group.first + len(group.geoms)] * bits(len(group.geoms))).sum(-1, dtype=jnp.uint32)
        for group in layout.groups
    ]
    return jnp.stack(words, -1)


def _frustum(image: jax.Array, tiles: Tiles, near: float, far: float) -> tuple[jax.Array, jax.Array]:
    """Return inward normals (F, T, 6, 3) and offsets (6,): a point is inside where normal · point + offset >= 0."""
    half_width, half_height, right, up = (image[:, None, i] for i in range(4))
    left_edge, right_edge = right - tiles.edge * half_width, right + tiles.edge * half_width
    low_edge, high_edge = up + tiles.low * half_height, up + tiles.high * half_height
    shape = (image.shape[0], len(tiles.low))
    zero, one = jnp.zeros(shape), jnp.ones(shape)
    normals = [
        (one, zero, left_edge + zero),
        (-one, zero, -right_edge + zero),
        (zero, one, low_edge),
        (zero, -one, -high_edge),
        (zero, zero, -one),
        (zero, zero, one),
    ]
    offsets = jnp.array([0.0, 0.0, 0.0, 0.0, -near, far])
    return jnp.stack([jnp.stack(normal, -1) for normal in normals], 2), offsets


def bits(count: int) -> np.ndarray:
    """Return 1, 2, 4 … (count,) uint32."""
    return np.left_shift(np.uint32(1), np.arange(count, dtype=np.uint32))
