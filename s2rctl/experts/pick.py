"""Scripted expert of the pick task: come from above along the box, close, carry.

Stateless: what to do follows from where gripper and box are, so that any state can be labelled.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.experts.servo import Pose, Servo
from s2rctl.tasks import arm as arms
from s2rctl.tasks.protocol import TaskSettings, World

Expert = Callable[[World], jax.Array]

PITCH = (48.0, 44.0)  # deg of the gripper below the horizontal while it grips: for thin and for thick objects.
# A flat hand needs fewer steps of the slow wrist. A box as wide as the gap must be met straight, and the steeper the
# hand, the straighter the wrist, near which the last degree of yaw costs half a turn of roll.
THICK = (0.02, 0.03)  # m, half widths between which the pitch changes
CLEARANCE = 0.02  # m that a misaligned gripper stays above the top of the object
OPENING = 0.0283  # m, half of the gap between the open fingertips
SLOPE = 6.0  # clearance per sideways error beyond what the gap allows
ASKEW = 3.0  # deg that a gripper may be turned against an object that leaves it WIDE play
WIDE = 0.008  # m
FLATTER = 4.0  # rad/m by which the gripper is flatter above the object, as the forearm is: the wrist stays bent one way
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
    play = OPENING - half_width
    # Near the wrist's singularity a little yaw costs much roll: not more of it than the gap needs.
    ray = jnp.arctan2(view.grip[1], view.grip[0])
    slack = np.radians(ASKEW) * jnp.clip(play / WIDE, 0.0, 1.0)
    off = jnp.arctan2(along[1], along[0]) - ray
    yaw = ray + off - jnp.clip(off, -slack, slack)
    pitch = jnp.radians(jnp.interp(jnp.asarray(half_width), jnp.array(THICK), jnp.array(PITCH)))
    # Sideways: across the gripper's wanted y axis and along the box, both in the table's plane.
    ahead, across = jnp.stack([jnp.cos(yaw), jnp.sin(yaw)]), jnp.stack([-jnp.sin(yaw), jnp.cos(yaw)])
    error = (view.tool - view.grip)[:2]
    aside = jnp.abs(error @ across)
    beside = jnp.abs(error @ ahead)
    tilt = jnp.abs(jnp.arcsin(jnp.clip(view.gripper[2, 1], -1.0, 1.0)))
    turn = jnp.abs(jnp.arcsin(jnp.clip(view.gripper[:2, 0] @ across, -1.0, 1.0)))
    miss = jnp.maximum(jnp.maximum(aside, 0.5 * beside), 0.05 * jnp.maximum(tilt, turn))
    clearance = jnp.clip(SLOPE * (miss - 0.6 * jnp.maximum(play, 0.002)), 0.0, half_width + CLEARANCE)
    wanted = gripping(yaw, pitch - FLATTER * clearance)
    return Pose(view.grip + jnp.array([0.0, 0.0, 1.0]) * clearance, wanted)


def gripping(yaw: jax.Array, pitch: jax.Array) -> jax.Array:
    """Return the gripper rotation (3, 3): x ahead along ``yaw`` and down by ``pitch`` (rad), y level."""
    c, s = jnp.cos(yaw), jnp.sin(yaw)
    ahead = jnp.stack([c, s, jnp.zeros(())])
    across = jnp.stack([-s, c, jnp.zeros(())])
    x = jnp.cos(pitch) * ahead - jnp.sin(pitch) * jnp.array([0.0, 0.0, 1.0])
    return jnp.stack([x, across, jnp.cross(x, across)], axis=1)
