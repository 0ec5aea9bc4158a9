"""Hard shadows: a pixel is lit by a light when no geom lies between them."""

import jax
import jax.numpy as jnp
from jax import lax

from s2rctl.render.layout import Group, Layout, Light
from s2rctl.render.primitives import Components, Shape, enter
from s2rctl.render.trace import point_at, read
from s2rctl.render.view import Row

_BIAS = 2e-3
"""Part of the way to the light that is not looked at, so that a surface does not shade itself through rounding."""
_REACH = 4.0
"""How far a directional light's shadow is looked for, in extents of the model."""


def lit_pixels(
    layout: Layout, table: jax.Array, frame: jax.Array, depth: jax.Array, x: jax.Array, y: jax.Array
) -> jax.Array:
    """Return words (P,) int32 whose bit l says that light l reaches the pixel. Planes cast no shadow."""
    dark = jnp.zeros(x.shape, jnp.int32)
    for group in layout.groups:
        if group.shape is not Shape.PLANE:
            dark = _darkened(layout, group, table, frame, depth, x, y, dark)
    return ~dark


def _darkened(
    layout: Layout,
    group: Group,
    table: jax.Array,
    frame: jax.Array,
    depth: jax.Array,
    x: jax.Array,
    y: jax.Array,
    dark: jax.Array,
) -> jax.Array:
    def step(local: jax.Array, dark: jax.Array) -> jax.Array:
        row = read(layout, table, frame, group.first + local)
        point = point_at(row, x, y, depth)
        for number, light in enumerate(layout.lights):
            if light.casts_shadow:
                t = enter(group.shape, point, _way(layout, row, number, light, point), row.half)
                dark = jnp.where((t > _BIAS) & (t < 1.0) & row.shown, dark | (1 << number), dark)
        return dark

    return lax.fori_loop(0, len(group.geoms), step, dark)


def _way(layout: Layout, row: Row, number: int, light: Light, point: Components) -> Components:
    """Return the way from the points to the light in the unit frame."""
    source, scale = row.light(number), row.scale
    if light.directional:
        x, y, z = (jnp.broadcast_to(_REACH * layout.size * source[i] / scale[i], point[0].shape) for i in range(3))
    else:
        x, y, z = (source[i] / scale[i] - point[i] for i in range(3))
    return x, y, z
