"""Hard shadows: a pixel is lit by a light when no geom lies between them.

Most geoms lie far from every line between what a band of pixels shows and a light. They are sorted out beforehand: seen
from the light, the rectangle around a geom must meet the rectangle around the band's points.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s2rctl.render.layout import Group, Layout, Light
from s2rctl.render.loops import Visit
from s2rctl.render.primitives import Components, Shape, enter
from s2rctl.render.tiles import bits
from s2rctl.render.trace import miss_id, point_at, read, unpack
from s2rctl.render.view import Row, View

_BIAS = 2e-3
"""Part of the way to the light that is not looked at, so that a surface does not shade itself through rounding."""
_NEAR = 1e-2
"""Geoms that come closer (m) to a light's plane than this are always looked at."""
_SLACK = 1e-4
"""Widens the points' rectangle (tangents), against rounding."""
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
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

    Everything is in the camera's frame.
    """
    image, lights = lax.optimization_barrier((view.image[frame], view.lights[frame]))
    centre, extents, shown = lax.optimization_barrier((view.centre[frame], view.extents[frame], view.shown[frame]))
    points = jnp.stack([depth * (x * image[0] + image[2]), depth * (y * image[1] + image[3]), -depth])
    low, high = (jnp.min(jnp.where(hit, points, jnp.inf), 1), jnp.max(jnp.where(hit, points, -jnp.inf), 1))
    middle = jnp.where(jnp.isfinite(low), 0.5 * (low + high), 0.0)
    corners = centre[:, None] + jnp.einsum("kj,nij->nki", _CORNERS, extents)
    near = jnp.zeros(shown.shape, bool)
    for number, light in enumerate(layout.lights):
        if light.casts_shadow:
            source = middle + _REACH * layout.size * lights[number] if light.directional else lights[number]
            near |= _in_the_way(source, middle, points, hit, corners)
    return near & shown & jnp.any(hit)


def _in_the_way(
    source: jax.Array, middle: jax.Array, points: jax.Array, hit: jax.Array, corners: jax.Array
) -> jax.Array:
    """Return (N,) bool: boxes ``corners`` (N, 8, 3) that overlap the points (3, P) as seen from ``source``.

    Seen from there the box's picture lies in the rectangle of its corners' pictures, unless it reaches behind.
    """
    axes = _axes(middle - source)
    spots, edges = axes @ (points - source[:, None]), (corners - source) @ axes.T
    away = jnp.where(hit, jnp.maximum(spots[2], _NEAR), 1.0)
    across = spots[:2] / away
    low = jnp.min(jnp.where(hit, across, jnp.inf), axis=1) - _SLACK
    high = jnp.max(jnp.where(hit, across, -jnp.inf), axis=1) + _SLACK
    distance = edges[..., 2]
    seen = edges[..., :2] / jnp.maximum(distance, _NEAR)[..., None]
    overlap = jnp.all((seen.max(1) >= low) & (seen.min(1) <= high), axis=-1)
    before = distance.min(1) <= jnp.max(jnp.where(hit, spots[2], -jnp.inf))
    return jnp.where(distance.min(1) > _NEAR, overlap & before, True)


def _axes(forward: jax.Array) -> jax.Array:
    """Return rows right, up, forward (3, 3) of a frame that looks along ``forward`` (3,)."""
    ahead = forward / jnp.maximum(jnp.linalg.norm(forward), 1e-9)
    helper = jnp.where(jnp.abs(ahead[0]) < 0.7, jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0]))
    right = jnp.cross(helper, ahead)
    right = right / jnp.maximum(jnp.linalg.norm(right), 1e-9)
    return jnp.stack([right, jnp.cross(ahead, right), ahead])


def _way(layout: Layout, row: Row, number: int, light: Light, point: Components) -> Components:
    """Return the way from the points to the light in the unit frame."""
    source, scale = row.light(number), row.scale
    if light.directional:
        x, y, z = (jnp.broadcast_to(_REACH * layout.size * source[i] / scale[i], point[0].shape) for i in range(3))
    else:
        x, y, z = (source[i] / scale[i] - point[i] for i in range(3))
    return x, y, z
