"""The default renderer: an analytic ray caster in pure JAX, the same source for CPU, GPU and TPU.

On a CPU one band of one frame is drawn at a time, so that its pixels stay in the cache and geoms out of sight are
skipped. On an accelerator all frames are drawn side by side.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from s2rctl.render.layout import Layout, build_layout
from s2rctl.render.look import model_look
from s2rctl.render.loops import visit_all, visit_set_bits
from s2rctl.render.protocol import Appearance, Frames
from s2rctl.render.shade import BLACK, shade
from s2rctl.render.shadow import lit_pixels
from s2rctl.render.tiles import cut, visible
from s2rctl.render.trace import miss_id, nothing, trace, unpack
from s2rctl.render.view import View, look
from s2rctl.scene.poses import Poses

_TILE_PIXELS = 512
"""Pixels per band: XLA splits a kernel over its threads when it touches more, and small kernels lose by it."""


class RaycastRenderer:
    """Draws planes, boxes, capsules, cylinders, spheres and ellipsoids with Lambert shading."""

    def __init__(self, model: Any, cameras: Sequence[str], width: int, height: int, *, shadows: bool = False) -> None:
        self.cameras = tuple(cameras)
        self.width = width
        self.height = height
        self._shadows = shadows
        self._layout = build_layout(model, cameras, width, height)
        self._look = model_look(model)

    def appearance(self, worlds: int) -> Appearance:
        """Return the model's own look, repeated for ``worlds`` worlds."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (worlds, *leaf.shape)), self._look)

    def render(self, poses: Poses, appearance: Appearance) -> Frames:
        """Return the frames of all worlds."""
        worlds = poses.geom_xpos.shape[0]
        view = look(self._layout, poses, appearance)
        if jax.default_backend() == "cpu":
            colours, hits = draw_in_bands(self._layout, view, self.width, self.height, self._shadows)
        else:
            colours, hits = draw_side_by_side(self._layout, view, self.width, self.height, self._shadows)
        shape = (worlds, len(self.cameras), self.height, self.width)
        rgb = lax.bitcast_convert_type(colours, jnp.uint8)[..., :3].reshape(*shape, 3)
        depth, number = unpack(self._layout, hits.reshape(shape))
        return Frames(rgb, jnp.where(number == miss_id(self._layout), 0.0, depth))


def draw_in_bands(layout: Layout, view: View, width: int, height: int, shadows: bool) -> tuple[jax.Array, jax.Array]:
    """Return packed colours and hits (F * T, P), one band of one frame after the other."""
    tiles = cut(width, height, _TILE_PIXELS)
    bands = len(tiles.low)
    words = visible(layout, view, tiles).reshape(-1, len(layout.groups))
    x, rows = jnp.asarray(tiles.x), jnp.asarray(tiles.y)

    def band(item: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        number, band_words = item

        def full() -> tuple[jax.Array, jax.Array]:
            y = rows[number % bands]
            frame = number // bands
            hits = trace(layout, view.table, frame, band_words, x, y, visit_set_bits)
            lit = _lit_where_asked(layout, view, frame, hits, x, y) if shadows else None
            return shade(layout, view.table, frame, band_words, hits, x, y, visit_set_bits, lit), hits

        def empty() -> tuple[jax.Array, jax.Array]:
            return jnp.full(x.shape, BLACK, jnp.int32), jnp.full(x.shape, nothing(layout), jnp.int32)

        return lax.cond((band_words != 0).any(), full, empty)

    colours, hits = lax.map(band, (jnp.arange(words.shape[0]), words))
    return colours, hits


def draw_side_by_side(
    layout: Layout, view: View, width: int, height: int, shadows: bool
) -> tuple[jax.Array, jax.Array]:
    """Return packed colours and hits (F, P), all frames at once."""
    tiles = cut(width, height, width * height)
    words = visible(layout, view, tiles)[:, 0]
    x, y = jnp.asarray(tiles.x), jnp.asarray(tiles.y[0])

    def frame(own: View, frame_words: jax.Array) -> tuple[jax.Array, jax.Array]:
        alone, first = jax.tree.map(lambda leaf: leaf[None], own), jnp.int32(0)
        hits = trace(layout, alone.table, first, frame_words, x, y, visit_all)
        lit = jnp.where(own.shadows, lit_pixels(layout, alone, first, hits, x, y, visit_all), -1) if shadows else None
        return shade(layout, alone.table, first, frame_words, hits, x, y, visit_all, lit), hits

    return jax.vmap(frame)(view, words)


def _lit_where_asked(
    layout: Layout, view: View, frame: jax.Array, hits: jax.Array, x: jax.Array, y: jax.Array
) -> jax.Array:
    """Return the lit pixels of a frame; without the work where its world has no shadows."""

    def cast() -> jax.Array:
        return lit_pixels(layout, view, frame, hits, x, y, visit_set_bits)

    lit: jax.Array = lax.cond(view.shadows[frame], cast, lambda: jnp.full(x.shape, -1, jnp.int32))
    return lit
