"""Joint-space servo of one ViperX arm: from a wanted pose of the fingertip midpoint to an action."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.tasks import arm as arms
from s2rctl.tasks import kinematics, rotation

SOLVER_STEPS = 6
DAMPING = 2e-4
LARGEST_SHIFT = 0.15  # m, error that one solver step sees
LARGEST_TURN = 0.6  # rad
LEAD = 0.08  # s, by which joint motion is looked ahead: about the lag of the joints behind their targets
GAIN = 0.35  # share of the joint error that one step's target change makes up
TIP = (0.0089, 0.0, -0.0003)  # m, fingertip midpoint in the frame of the site ``gripper`` (the fingers are mirrored)


class Pose(NamedTuple):
    """Wanted pose of the fingertip midpoint, in the arm's base frame; gripper x points out of the hand, y across."""

    position: jax.Array  # (3,) m
    rotation: jax.Array  # (3, 3)


class Servo:
    """Solver and joint controller of one arm."""

    def __init__(self, model: Any, arm: str) -> None:
        self.chain = kinematics.read_chain(model, f"{arm}/base_link", f"{arm}/gripper")
        self._tip = np.array(TIP)

    def joints(self, start: jax.Array, goal: Pose) -> jax.Array:
        """Return joint angles (6,) rad near ``start`` with the fingertip midpoint at ``goal`` or as close as they can."""
        q = start
        for _ in range(SOLVER_STEPS):
            frames = kinematics.forward(self.chain, q)
            tip = frames.position + frames.rotation @ self._tip
            shift = _shorten(goal.position - tip, LARGEST_SHIFT)
            turn = _shorten(rotation.rotation_vector(goal.rotation @ frames.rotation.T), LARGEST_TURN)
            matrix = kinematics.jacobian(frames, tip)
            # 1 rad weighs as much as 0.2 m
            weights = jnp.array([1.0, 1.0, 1.0, 0.2, 0.2, 0.2])
            error = jnp.concatenate([shift, turn]) * weights
            q = q + kinematics.damped_least_squares(matrix * weights[:, None], error, DAMPING)
            q = jnp.clip(q, self.chain.low, self.chain.high)
        return q

    def action(self, view: arms.ArmView, goal: Pose, gripper: jax.Array) -> jax.Array:
        """Return the action (7,) that moves towards ``goal``; ``gripper`` in [-1, 1], positive opens.

        The change of the targets follows the measured error, so that it also makes up for what gravity pulls down.
        """
        q, speed = view.joint_pos[:6], view.joint_vel[:6]
        wanted = self.joints(q, goal)
        change = GAIN * (wanted - q - LEAD * speed) / arms.ACTION_SCALE
        return jnp.clip(jnp.concatenate([change, gripper[None]]), -1.0, 1.0)


def _shorten(vector: jax.Array, longest: float) -> jax.Array:
    """Return the vector, cut to a length."""
    length = jnp.sqrt(jnp.sum(vector**2) + 1e-12)
    return vector * jnp.minimum(1.0, longest / length)
