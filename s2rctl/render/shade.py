"""Lambert shading as MuJoCo's OpenGL renderer draws it: colour * (ambient + sum of diffuse light * incidence).

With textures the colour is that of the pattern, and a highlight may lie on it (J. Blinn, 1977).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from s2rctl.render.layout import Group, Layout, Light
from s2rctl.render.loops import Visit
from s2rctl.render.patterns import painted
from s2rctl.render.primitives import Components, normal
from s2rctl.render.trace import point_at, read, unpack
from s2rctl.render.view import Finish, Row

BLACK = -(1 << 24)  # alpha 255


class Surfaces(NamedTuple):
    """That geoms have textures, and the pictures (T, S, S) int32 among them."""

    pictures: jax.Array | None


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
    surfaces: Surfaces | None = None,
) -> jax.Array:
    """Return colours (P,) int32, red, green, blue from the lowest byte, of the packed hits; a miss is black.

    ``lit`` (P,) int32 has bit l set where light l reaches the pixel; None: everywhere. ``surfaces``: the table has
    textures.
    """
    depth, number = unpack(layout, hits)

    def paint(group: Group, index: jax.Array, colours: jax.Array) -> jax.Array:
        row = read(layout, table, frame, index)
        point = point_at(row, x, y, depth)
        scale = (row.scale[0], row.scale[1], row.scale[2])
        facing = normal(group.shape, point, scale, row.half)
        place = (point[0] * scale[0], point[1] * scale[1], point[2] * scale[2])
        shaded = _colour(layout, row, place, facing, lit, surfaces)
        return jnp.where(number == index, shaded, colours)

    return visit(layout.groups, partial(_present, number, words), paint, jnp.full(x.shape, BLACK, jnp.int32))


def _present(number: jax.Array, words: jax.Array, group: Group, place: jax.Array | int) -> jax.Array:
    """Return the word () uint32 of the geoms of one group that at least one pixel sees."""
    local = (number - group.first).astype(jnp.uint32)
    mine = jnp.where(local < len(group.geoms), jnp.left_shift(jnp.uint32(1), local & 31), jnp.uint32(0))
    return lax.reduce(mine, jnp.uint32(0), lax.bitwise_or, (0,)) & words[place]


def background(sky: jax.Array, x: jax.Array, y: jax.Array, pictures: jax.Array | None) -> jax.Array:
    """Return colours (P,) int32 of what lies behind everything, from one frame's row of ``View.sky``."""
    finish, rays = Finish(sky), sky[20:29]
    ways = [rays[3 * i] * x + rays[3 * i + 1] * y + rays[3 * i + 2] for i in range(3)]
    inverse = lax.rsqrt(ways[0] * ways[0] + ways[1] * ways[1] + ways[2] * ways[2])
    at = finish.at((ways[0] * inverse, ways[1] * inverse, ways[2] * inverse))
    red, green, blue = painted(finish.pattern, finish.own, finish.other, at, finish.picture, pictures)
    return _packed((255.0 * red, 255.0 * green, 255.0 * blue), x)


def _colour(
    layout: Layout,
    row: Row,
    point: Components,
    facing: Components,
    lit: jax.Array | None,
    surfaces: Surfaces | None,
) -> jax.Array:
    light = _light(layout, row, point, facing, lit)
    if surfaces is None:
        return _packed(light, point[0])
    finish = row.finish
    own = painted(finish.pattern, finish.own, finish.other, finish.at(point), finish.picture, surfaces.pictures)
    colour = (light[0] * own[0], light[1] * own[1], light[2] * own[2])

    def polished() -> Components:
        shown = _highlight(layout, row, point, facing, lit)
        return colour[0] + shown[0], colour[1] + shown[1], colour[2] + shown[2]

    return _packed(lax.cond(finish.shine > 0, polished, lambda: colour), point[0])


def _light(layout: Layout, row: Row, point: Components, facing: Components, lit: jax.Array | None) -> Components:
    """Return red, green, blue (P,) of 255 that reach the camera from a surface of the row's colour."""
    red, green, blue = row.base[0], row.base[1], row.base[2]
    for index, light in enumerate(layout.lights):
        strength = _incidence(light, row.light(index), row.beam(index), point, facing)
        if lit is not None and light.casts_shadow:
            strength = jnp.where((lit >> index) & 1 != 0, strength, 0.0)
        diffuse = row.diffuse(index)
        red, green, blue = red + strength * diffuse[0], green + strength * diffuse[1], blue + strength * diffuse[2]
    return red, green, blue


def _highlight(layout: Layout, row: Row, point: Components, facing: Components, lit: jax.Array | None) -> Components:
    """Return the lights' reflection red, green, blue (P,) of 255: the 16th power of the half vector's cosine."""
    zero = jnp.zeros_like(point[0])
    total = [zero, zero, zero]
    eye = _unit([row.origin[i] * row.scale[i] - point[i] for i in range(3)])
    for index, light in enumerate(layout.lights):
        source = row.light(index)
        towards = [source[i] + zero if light.directional else source[i] - point[i] for i in range(3)]
        half = _unit([a + b for a, b in zip(_unit(towards), eye, strict=True)])
        cosine = jnp.maximum(half[0] * facing[0] + half[1] * facing[1] + half[2] * facing[2], 0.0)
        strength = cosine**16 * (_incidence(light, source, row.beam(index), point, facing) > 0)
        if lit is not None and light.casts_shadow:
            strength = jnp.where((lit >> index) & 1 != 0, strength, 0.0)
        diffuse = row.finish.shine * row.diffuse(index)
        total = [part + strength * diffuse[i] for i, part in enumerate(total)]
    return total[0], total[1], total[2]


def _unit(vector: list[jax.Array]) -> list[jax.Array]:
    x, y, z = vector
    inverse = lax.rsqrt(jnp.maximum(x * x + y * y + z * z, 1e-12))
    return [x * inverse, y * inverse, z * inverse]


def _packed(colour: Components, like: jax.Array) -> jax.Array:
    r, g, b = (jnp.clip(channel + 0.5, 0.0, 255.0).astype(jnp.int32) for channel in colour)
    return jnp.broadcast_to(r | (g << 8) | (b << 16) | BLACK, like.shape)


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
