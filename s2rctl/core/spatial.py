"""Rotations and rigid transforms, in numpy unless a function takes ``xp``. Quaternions are w x y z, angles rad."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Vector = Sequence[float] | np.ndarray


def normalised(quaternion: Vector) -> np.ndarray:
    """Return the unit quaternion (4,); raise ValueError for a zero quaternion."""
    q = np.asarray(quaternion, float)
    length = float(np.linalg.norm(q))
    if not length > 0:
        raise ValueError("a quaternion of length zero has no direction")
    return q / length


def to_matrix(quaternion: Any, xp: Any = np) -> Any:
    """Return the rotation matrix (3, 3) of a quaternion (4,) of any length; a null one gives the identity.

    ``xp`` is numpy, or jax.numpy where the quaternion is traced.
    """
    q = xp.asarray(quaternion)
    w, x, y, z = q
    squared = xp.dot(q, q)
    scale = xp.where(squared > 1e-12, 2.0 / xp.where(squared > 1e-12, squared, 1.0), 0.0)
    return xp.array(
        [
            [1 - scale * (y * y + z * z), scale * (x * y - w * z), scale * (x * z + w * y)],
            [scale * (x * y + w * z), 1 - scale * (x * x + z * z), scale * (y * z - w * x)],
            [scale * (x * z - w * y), scale * (y * z + w * x), 1 - scale * (x * x + y * y)],
        ]
    )


def from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Return the unit quaternion (4,) with w >= 0 of a rotation matrix (3, 3).

    The largest component is found first and divides the others, which is stable for every angle
    (Shepperd 1978, "Quaternion from rotation matrix").
    """
    m = np.asarray(matrix, float)
    squares = np.array(
        [
            1 + m[0, 0] + m[1, 1] + m[2, 2],
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
        ]
    )
    products = np.array(
        [
            [squares[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], squares[1], m[1, 0] + m[0, 1], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[1, 0] + m[0, 1], squares[2], m[2, 1] + m[1, 2]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[2, 1] + m[1, 2], squares[3]],
        ]
    )
    q = normalised(products[int(np.argmax(squares))])
    return -q if q[0] < 0 else q


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Return axis times angle (3,), angle in [0, pi], of a rotation matrix (3, 3)."""
    w, *vector = from_matrix(matrix)
    axis = np.array(vector)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        return np.zeros(3)
    return axis / sine * (2.0 * np.arctan2(sine, w))


def from_rotation_vector(vector: Vector) -> np.ndarray:
    """Return the rotation matrix (3, 3) of axis times angle (3,)."""
    v = np.asarray(vector, float)
    angle = float(np.linalg.norm(v))
    if angle < 1e-12:
        return np.eye(3)
    return to_matrix(np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * v / angle]))


def from_rpy(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Return Rz(yaw) Ry(pitch) Rx(roll) (3, 3): roll, pitch, yaw about the fixed axes x, y, z."""
    cr, sr, cp, sp, cy, sy = np.cos(roll), np.sin(roll), np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def to_rpy(matrix: np.ndarray) -> np.ndarray:
    """Return roll, pitch, yaw (3,) about the fixed axes x, y, z; at pitch = ±90° roll is taken as 0."""
    m = np.asarray(matrix, float)
    horizontal = float(np.hypot(m[0, 0], m[1, 0]))
    pitch = np.arctan2(-m[2, 0], horizontal)
    if horizontal < 1e-9:
        return np.array([0.0, pitch, np.arctan2(-m[0, 1], m[1, 1])])
    return np.array([np.arctan2(m[2, 1], m[2, 2]), pitch, np.arctan2(m[1, 0], m[0, 0])])


def transform(position: Vector, rotation: np.ndarray) -> np.ndarray:
    """Return the homogeneous matrix (4, 4) of a position (3,) and a rotation matrix (3, 3)."""
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = position
    return result


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse (4, 4) of a rigid transform (4, 4)."""
    rotation = matrix[:3, :3].T
    return transform(-rotation @ matrix[:3, 3], rotation)
