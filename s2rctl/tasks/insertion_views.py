"""What the wrist cameras' images are asked to tell of an insertion: the part of the state that they show."""

from typing import Any

import jax
import jax.numpy as jnp

from s2rctl.core.spatial import to_matrix
from s2rctl.tasks.arm import Arm, in_world
from s2rctl.tasks.protocol import ENDS_UNIT_M, WAY_UNIT_M, World

_FAR = 3.0  # units: beyond, an object is as good as out of sight


def targets(world: World) -> jax.Array:
    """Return the targets (2, 12) of the wrist cameras, left first.

    In the gripper's axes the way from the fingertips' midpoint to the object's grip point (3) and the object's x and z
    axes (6); in the socket's axes the peg end's place (3).
    """
    signals: Any = world.signals
    way = jnp.clip(signals.peg_end_in_socket / ENDS_UNIT_M, -3.0, 3.0)
    left = _held(signals.left_fingertip_pos, signals.left_gripper_quat, signals.socket_grip_pos, signals.socket_quat)
    right = _held(signals.right_fingertip_pos, signals.right_gripper_quat, signals.peg_grip_pos, signals.peg_quat)
    return jnp.stack([jnp.concatenate([left, way]), jnp.concatenate([right, way])])


def points(left: Arm, right: Arm, world: World, told: jax.Array) -> dict[str, jax.Array]:
    """Return where told targets (2, 12) put the grip points of both objects (3,) m, in the world."""
    signals: Any = world.signals
    socket = _placed(signals.left_fingertip_pos, signals.left_gripper_quat, told[0])
    peg = _placed(signals.right_fingertip_pos, signals.right_gripper_quat, told[1])
    return {"socket": in_world(left, socket), "peg": in_world(right, peg)}


def _placed(fingertips: jax.Array, gripper: jax.Array, told: jax.Array) -> jax.Array:
    """Return the grip point (3,) that ``_held`` tells, in the frame of its inputs: the arm's base."""
    return _middle(fingertips) + to_matrix(gripper, jnp) @ (WAY_UNIT_M * told[:3])


def _middle(fingertips: jax.Array) -> jax.Array:
    return 0.5 * (fingertips[:3] + fingertips[3:])


def _held(fingertips: jax.Array, gripper: jax.Array, grip: jax.Array, quat: jax.Array) -> jax.Array:
    """Return the object's grip point (3) and x and z axes (6) as seen from the gripper; all inputs in one frame."""
    axes = to_matrix(gripper, jnp)
    offset = jnp.clip(axes.T @ (grip - _middle(fingertips)) / WAY_UNIT_M, -_FAR, _FAR)
    turned = axes.T @ to_matrix(quat, jnp)
    return jnp.concatenate([offset, turned[:, 0], turned[:, 2]])
