"""Scripted expert of the pick task: come from above along the box, close, carry.

Stateless: what to do follows from where gripper and box are, so that any state can be labelled.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from s2rctl.experts.servo import Pose, Servo
from s2rctl.tasks import arm as arms
from s2rctl.tasks.protocol import TaskSettings, World

Expert = Callable[[World], jax.Array]

PITCH = (48.0, 56.0)  # deg of the gripper below the horizontal while it grips: for thin and for thick objects.
# A flat hand needs fewer steps of the slow wrist, a steep one gets more reliably over a box as wide as the gap.
THICK = (0.02, 0.03)  # m, half widths between which the pitch changes
CLEARANCE = 0.02  # m that a misaligned gripper stays above the top of the object
OPENING = 0.0283  # m, half of the gap between the open fingertips
SLOPE = 6.0  # clearance per sideways error beyond what the gap allows
HOLDING = 1.0  # N per finger: enough to carry
CARRY_ERROR = 0.03  # m, grip error of a box that is still in the hand
CLOSE_ERROR = 0.012  # m, grip error at which the gripper closes


def make(settings: TaskSettings) -> Expert:
    """Return the expert for the pick scene's model and the profile's action scale."""
    arm, servo = arms.read_arm(settings.model, "left"), Servo(settings, "left")

    def act(world: World) -> jax.Array:
        view = arms.view(arm, world.signals, "box", world.ctrl)
        return pick(servo, view, world.state.target, world.params["box_half_width"])

    return act


def pick(servo: Servo, view: arms.ArmView, target: jax.Array, half_width: jax.Array | float) -> jax.Array:
    """Return the action (7,) of one arm that brings its object, unrotated, to ``target`` (3,) m in its base frame.

    ``half_width`` (m) is the object's across the gripper, and its half height.
    """
    held = arms.pinched(view, HOLDING) & (view.grip_error < CARRY_ERROR)
    near = view.grip_error < CLOSE_ERROR
    goal = jax.tree.map(lambda a, b: jnp.where(held, a, b), carry(view, target), approach(view, half_width))
    return servo.action(view, goal, jnp.where(held | near, -1.0, 1.0))


def carry(view: arms.ArmView, target: jax.Array) -> Pose:
    """Return the gripper pose that puts the held object at the target, the grip kept as it is."""
    to_gripper = view.rotation.T @ view.gripper
    offset = view.rotation.T @ (view.tool - view.position)
    return Pose(target + offset, to_gripper)


def approach(view: arms.ArmView, half_width: jax.Array | float) -> Pose:
    """Return the gripper pose on the way to the grip point: above it by as much as the gripper is misaligned."""
    along = view.rotation[:, 0] * jnp.where(view.rotation[0, 0] < 0, -1.0, 1.0)
    yaw = jnp.arctan2(along[1], along[0])
    wanted = gripping(yaw, jnp.radians(jnp.interp(jnp.asarray(half_width), jnp.array(THICK), jnp.array(PITCH))))
    # Sideways: across the gripper's wanted y axis and along the box, both in the table's plane.
    error = (view.tool - view.grip)[:2]
    aside = jnp.abs(error @ wanted[:2, 1])
    beside = jnp.abs(error @ jnp.stack([jnp.cos(yaw), jnp.sin(yaw)]))
    twist = jnp.arccos(jnp.clip(0.5 * (jnp.sum(wanted * view.gripper) - 1), -1.0, 1.0))
    free = 0.6 * jnp.maximum(OPENING - half_width, 0.002)
    miss = jnp.maximum(jnp.maximum(aside, 0.5 * beside), 0.05 * twist)
    clearance = jnp.clip(SLOPE * (miss - free), 0.0, half_width + CLEARANCE)
    return Pose(view.grip + jnp.array([0.0, 0.0, 1.0]) * clearance, wanted)


def gripping(yaw: jax.Array, pitch: jax.Array) -> jax.Array:
    """Return the gripper rotation (3, 3): x ahead along ``yaw`` and down by ``pitch`` (rad), y level."""
    c, s = jnp.cos(yaw), jnp.sin(yaw)
    ahead = jnp.stack([c, s, jnp.zeros(())])
    across = jnp.stack([-s, c, jnp.zeros(())])
    x = jnp.cos(pitch) * ahead - jnp.sin(pitch) * jnp.array([0.0, 0.0, 1.0])
    return jnp.stack([x, across, jnp.cross(x, across)], axis=1)
