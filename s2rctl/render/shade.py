"""Lambert shading as MuJoCo's OpenGL renderer draws it: colour * (ambient + sum of diffuse light * incidence)."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from s2rctl.render.layout import Group, Layout, Light
from s2rctl.render.loops import Visit
from s2rctl.render.primitives import Components, normal
from s2rctl.render.trace import point_at, read, unpack
from s2rctl.render.view import Row

BLACK = -(1 << 24)  # alpha 255


def shade(
    layout: Layout,
    table: jax.Array,
    frame: jax.Array,
    words: jax.Array,
    hits: jax.Array,
    x: jax.Array,
    y: jax.Array,
    visit: Visit,
    lit: jax.Array | None,
) -> jax.Array:
    """Return colours (P,) int32, red, green, blue from the lowest byte, of the packed hits; a miss is black.

    ``lit`` (P,) int32 has bit l set where light l reaches the pixel; None: everywhere.
    """
    depth, number = unpack(layout, hits)

    def paint(group: Group, index: jax.Array, colours: jax.Array) -> jax.Array:
        row = read(layout, table, frame, index)
        point = point_at(row, x, y, depth)
        scale = (row.scale[0], row.scale[1], row.scale[2])
        facing = normal(group.shape, point, scale, row.half)
        painted = _colour(layout, row, (point[0] * scale[0], point[1] * scale[1], point[2] * scale[2]), facing, lit)
        return jnp.where(number == index, painted, colours)

    return visit(layout.groups, partial(_present, number, words), paint, jnp.full(x.shape, BLACK, jnp.int32))


def _present(number: jax.Array, words: jax.Array, group: Group, place: jax.Array | int) -> jax.Array:
    """Return the word () uint32 of the geoms of one group that at least one pixel sees."""
    local = (number - group.first).astype(jnp.uint32)
    mine = jnp.where(local < len(group.geoms), jnp.left_shift(jnp.uint32(1), local & 31), jnp.uint32(0))
    return lax.reduce(mine, jnp.uint32(0), lax.bitwise_or, (0,)) & words[place]


def _colour(layout: Layout, row: Row, point: Components, facing: Components, lit: jax.Array | None) -> jax.Array:
    red, green, blue = row.base[0], row.base[1], row.base[2]
    for index, light in enumerate(layout.lights):
        strength = _incidence(light, row.light(index), row.beam(index), point, facing)
        if lit is not None and light.casts_shadow:
            strength = jnp.where((lit >> index) & 1 != 0, strength, 0.0)
        diffuse = row.diffuse(index)
        red, green, blue = red + strength * diffuse[0], green + strength * diffuse[1], blue + strength * diffuse[2]
    r, g, b = (jnp.clip(channel + 0.5, 0.0, 255.0).astype(jnp.int32) for channel in (red, green, blue))
    return jnp.broadcast_to(r | (g << 8) | (b << 16) | BLACK, point[0].shape)


def _incidence(light: Light, source: jax.Array, beam: jax.Array, point: Components, facing: Components) -> jax.Array:
    """Return max(0, cosine of incidence) times spot cone and attenuation (OpenGL's fixed-function light model)."""
    if light.directional:
        return jnp.maximum(source[0] * facing[0] + source[1] * facing[1] + source[2] * facing[2], 0.0)
    x, y, z = source[0] - point[0], source[1] - point[1], source[2] - point[2]
    inverse = lax.rsqrt(jnp.maximum(x * x + y * y + z * z, 1e-12))
    strength = jnp.maximum(x * facing[0] + y * facing[1] + z * facing[2], 0.0) * inverse
    if light.cos_cutoff > -1.0:
        cosine = -(x * beam[0] + y * beam[1] + z * beam[2]) * inverse
        cone = jnp.maximum(cosine, 0.0) ** light.exponent if light.exponent else 1.0
        strength = jnp.where(cosine >= light.cos_cutoff, strength * cone, 0.0)
    constant, linear, quadratic = light.attenuation
    if (constant, linear, quadratic) != (1.0, 0.0, 0.0):
        distance = 1.0 / inverse
        strength = strength / (constant + linear * distance + quadratic * distance * distance)
    return strength
