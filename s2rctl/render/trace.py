"""Which geom each pixel sees, and how far away it is.

Depth and geom share one 32-bit word: the upper bits are those of the positive float, which sort like integers, the
lower bits are the geom's number. One integer minimum then finds the nearest geom, where an argmin over floats would
need a second pass. It costs depth resolution: 7 bits for up to 126 geoms leave 15 µm at 1 m.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s2rctl.render.layout import Group, Layout
from s2rctl.render.loops import Visit
from s2rctl.render.primitives import Components, enter
from s2rctl.render.view import Row


def miss_id(layout: Layout) -> int:
    """Return the number that marks a pixel without a geom: all low bits set."""
    return (1 << max(1, int(layout.drawn).bit_length())) - 1


def nothing(layout: Layout) -> int:
    """Return the packed hit of a pixel without a geom; nearer than it is nearer than the far plane."""
    return int(np.float32(layout.far).view(np.int32)) | miss_id(layout)


def trace(
    layout: Layout, table: jax.Array, frame: jax.Array, words: jax.Array, x: jax.Array, y: jax.Array, visit: Visit
) -> jax.Array:
    """Return the packed hits (P,) int32 of the pixels x, y (P,) of one frame of the table (F, N, columns)."""
    low = miss_id(layout)

    def nearer(group: Group, index: jax.Array, best: jax.Array) -> jax.Array:
        row = read(layout, table, frame, index)
        origin, ray = ray_of(row, x, y)
        t = enter(group.shape, origin, ray, row.half)
        packed = (lax.bitcast_convert_type(t, jnp.int32) & ~low) | index
        return jnp.where(t > layout.near, jnp.minimum(best, packed), best)

    empty = jnp.full(x.shape, nothing(layout), jnp.int32)
    return visit(layout.groups, lambda group, place: words[place], nearer, empty)


def unpack(layout: Layout, hits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return depth (m; the far plane on a miss) and geom number of packed hits."""
    low = miss_id(layout)
    middle = (low + 1) // 2  # the bits that were cut off lie anywhere below
    return lax.bitcast_convert_type((hits & ~low) | middle, jnp.float32), hits & low


def read(layout: Layout, table: jax.Array, frame: jax.Array, index: jax.Array) -> Row:
    """Return one geom's row.

    The barrier keeps the row apart from the loop over pixels. Fused, that loop would count as reading the whole table,
    and XLA would split its microsecond of work over threads (measured on two cores: a third of the rate).
    """
    columns = table.shape[-1]
    values = lax.dynamic_slice(table, (frame, index, 0), (1, 1, columns)).reshape(columns)
    return Row(lax.optimization_barrier(values), len(layout.lights))


def ray_of(row: Row, x: jax.Array, y: jax.Array) -> tuple[Components, Components]:
    """Return origin and ray of the pixels in the unit frame of one geom."""
    matrix, origin = row.ray, row.origin
    ray = tuple(matrix[i, 0] * x + matrix[i, 1] * y + matrix[i, 2] for i in range(3))
    return (origin[0], origin[1], origin[2]), (ray[0], ray[1], ray[2])


def point_at(row: Row, x: jax.Array, y: jax.Array, depth: jax.Array) -> Components:
    """Return the points at ``depth`` (P,) m in the unit frame of one geom."""
    origin, ray = ray_of(row, x, y)
    return origin[0] + depth * ray[0], origin[1] + depth * ray[1], origin[2] + depth * ray[2]
