"""Hard shadows: a pixel is lit by a light when no geom lies between them.

Most geoms lie far from every line between what a band of pixels shows and a light. They are sorted out beforehand, by
spheres: one around all points of the band, one around each geom.
"""

import jax
import jax.numpy as jnp
from jax import lax

from s2rctl.render.layout import Group, Layout, Light
from s2rctl.render.loops import Visit
from s2rctl.render.primitives import Components, Shape, enter
from s2rctl.render.tiles import bits
from s2rctl.render.trace import miss_id, point_at, read, unpack
from s2rctl.render.view import Row, View

_BIAS = 2e-3
"""Part of the way to the light that is not looked at, so that a surface does not shade itself through rounding."""
_REACH = 4.0
"""How far a directional light's shadow is looked for, in extents of the model."""


def lit_pixels(
    layout: Layout, view: View, frame: jax.Array, hits: jax.Array, x: jax.Array, y: jax.Array, visit: Visit
) -> jax.Array:
    """Return words (P,) int32 whose bit l says that light l reaches the pixel. Planes cast no shadow."""
    depth, number = unpack(layout, hits)
    near = _between(layout, view, frame, depth, number != miss_id(layout), x, y)
    casting = [place for place, group in enumerate(layout.groups) if group.shape is not Shape.PLANE]
    groups = [layout.groups[place] for place in casting]
    words = jnp.stack([_word(group, near) for group in groups]) if groups else jnp.zeros((0,), jnp.uint32)

    def darken(group: Group, index: jax.Array, dark: jax.Array) -> jax.Array:
        row = read(layout, view.table, frame, index)
        point = point_at(row, x, y, depth)
        for light_number, light in enumerate(layout.lights):
            if light.casts_shadow:
                t = enter(group.shape, point, _way(layout, row, light_number, light, point), row.half)
                dark = jnp.where((t > _BIAS) & (t < 1.0) & row.shown, dark | (1 << light_number), dark)
        return dark

    none = jnp.zeros(x.shape, jnp.int32)
    return ~visit(groups, lambda _, place: words[place], darken, none) if groups else ~none


def _word(group: Group, near: jax.Array) -> jax.Array:
    """Return the word () uint32 of one group's geoms among ``near`` (N,) bool."""
    mine = near[group.first : group.first + len(group.geoms)]
    return jnp.sum(mine * bits(len(group.geoms)), dtype=jnp.uint32)


def _between(
    layout: Layout, view: View, frame: jax.Array, depth: jax.Array, hit: jax.Array, x: jax.Array, y: jax.Array
) -> jax.Array:
    """Return (N,) bool: geoms that may lie between a light and one of the points at ``depth`` (P,) m.

    Everything is in the camera's frame. A geom is out of the way when its sphere keeps clear of the way of the points'
    sphere to the light.
    """
    image, lights = lax.optimization_barrier((view.image[frame], view.lights[frame]))
    centre, extents, shown = lax.optimization_barrier((view.centre[frame], view.extents[frame], view.shown[frame]))
    points = (depth * (x * image[0] + image[2]), depth * (y * image[1] + image[3]), -depth)
    low = jnp.stack([jnp.min(jnp.where(hit, c, jnp.inf)) for c in points])
    high = jnp.stack([jnp.max(jnp.where(hit, c, -jnp.inf)) for c in points])
    middle, reach = 0.5 * (low + high), 0.5 * jnp.linalg.norm(high - low)
    radius = jnp.sqrt(jnp.sum(extents**2, axis=(1, 2)))
    near = jnp.zeros(shown.shape, bool)
    for number, light in enumerate(layout.lights):
        if light.casts_shadow:
            way = _REACH * layout.size * lights[number] if light.directional else lights[number] - middle
            share = jnp.clip((centre - middle) @ way / jnp.maximum(way @ way, 1e-12), 0.0, 1.0)
            gap = jnp.linalg.norm(centre - middle - share[:, None] * way, axis=-1)
            near |= gap <= radius + reach
    return near & shown & jnp.any(hit)


def _way(layout: Layout, row: Row, number: int, light: Light, point: Components) -> Components:
    """Return the way from the points to the light in the unit frame."""
    source, scale = row.light(number), row.scale
    if light.directional:
        x, y, z = (jnp.broadcast_to(_REACH * layout.size * source[i] / scale[i], point[0].shape) for i in range(3))
    else:
        x, y, z = (source[i] / scale[i] - point[i] for i in range(3))
    return x, y, z
