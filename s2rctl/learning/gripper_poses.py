"""Where an Aloha's grippers are by the commanded joints, as features of a student.

To push a peg into a hole the student has to know the grippers' places to a few millimetres. A perceptron learns the
kinematics of twelve joints only roughly; here they are exact, and given at the scale at which the task needs them:
relative to the pose in which both arms face each other, coarse and fine. docs/benchmarks.md says what that is worth.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.kinematics import Link, Point, Turns, turns_of
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

    position: tuple[jax.Array, jax.Array]  # (N, 3) m, world
    rotation: tuple[jax.Array, jax.Array]  # (N, 3, 3)


class _Arms(NamedTuple):
    """Constants of both arms."""

    base_position: np.ndarray  # (2, 3) m, world
    base_rotation: np.ndarray  # (2, 3, 3)
    first: np.ndarray  # (3, 1) m, of the first joint in the base; the same for both arms, as all that follows
    offsets: np.ndarray  # (18, 1) m, of each next joint in the link before it, and of the gripper
    turns: Turns  # of an arm's six joints


def _read_arms() -> _Arms:
    left, right = (_constants(*KINEMATICS.links_to(f"{side}/gripper")) for side in _SIDES)
    if any((ours != theirs).any() for ours, theirs in zip(left, right, strict=True)):
        raise ValueError("the two arms are not built alike")
    offsets, *turns = left
    bases = [KINEMATICS.links_to(f"{side}/gripper")[0][0] for side in _SIDES]
    return _Arms(
        np.array([link.position for link in bases], np.float32),
        np.array([to_matrix(link.quaternion) for link in bases], np.float32),
        offsets[0, :, None],
        offsets[1:].reshape(-1, 1),
        Turns(*turns),
    )


def _constants(links: Sequence[Link], point: Point) -> list[np.ndarray]:
    """Return of one arm the offsets (7, 3) m and the three parts of its joints' rotations (6, 3, 3)."""
    hinges = [link for link in links if link.joint]
    offsets = np.array([*(link.position for link in hinges), point.position])
    return [part.astype(np.float32) for part in (offsets, *turns_of(hinges))]


_ARMS = _read_arms()


def grippers(angles: jax.Array) -> Grippers:
    """Return the pose of both grippers for the joint angles (N, 2, 6) rad, left arm first.

    As ``KINEMATICS.pose`` does, but both arms are one batch, and all offsets are added at once: in an exported graph
    each operation costs microseconds, and with the general form the student's takes 1.3 times as long.
    """
    joints = angles.reshape(-1, _JOINTS)
    turns = _ARMS.turns.at(joints, jnp)  # (2 N, 6, 3, 3)
    axes = [turns[:, 0]]
    for joint in range(1, _JOINTS):
        axes.append(axes[-1] @ turns[:, joint])
    place = (_ARMS.first + jnp.concatenate(axes, axis=-1) @ _ARMS.offsets).reshape(-1, 2, 3)
    turned = axes[-1].reshape(-1, 2, 3, 3)
    bases = list(zip(_ARMS.base_position, _ARMS.base_rotation, strict=True))
    left, right = (at + place[:, arm] @ to_world.T for arm, (at, to_world) in enumerate(bases))
    left_axes, right_axes = (to_world @ turned[:, arm] for arm, (_, to_world) in enumerate(bases))
    return Grippers((left, right), (left_axes, right_axes))


class Between(NamedTuple):
    """The right gripper as seen from the left one."""

    way: jax.Array  # (N, 3) m, in the left gripper's axes
    turn: jax.Array  # (N, 9) rotation by rows


def between(poses: Grippers) -> Between:
    """Return the right gripper's pose in the left one's axes."""
    back = jnp.swapaxes(poses.rotation[0], 1, 2)
    way = back @ (poses.position[1] - poses.position[0])[..., None]
    return Between(way[..., 0], (back @ poses.rotation[1]).reshape(-1, 9))


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
    joints = jnp.concatenate([2.0 * away, 24.0 * fingers, _cut(10.0 * away)], axis=-1)  # 24/m: an open gripper reads 1
    of_arms = [
        part
        for arm in range(2)
        for part in (joints[:, arm], 5.0 * poses.position[arm], poses.rotation[arm].reshape(-1, 9)[:, :6])
    ]
    return jnp.concatenate([*of_arms, _cut(10.0 * way), _cut(40.0 * way), 3.0 * turn], axis=-1)


def _cut(values: jax.Array) -> jax.Array:
    return jnp.clip(values, -_FAR, _FAR)
