"""Lambert shading as MuJoCo's OpenGL renderer draws it: colour * (ambient + sum of diffuse light * incidence).

With textures the colour is that of the pattern, and a highlight may lie on it (B. T. Phong, 1975).
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from s2rctl.render.layout import Group, Layout, Light
from s2rctl.render.loops import Visit
from s2rctl.render.patterns import painted, unpacked
from s2rctl.render.primitives import Components, normal
from s2rctl.render.trace import point_at, read, unpack
from s2rctl.render.view import Finish, Row

BLACK = -(1 << 24)  # alpha 255


LEAST_SHINE = 1e-3
"""Highlights below it cannot be seen."""


class Surfaces(NamedTuple):
    """That geoms have textures: which ones do, the pictures, and whether geoms out of sight are skipped."""

    patterned: jax.Array  # (F, G) uint32 words: bit i stands for geom i of the group
    pictures: jax.Array | None  # (T, S, S) int32
    sparse: bool


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
    black = jnp.full(x.shape, BLACK, jnp.int32)
    # Patterns come first and light is put on them: one array less than two would be, which keeps the loop below what
    # XLA splits over its threads.
    start = black if surfaces is None else _skin(layout, table, frame, words, depth, number, x, y, surfaces)

    def paint(group: Group, index: jax.Array, colours: jax.Array) -> jax.Array:
        row = read(layout, table, frame, index)

        def surface(depth: jax.Array) -> tuple[Components, Components]:
            point = point_at(row, x, y, depth)
            scale = (row.scale[0], row.scale[1], row.scale[2])
            facing = normal(group.shape, point, scale, row.half)
            return (point[0] * scale[0], point[1] * scale[1], point[2] * scale[2]), facing

        if surfaces is None:
            place, facing = surface(depth)
            light = _light(layout, row, place, facing, lit)
            return jnp.where(number == index, _packed(light, x), colours)

        # Both begin with the hits and the row, and the highlight is a loop of its own: XLA would split a larger one
        # over its threads, and write what several share to memory.
        def matt() -> jax.Array:
            far, seen = unpack(layout, hits)
            own = _own(row.finish, unpacked(colours))
            light = _light(layout, row, *surface(far), lit)
            lighted = (light[0] * own[0], light[1] * own[1], light[2] * own[2])
            return jnp.where(seen == index, _packed(lighted, x), colours)

        def shiny(below: jax.Array) -> jax.Array:
            far, seen = unpack(layout, hits)
            shown = _highlight(layout, row, *surface(far), lit)
            there = unpacked(below)
            both = (255.0 * there[0] + shown[0], 255.0 * there[1] + shown[1], 255.0 * there[2] + shown[2])
            return jnp.where(seen == index, _packed(both, x), below)

        def polished() -> jax.Array:
            # The second condition keeps the loops apart, which a barrier does not.
            return lax.cond(row.finish.shine > LEAST_SHINE, shiny, lambda below: below, matt())

        return lax.cond(row.finish.shine > 0, polished, matt)

    return visit(layout.groups, partial(_present, number, words), paint, start)


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
    return painted(finish.pattern, finish.own, finish.other, at, finish.picture, pictures) | BLACK


def _skin(
    layout: Layout,
    table: jax.Array,
    frame: jax.Array,
    words: jax.Array,
    depth: jax.Array,
    number: jax.Array,
    x: jax.Array,
    y: jax.Array,
    surfaces: Surfaces,
) -> jax.Array:
    """Return the patterns' colours (P,) int32 where a geom has one, black elsewhere.

    They are drawn before the light, by a loop of their own: a pattern needs the point alone and not the shape, so that
    all shapes share one program.
    """

    def draw(index: jax.Array, skin: jax.Array) -> jax.Array:
        row = read(layout, table, frame, index)
        finish = row.finish
        place = point_at(row, x, y, depth)
        at = finish.at((place[0] * row.scale[0], place[1] * row.scale[1], place[2] * row.scale[2]))
        shown = painted(finish.pattern, finish.own, finish.other, at, finish.picture, surfaces.pictures)
        return jnp.where(number == index, shown | BLACK, skin)

    none = jnp.full(x.shape, BLACK, jnp.int32)
    if not surfaces.sparse:
        return lax.fori_loop(0, layout.drawn, draw, none)
    left = words & lax.optimization_barrier(surfaces.patterned[frame])
    first = jnp.asarray([group.first for group in layout.groups], jnp.int32)

    def step(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        left, skin = carry
        place = jnp.argmax(left != 0)
        word = left[place]
        index = first[place] + lax.population_count(~word & (word - jnp.uint32(1))).astype(jnp.int32)
        return left.at[place].set(word & (word - jnp.uint32(1))), draw(index, skin)

    def some() -> jax.Array:
        return lax.while_loop(lambda carry: (carry[0] != 0).any(), step, (left, none))[1]

    skin: jax.Array = lax.cond((left != 0).any(), some, lambda: none)
    return skin


def _own(finish: Finish, there: Components) -> Components:
    """Return a geom's colour: its pattern's where it has one."""
    red, green, blue = (jnp.where(finish.pattern > 0, there[i], finish.own[i]) for i in range(3))
    return red, green, blue


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
    """Return the first light's reflection red, green, blue (P,) of 255: the 4th power of the mirrored ray's cosine."""
    zero = jnp.zeros_like(point[0])
    if not layout.lights:
        return zero, zero, zero
    light, source = layout.lights[0], row.light(0)
    eye = [row.origin[i] * row.scale[i] - point[i] for i in range(3)]
    towards = [source[i] + zero if light.directional else source[i] - point[i] for i in range(3)]
    mirrored = 2.0 * _dot(facing, eye) * _dot(facing, towards) - _dot(eye, towards)
    cosine = jnp.maximum(mirrored, 0.0) * lax.rsqrt(jnp.maximum(_dot(eye, eye) * _dot(towards, towards), 1e-12))
    square = cosine * cosine
    strength = row.finish.shine * square * square
    if lit is not None and light.casts_shadow:
        strength = jnp.where(lit & 1 != 0, strength, 0.0)
    diffuse = row.diffuse(0)
    return strength * diffuse[0], strength * diffuse[1], strength * diffuse[2]


def _dot(a: Sequence[jax.Array], b: Sequence[jax.Array]) -> jax.Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


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
