"""The default renderer: an analytic ray caster in pure JAX, the same source for CPU, GPU and TPU.

On a CPU one band of one frame is drawn at a time, so that its pixels stay in the cache and geoms out of sight are
skipped. On an accelerator all frames are drawn side by side.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s2rctl.render.dress import dressed
from s2rctl.render.layout import Layout, build_layout
from s2rctl.render.look import model_look
from s2rctl.render.loops import visit_all, visit_set_bits
from s2rctl.render.protocol import Appearance, Frames
from s2rctl.render.shade import BLACK, Surfaces, background, shade
from s2rctl.render.shadow import lit_pixels
from s2rctl.render.tiles import cut, visible, words_of
from s2rctl.render.trace import miss_id, nothing, trace, unpack
from s2rctl.render.view import View, look
from s2rctl.scene.poses import Poses

_TILE_PIXELS = 512
"""Pixels per band: XLA splits a kernel over its threads when it touches more, and small kernels lose by it."""
_PIXEL_BYTES = 256
"""What drawing a pixel side by side with others takes at most: the intermediate arrays of tracing and shading that XLA
does not fuse (``tests/render/test_batches.py`` holds it against what XLA says of the real scenes)."""
_MEMORY_SHARE = 1 / 8
"""Share of an accelerator's memory that drawing may take at a time: the rest is for physics, learning and samples."""
_UNKNOWN_MEMORY = 1 << 33
"""Bytes of a device that does not say how much it has."""


class RaycastRenderer:
    """Draws planes, boxes, capsules, cylinders, spheres and ellipsoids with Lambert shading.

    ``pictures`` (T, S, S, 3) uint8 are what textures and backgrounds with the pattern "picture" show.
    """

    def __init__(
        self,
        model: Any,
        cameras: Sequence[str],
        width: int,
        height: int,
        *,
        shadows: bool = False,
        pictures: np.ndarray | None = None,
    ) -> None:
        self.cameras = tuple(cameras)
        self.width = width
        self.height = height
        self._shadows = shadows
        self._layout = build_layout(model, cameras, width, height)
        self._look = model_look(model)
        self._pictures = None if pictures is None else _packed(pictures)

    def appearance(self, worlds: int) -> Appearance:
        """Return the model's own look, repeated for ``worlds`` worlds."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (worlds, *leaf.shape)), self._look)

    def render(self, poses: Poses, appearance: Appearance) -> Frames:
        """Return the frames of all worlds."""
        worlds = poses.geom_xpos.shape[0]
        layout, poses, appearance = dressed(self._layout, poses, appearance)
        view = look(layout, poses, appearance)
        pictures = None if self._pictures is None else jnp.asarray(self._pictures)
        scene = Scene(layout, self._shadows, appearance.textures is not None, pictures)
        if jax.default_backend() == "cpu":
            colours, hits = draw_in_bands(scene, view, self.width, self.height)
        else:
            frames = frames_at_once(self.width * self.height)
            colours, hits = draw_side_by_side(scene, view, self.width, self.height, frames)
        shape = (worlds, len(self.cameras), self.height, self.width)
        rgb = lax.bitcast_convert_type(colours, jnp.uint8)[..., :3].reshape(*shape, 3)
        depth, number = unpack(layout, hits.reshape(shape))
        return Frames(rgb, jnp.where(number == miss_id(layout), 0.0, depth))


class Scene(NamedTuple):
    """What is drawn the same way in all frames."""

    layout: Layout
    shadows: bool
    textured: bool = False
    pictures: jax.Array | None = None  # (T, S, S) int32

    def surfaces(self, view: View, sparse: bool) -> Surfaces | None:
        """Return the textures' part of shading, if there are any."""
        if not self.textured:
            return None
        has = view.table[..., 20 + 9 * len(self.layout.lights)] > 0
        return Surfaces(words_of(self.layout, has), self.pictures, sparse)


def draw_in_bands(scene: Scene, view: View, width: int, height: int) -> tuple[jax.Array, jax.Array]:
    """Return packed colours and hits (F * T, P), one band of one frame after the other."""
    layout = scene.layout
    tiles = cut(width, height, _TILE_PIXELS)
    bands = len(tiles.low)
    words = visible(layout, view, tiles).reshape(-1, len(layout.groups))
    x, rows = jnp.asarray(tiles.x), jnp.asarray(tiles.y)
    surfaces = scene.surfaces(view, sparse=True)

    def band(item: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        number, band_words = item
        y, frame = rows[number % bands], number // bands

        def full() -> tuple[jax.Array, jax.Array]:
            hits = trace(layout, view.table, frame, band_words, x, y, visit_set_bits)
            lit = _lit_where_asked(layout, view, frame, hits, x, y) if scene.shadows else None
            return shade(layout, view.table, frame, band_words, hits, x, y, visit_set_bits, lit, surfaces), hits

        def empty() -> tuple[jax.Array, jax.Array]:
            return jnp.full(x.shape, BLACK, jnp.int32), jnp.full(x.shape, nothing(layout), jnp.int32)

        colours, hits = lax.cond((band_words != 0).any(), full, empty)
        if view.sky is None:
            return colours, hits
        sky, missed = lax.optimization_barrier(view.sky[frame]), unpack(layout, hits)[1] == miss_id(layout)
        return lax.cond(
            missed.any(),
            lambda: jnp.where(missed, background(sky, x, y, scene.pictures), colours),
            lambda: colours,
        ), hits

    colours, hits = lax.map(band, (jnp.arange(words.shape[0]), words))
    return colours, hits


def frames_at_once(pixels: int, memory: int | None = None) -> int:
    """Return how many frames of so many pixels may be drawn side by side in ``memory`` bytes (None: the device's)."""
    if memory is None:
        stats: dict[str, int] = jax.devices()[0].memory_stats() or {}
        memory = stats.get("bytes_limit", _UNKNOWN_MEMORY)
    return max(1, int(memory * _MEMORY_SHARE) // (pixels * _PIXEL_BYTES))


def draw_side_by_side(
    scene: Scene, view: View, width: int, height: int, at_once: int | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return packed colours and hits (F, P), ``at_once`` frames side by side and batch after batch (None: all)."""
    layout = scene.layout
    tiles = cut(width, height, width * height)
    words = visible(layout, view, tiles)[:, 0]
    x, y = jnp.asarray(tiles.x), jnp.asarray(tiles.y[0])

    def frame(own: View, frame_words: jax.Array) -> tuple[jax.Array, jax.Array]:
        alone, first = jax.tree.map(lambda leaf: leaf[None], own), jnp.int32(0)
        hits = trace(layout, alone.table, first, frame_words, x, y, visit_all)
        lit = None
        if scene.shadows:
            lit = jnp.where(own.shadows, lit_pixels(layout, alone, first, hits, x, y, visit_all), -1)
        colours = shade(
            layout, alone.table, first, frame_words, hits, x, y, visit_all, lit, scene.surfaces(alone, sparse=False)
        )
        if own.sky is not None:
            missed = unpack(layout, hits)[1] == miss_id(layout)
            colours = jnp.where(missed, background(own.sky, x, y, scene.pictures), colours)
        return colours, hits

    count = words.shape[0]
    if at_once is None or at_once >= count:
        return jax.vmap(frame)(view, words)
    drawn: tuple[jax.Array, jax.Array] = lax.map(lambda item: frame(*item), (view, words), batch_size=at_once)
    return drawn


def _packed(pictures: np.ndarray) -> np.ndarray:
    """Return pictures (T, S, S, 3) uint8 as int32 (T, S, S), red in the lowest byte."""
    red, green, blue = (pictures[..., channel].astype(np.int32) for channel in range(3))
    return red | green << 8 | blue << 16


def _lit_where_asked(
    layout: Layout, view: View, frame: jax.Array, hits: jax.Array, x: jax.Array, y: jax.Array
) -> jax.Array:
    """Return the lit pixels of a frame; without the work where its world has no shadows."""

    def cast() -> jax.Array:
        return lit_pixels(layout, view, frame, hits, x, y, visit_set_bits)

    lit: jax.Array = lax.cond(view.shadows[frame], cast, lambda: jnp.full(x.shape, -1, jnp.int32))
    return lit
