"""Joint-space servo of one ViperX arm: from a wanted pose of the fingertip midpoint to an action.

The wrist of the arm is spherical, so waist, shoulder and elbow follow from the wrist's centre in closed form; the
wrist's three joints begin unrolled and a few damped steps finish the solution. Solving for the whole way, not for the
next centimetres, keeps clear of the wrist's singularity, through which no straight way leads in time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.kinematics import jacobian
from s2rctl.robots.aloha.kinematics import GRIP
from s2rctl.tasks import arm as arms
from s2rctl.tasks import kinematics, rotation
from s2rctl.tasks.protocol import TaskSettings

SOLVER_STEPS = 4
DAMPING = 2e-4
LEAD = 0.12  # s, by which joint motion is looked ahead: about the lag of the joints behind their targets
GAIN = 0.4  # share of the joint error that one step's target change makes up; more swings when commands come late


class Pose(NamedTuple):
    """Wanted pose of the fingertip midpoint, in the arm's base frame; gripper x points out of the hand, y across."""

    position: jax.Array  # (3,) m
    rotation: jax.Array  # (3, 3)


class Servo:
    """Solver and joint controller of one arm."""

    def __init__(self, settings: TaskSettings, arm: str) -> None:
        self._scale = settings.section.action_scale
        self.chain = kinematics.read_chain(settings.model, f"{arm}/base_link", f"{arm}/gripper")
        offsets = self.chain.offsets
        self._tip = np.array(GRIP)
        self._shoulder = float(offsets[0][2] + offsets[1][2])  # m above the base
        self._upper = offsets[2][[0, 2]]  # (2,) m, shoulder to elbow in the arm's plane
        self._forearm = float(offsets[3][0] + offsets[4][0])  # m, elbow to wrist centre
        self._hand = offsets[5] + offsets[6] + self._tip  # (3,) m, wrist centre to fingertips

    def joints(self, goal: Pose) -> jax.Array:
        """Return joint angles (6,) rad with the fingertip midpoint at ``goal`` or as close as they can."""
        weights = jnp.array([1.0, 1.0, 1.0, 0.2, 0.2, 0.2])  # 1 rad weighs as much as 0.2 m

        def step(_: int, q: jax.Array) -> jax.Array:
            frames = self.chain.frames(q)
            tip = frames.position + frames.rotation @ self._tip
            turn = rotation.rotation_vector(goal.rotation @ frames.rotation.T)
            error = jnp.concatenate([goal.position - tip, turn]) * weights
            matrix = jacobian(frames, tip, jnp) * weights[:, None]
            change = kinematics.damped_least_squares(matrix, error, DAMPING)
            return jnp.clip(q + change, self.chain.low, self.chain.high)

        # A loop, not unrolled: it compiles several times faster.
        return jax.lax.fori_loop(0, SOLVER_STEPS, step, self._unrolled(goal))

    def action(self, view: arms.ArmView, goal: Pose, gripper: jax.Array) -> jax.Array:
        """Return the action (7,) that moves towards ``goal``; ``gripper`` in [-1, 1], positive opens.

        The change of the targets follows the measured error, so that it also makes up for what gravity pulls down, and
        the goal is moved by what the kinematics get wrong here, so that links may be longer and joints read otherwise.
        """
        error = self.joints(self._as_read(view, goal)) - view.joint_pos[:6] - LEAD * view.joint_vel[:6]
        change = GAIN * error / self._scale
        # One factor for all joints keeps the direction, and with it the path.
        change = change / jnp.maximum(jnp.max(jnp.abs(change)), 1.0)
        return jnp.concatenate([change, jnp.clip(gripper, -1.0, 1.0)[None]])

    def _as_read(self, view: arms.ArmView, goal: Pose) -> Pose:
        """Return the goal as the kinematics of the joints that are read would have it: where they put the hand now."""
        frames = self.chain.frames(view.joint_pos[:6])
        turn = frames.rotation @ view.gripper.T
        read = frames.position + frames.rotation @ self._tip
        return Pose(read + turn @ (goal.position - view.tool), turn @ goal.rotation)

    def _unrolled(self, goal: Pose) -> jax.Array:
        """Return joint angles (6,) with the wrist's centre where the goal needs it and forearm and wrist not rolled."""
        ahead = goal.rotation[:, 0]
        centre = goal.position - goal.rotation @ self._hand
        reach = jnp.sqrt(centre[0] ** 2 + centre[1] ** 2 + 1e-9)
        height = centre[2] - self._shoulder
        # Triangle of shoulder, elbow (above) and wrist.
        upper = float(np.hypot(*self._upper))
        side = jnp.sqrt(reach**2 + height**2)
        at_shoulder = _corner(upper, side, self._forearm)
        at_wrist = _corner(self._forearm, side, upper)
        elevation = jnp.arctan2(height, reach)
        shoulder = float(np.arctan2(self._upper[1], self._upper[0])) - elevation - at_shoulder
        slope = at_wrist - elevation  # of the forearm, down
        pitch = jnp.arcsin(jnp.clip(-ahead[2], -1.0, 1.0))
        zero = jnp.zeros(())
        q = jnp.stack([jnp.arctan2(centre[1], centre[0]), shoulder, slope - shoulder, zero, pitch - slope, zero])
        return jnp.clip(q, self.chain.low, self.chain.high)


def _corner(a: jax.Array | float, b: jax.Array | float, opposite: jax.Array | float) -> jax.Array:
    """Return the angle (rad) between the sides ``a`` and ``b`` of a triangle; a stretched one gives 0."""
    cosine = (a**2 + b**2 - opposite**2) / (2 * a * b)
    return jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
