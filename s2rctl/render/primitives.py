"""Intersection of rays with MuJoCo's primitive shapes, each in its own unit frame.

The unit frame of a geom is its frame divided by ``unit_scale``: an ellipsoid becomes the unit ball, a box the cube
[-1, 1]³, a cylinder one of radius 1 and half height 1, a capsule one of radius 1 whose segment reaches ± ``half``.
All functions work on tuples of three components, each a scalar or an array of pixels, so that one fused loop over the
pixels comes out of them. A quadratic is solved from the point of the ray that is closest to the shape's centre: in
float32 the textbook form loses a thin finger seen from a metre away.
"""

from collections.abc import Callable
from enum import IntEnum

import jax
import jax.numpy as jnp
import mujoco

Components = tuple[jax.Array, jax.Array, jax.Array]

MISS = 1e30
"""Ray parameter of a ray that meets nothing."""
INFINITE = 1e4
"""Half size (m) that stands for a plane without bounds."""
_TINY = 1e-20  # added to divisors: an exact zero stays finite, anything else is unchanged in float32


class Shape(IntEnum):
    """The shapes that can be ray cast; a sphere is an ellipsoid."""

    PLANE = 0
    BOX = 1
    CAPSULE = 2
    CYLINDER = 3
    ELLIPSOID = 4


SHAPES = {
    int(mujoco.mjtGeom.mjGEOM_PLANE): Shape.PLANE,
    int(mujoco.mjtGeom.mjGEOM_BOX): Shape.BOX,
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): Shape.CAPSULE,
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): Shape.CYLINDER,
    int(mujoco.mjtGeom.mjGEOM_SPHERE): Shape.ELLIPSOID,
    int(mujoco.mjtGeom.mjGEOM_ELLIPSOID): Shape.ELLIPSOID,
}
"""MuJoCo geom type -> shape."""


def unit_scale(shape: Shape, size: jax.Array, sphere: jax.Array) -> jax.Array:
    """Return the factors (..., 3) m from the unit frame to the geom's frame.

    ``size`` (..., 3) is MuJoCo's ``geom_size``; ``sphere`` (...) bool marks ellipsoids that are spheres.
    """
    a, b, c = size[..., 0], size[..., 1], size[..., 2]
    if shape is Shape.PLANE:
        parts = (jnp.where(a > 0, a, INFINITE), jnp.where(b > 0, b, INFINITE), jnp.ones_like(a))
    elif shape is Shape.BOX:
        parts = (a, b, c)
    elif shape is Shape.CAPSULE:
        parts = (a, a, a)
    elif shape is Shape.CYLINDER:
        parts = (a, a, b)
    else:
        parts = (a, jnp.where(sphere, a, b), jnp.where(sphere, a, c))
    return jnp.maximum(jnp.stack(parts, -1), 1e-6)


def half_extents(shape: Shape, size: jax.Array, scale: jax.Array) -> jax.Array:
    """Return the half sides (..., 3) m of the box around the geom in its own frame."""
    if shape is Shape.PLANE:
        return scale * jnp.array([1.0, 1.0, 0.0])
    if shape is Shape.CAPSULE:
        return scale.at[..., 2].add(size[..., 1])
    return scale


def capsule_half(size: jax.Array) -> jax.Array:
    """Return the half length (...) of a capsule's segment in its unit frame."""
    return size[..., 1] / jnp.maximum(size[..., 0], 1e-6)


def enter(shape: Shape, origin: Components, ray: Components, half: jax.Array) -> jax.Array:
    """Return the parameter t at which ``origin + t ray`` (unit frame) enters the shape; MISS where it does not.

    t is negative when the origin lies inside or behind the shape. ``half`` is used by capsules only.
    """
    return _ENTER[shape](origin, ray, half)


def normal(shape: Shape, point: Components, scale: Components, half: jax.Array) -> Components:
    """Return the outward unit normal, in the geom's frame, at a point of the surface given in the unit frame."""
    x, y, z = point
    zero = jnp.zeros_like(x)
    if shape is Shape.PLANE:
        return zero, zero, jnp.ones_like(x)
    if shape is Shape.BOX:
        ax, ay, az = jnp.abs(x), jnp.abs(y), jnp.abs(z)
        on_x = (ax >= ay) & (ax >= az)
        on_y = ~on_x & (ay >= az)
        return (
            jnp.where(on_x, jnp.sign(x), 0.0),
            jnp.where(on_y, jnp.sign(y), 0.0),
            jnp.where(on_x | on_y, 0.0, jnp.sign(z)),
        )
    if shape is Shape.CAPSULE:
        return x, y, z - jnp.clip(z, -half, half)
    if shape is Shape.CYLINDER:
        side = x * x + y * y > z * z
        return jnp.where(side, x, 0.0), jnp.where(side, y, 0.0), jnp.where(side, 0.0, jnp.sign(z))
    nx, ny, nz = x / scale[0], y / scale[1], z / scale[2]
    length = jax.lax.rsqrt(nx * nx + ny * ny + nz * nz)
    return nx * length, ny * length, nz * length


def _plane(origin: Components, ray: Components, half: jax.Array) -> jax.Array:
    t = -origin[2] / (ray[2] + _TINY)
    inside = (jnp.abs(origin[0] + t * ray[0]) <= 1.0) & (jnp.abs(origin[1] + t * ray[1]) <= 1.0)
    return jnp.where(inside, t, MISS)


def _box(origin: Components, ray: Components, half: jax.Array) -> jax.Array:
    """Slab method: the ray is inside where it is inside all three pairs of faces."""
    near, far = jnp.float32(-MISS), jnp.float32(MISS)
    for o, d in zip(origin, ray, strict=True):
        inverse = 1.0 / (d + _TINY)
        middle, reach = -o * inverse, jnp.abs(inverse)
        near, far = jnp.maximum(near, middle - reach), jnp.minimum(far, middle + reach)
    return jnp.where(near <= far, near, MISS)


def _ball(origin: Components, ray: Components, inverse_square: jax.Array) -> jax.Array:
    """Entry into the unit ball; ``inverse_square`` is 1 / |ray|²."""
    (ox, oy, oz), (dx, dy, dz) = origin, ray
    closest = -(ox * dx + oy * dy + oz * dz) * inverse_square
    x, y, z = ox + closest * dx, oy + closest * dy, oz + closest * dz
    depth = 1.0 - (x * x + y * y + z * z)
    return jnp.where(depth >= 0, closest - jnp.sqrt(jnp.maximum(depth, 0.0) * inverse_square), MISS)


def _ellipsoid(origin: Components, ray: Components, half: jax.Array) -> jax.Array:
    dx, dy, dz = ray
    return _ball(origin, ray, 1.0 / (dx * dx + dy * dy + dz * dz))


def _tube(origin: Components, ray: Components) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return middle, half length² (negative: missed) of the ray inside the infinite tube of radius 1, and 1 / |xy|²."""
    (ox, oy, _), (dx, dy, _) = origin, ray
    inverse_square = 1.0 / (dx * dx + dy * dy + _TINY)
    closest = -(ox * dx + oy * dy) * inverse_square
    x, y = ox + closest * dx, oy + closest * dy
    return closest, (1.0 - (x * x + y * y)) * inverse_square, inverse_square


def _cylinder(origin: Components, ray: Components, half: jax.Array) -> jax.Array:
    closest, square, _ = _tube(origin, ray)
    reach = jnp.sqrt(jnp.maximum(square, 0.0))
    inverse = 1.0 / (ray[2] + _TINY)
    middle, cap = -origin[2] * inverse, jnp.abs(inverse)
    near, far = jnp.maximum(closest - reach, middle - cap), jnp.minimum(closest + reach, middle + cap)
    return jnp.where((square >= 0) & (near <= far), near, MISS)


def _capsule(origin: Components, ray: Components, half: jax.Array) -> jax.Array:
    """Enter through the side, or through the ball at the end beyond which the ray meets the tube."""
    (ox, oy, oz), (dx, dy, dz) = origin, ray
    closest, square, _ = _tube(origin, ray)
    side = closest - jnp.sqrt(jnp.maximum(square, 0.0))
    height = oz + side * dz
    end = jnp.clip(height, -half, half)
    ball = _ball((ox, oy, oz - end), ray, 1.0 / (dx * dx + dy * dy + dz * dz))
    return jnp.where(square >= 0, jnp.where(end == height, side, ball), MISS)


_ENTER: dict[Shape, Callable[[Components, Components, jax.Array], jax.Array]] = {
    Shape.PLANE: _plane,
    Shape.BOX: _box,
    Shape.CAPSULE: _capsule,
    Shape.CYLINDER: _cylinder,
    Shape.ELLIPSOID: _ellipsoid,
}
