"""What the insertion scene measures, and what that means for the peg: caught by the socket, or all the way in."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from s2rctl.scene import sizes
from s2rctl.scene.signals import real, sim_only

DEPTH = sizes.SOCKET_HALF[0]  # m, from the socket's middle to its end
SUCCESS = 0.01  # m, peg end to socket end; the back wall stops it at 0.008
INSIDE = 0.02  # m of way in, from which on no camera sees how far the peg's end is from the walls
CAUGHT = 0.012  # m from the axis; beyond, the peg's end is beside the socket


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Signals:
    """What the insertion scene measures; each arm and its object in that arm's base frame."""

    left_joint_pos: jax.Array = real(8, unit="rad, fingers m", meaning="joint positions")
    left_joint_vel: jax.Array = real(8, unit="rad/s, fingers m/s", meaning="joint velocities")
    left_fingertip_pos: jax.Array = real(6, unit="m", meaning="fingertips, by kinematics")
    left_gripper_quat: jax.Array = real(4, unit="", meaning="gripper orientation, by kinematics")
    right_joint_pos: jax.Array = real(8, unit="rad, fingers m", meaning="joint positions")
    right_joint_vel: jax.Array = real(8, unit="rad/s, fingers m/s", meaning="joint velocities")
    right_fingertip_pos: jax.Array = real(6, unit="m", meaning="fingertips, by kinematics")
    right_gripper_quat: jax.Array = real(4, unit="", meaning="gripper orientation, by kinematics")
    socket_pos: jax.Array = sim_only(3, unit="m", meaning="socket centre")
    socket_quat: jax.Array = sim_only(4, unit="", meaning="socket orientation")
    socket_linvel: jax.Array = sim_only(3, unit="m/s", meaning="socket velocity")
    socket_angvel: jax.Array = sim_only(3, unit="rad/s", meaning="socket angular velocity")
    socket_grip_pos: jax.Array = sim_only(3, unit="m", meaning="where to grip the socket")
    peg_pos: jax.Array = sim_only(3, unit="m", meaning="peg centre")
    peg_quat: jax.Array = sim_only(4, unit="", meaning="peg orientation")
    peg_linvel: jax.Array = sim_only(3, unit="m/s", meaning="peg velocity")
    peg_angvel: jax.Array = sim_only(3, unit="rad/s", meaning="peg angular velocity")
    peg_grip_pos: jax.Array = sim_only(3, unit="m", meaning="where to grip the peg")
    peg_end_in_socket: jax.Array = sim_only(3, unit="m", meaning="peg end from the socket's end, socket's axes")
    left_socket_contact: jax.Array = sim_only(28, unit="", meaning="finger contacts: found, force, normal")
    right_peg_contact: jax.Array = sim_only(28, unit="", meaning="finger contacts: found, force, normal")
    left_table_contact: jax.Array = sim_only(5, unit="", meaning="gripper on table")
    right_table_contact: jax.Array = sim_only(5, unit="", meaning="gripper on table")


def inserted(signals: Signals) -> jax.Array:
    """Return whether the peg's end is at the socket's end."""
    return length(signals.peg_end_in_socket) < SUCCESS


def caught(signals: Signals) -> jax.Array:
    """Return whether the peg's end is in the socket, where its walls hold it and hide it."""
    way, off = signals.peg_end_in_socket[0], length(signals.peg_end_in_socket[1:])
    return (way < 2 * DEPTH - INSIDE) & (off < CAUGHT)


def length(vector: jax.Array) -> jax.Array:
    """Return the length () of a vector (n,), with a gradient at 0."""
    return jnp.sqrt(jnp.sum(vector**2) + 1e-12)
