"""Where an Aloha's grippers are by the commanded joints, as features of a student.

To push a peg into a hole the student has to know the grippers' places to a few millimetres. A perceptron learns the
kinematics of twelve joints only roughly; here they are exact, and given at the scale at which the task needs them:
relative to the pose in which both arms face each other, coarse and fine. docs/benchmarks.md says what that is worth.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.spatial import to_matrix
from s2rctl.robots.aloha.kinematics import KINEMATICS
from s2rctl.tasks.peg_insertion import READY

COMMANDED = 56
"""How many numbers ``commanded`` gives."""

_SIDES = ("left", "right")
_JOINTS = 6  # of an arm without its gripper
_FAR = 3.0  # features end here: beyond, another one of another scale says where the arm is


class Grippers(NamedTuple):
    """Pose of both grippers, left first; the axes are the gripper link's."""

    position: jax.Array  # (N, 2, 3) m, world
    rotation: jax.Array  # (N, 2, 3, 3)


class _Arms(NamedTuple):
    """Constants of both arms: a joint's rotation is still + sin(q) turning + (1 - cos(q)) squared (Rodrigues)."""

    position: np.ndarray  # (2, 3) m, base in the world
    rotation: np.ndarray  # (2, 3, 3)
    offsets: np.ndarray  # (7, 2, 3, 1) m: of each joint in the link before it, and of the gripper
    still: np.ndarray  # (2, 6, 3, 3)
    turning: np.ndarray
    squared: np.ndarray


def _read_arms() -> _Arms:
    chains = [KINEMATICS.links_to(f"{side}/gripper") for side in _SIDES]
    hinges = [[link for link in links if link.joint] for links, _ in chains]
    bases = [links[0] for links, _ in chains]
    still = np.array([[to_matrix(link.quaternion) for link in each] for each in hinges])
    axes = np.array([[link.axis for link in each] for each in hinges], float)
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    cross = np.swapaxes(np.cross(axes[:, :, None, :], np.eye(3)), -1, -2)  # cross @ v is axis x v
    ways = [
        [*(link.position for link in each), point.position] for each, (_, point) in zip(hinges, chains, strict=True)
    ]
    return _Arms(
        np.array([link.position for link in bases], np.float32),
        np.array([to_matrix(link.quaternion) for link in bases], np.float32),
        np.array(ways, np.float32).transpose(1, 0, 2)[..., None],
        still.astype(np.float32),
        (still @ cross).astype(np.float32),
        (still @ cross @ cross).astype(np.float32),
    )


_ARMS = _read_arms()


def grippers(angles: jax.Array) -> Grippers:
    """Return the pose of both grippers for the joint angles (N, 2, 6) rad, left arm first.

    Both arms go through the same few operations: in an exported graph each one costs microseconds.
    """
    sine, rest = jnp.sin(angles)[..., None, None], (1.0 - jnp.cos(angles))[..., None, None]
    turns = _ARMS.still + sine * _ARMS.turning + rest * _ARMS.squared  # (N, 2, 6, 3, 3)
    place = jnp.broadcast_to(_ARMS.position[..., None], (angles.shape[0], 2, 3, 1))
    axes = jnp.broadcast_to(_ARMS.rotation, (angles.shape[0], 2, 3, 3))
    for joint in range(_JOINTS):
        place = place + axes @ _ARMS.offsets[joint]
        axes = axes @ turns[:, :, joint]
    return Grippers((place + axes @ _ARMS.offsets[_JOINTS])[..., 0], axes)


class Between(NamedTuple):
    """The right gripper as seen from the left one."""

    way: jax.Array  # (N, 3) m, in the left gripper's axes
    turn: jax.Array  # (N, 9) rotation by rows


def between(poses: Grippers) -> Between:
    """Return the right gripper's pose in the left one's axes."""
    back = jnp.swapaxes(poses.rotation[:, 0], 1, 2)
    way = back @ (poses.position[:, 1] - poses.position[:, 0])[..., None]
    return Between(way[..., 0], (back @ poses.rotation[:, 1]).reshape(-1, 9))


_READY = np.array([READY[side] for side in _SIDES], np.float32)  # (2, 6) rad


def _facing() -> tuple[np.ndarray, np.ndarray]:
    """Return way and turn between the grippers at ``READY``; in numpy, since nothing shall be compiled on import."""
    joints = np.zeros((2, len(KINEMATICS.joints) // 2))
    joints[:, :_JOINTS] = _READY
    (left, left_axes), (right, right_axes) = (KINEMATICS.pose(f"{side}/gripper", joints.ravel()) for side in _SIDES)
    way, turn = left_axes.T @ (right - left), left_axes.T @ right_axes
    return way.astype(np.float32), turn.ravel().astype(np.float32)


_FACING_WAY, _FACING_TURN = _facing()


def commanded(targets: jax.Array) -> jax.Array:
    """Return 56 numbers (N, 56) of order one from the joint targets (N, 14): per arm six joints rad and a gripper m.

    For each arm (22): joints relative to ``READY`` coarse (6), gripper (1), joints fine (6), the gripper's position and
    two rows of its rotation in the world (9). Then the right gripper as seen from the left one, relative to how they
    stand at ``READY``: the way coarse and fine (6), and two rows of its rotation (6).
    """
    arms = targets.reshape(-1, 2, _JOINTS + 1)
    angles, fingers = arms[..., :_JOINTS], arms[..., _JOINTS:]
    away = angles - _READY
    poses = grippers(angles)
    way, turn = between(poses)
    way, turn = way - _FACING_WAY, (turn - _FACING_TURN)[:, :6]
    parts = (
        2.0 * away,
        24.0 * fingers,  # 1/m: an open gripper reads 1
        _cut(10.0 * away),
        5.0 * poses.position,
        poses.rotation[:, :, :2].reshape(-1, 2, 6),
    )
    of_arms = jnp.concatenate(parts, axis=-1).reshape(-1, 44)
    return jnp.concatenate([of_arms, _cut(10.0 * way), _cut(40.0 * way), 3.0 * turn], axis=-1)


def _cut(values: jax.Array) -> jax.Array:
    return jnp.clip(values, -_FAR, _FAR)
