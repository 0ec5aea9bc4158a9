"""Rotations in JAX: quaternions (w x y z, MuJoCo's order), matrices, rotation vectors, random directions.

Formulas are the standard ones (e.g. Siciliano et al., Robotics, ch. 2); all functions take one rotation, and ``vmap``
makes them work on many.
"""

import jax
import jax.numpy as jnp


def about_z(angle: jax.Array) -> jax.Array:
    """Return the quaternion of a turn by ``angle`` (rad) about z."""
    zero = jnp.zeros_like(angle)
    return jnp.stack([jnp.cos(angle / 2), zero, zero, jnp.sin(angle / 2)])


def matrix_about(axis: jax.Array, angle: jax.Array) -> jax.Array:
    """Return the rotation matrix (3, 3) of a turn by ``angle`` (rad) about the unit vector ``axis`` (Rodrigues)."""
    x, y, z = axis
    cross = jnp.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * (cross @ cross)


def rotation_vector(matrix: jax.Array) -> jax.Array:
    """Return axis times angle (3,) in rad of a rotation matrix; finite everywhere, also at 0 and near half turns."""
    vector = 0.5 * jnp.stack([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    sine = jnp.sqrt(jnp.sum(vector**2) + 1e-14)
    return vector * (jnp.arctan2(sine, 0.5 * (jnp.trace(matrix) - 1)) / sine)


def angle_between(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the angle (rad) of the turn from rotation matrix ``a`` to ``b``."""
    cosine = jnp.clip(0.5 * (jnp.sum(a * b) - 1), -1.0, 1.0)
    return jnp.arccos(cosine)


def row_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the norm of the difference of the first two rows of two rotation matrices (the reference's measure)."""
    return jnp.sqrt(jnp.sum((a[:2] - b[:2]) ** 2) + 1e-12)


def direction(draws: jax.Array) -> jax.Array:
    """Turn two uniform draws (2,) in [-1, 1] into a unit vector (3,), uniform on the sphere (Archimedes' hat-box)."""
    height, turn = draws[0], jnp.pi * draws[1]
    level = jnp.sqrt(jnp.maximum(1.0 - height**2, 0.0))
    return jnp.stack([level * jnp.cos(turn), level * jnp.sin(turn), height])


def disturb(draws: jax.Array, matrix: jax.Array, largest: float) -> jax.Array:
    """Turn a rotation matrix by an angle uniform in [0, ``largest``] rad about a uniformly random axis.

    ``draws`` (3,) are uniform in [-1, 1].
    """
    return matrix_about(direction(draws[:2]), 0.5 * largest * (1.0 + draws[2])) @ matrix
