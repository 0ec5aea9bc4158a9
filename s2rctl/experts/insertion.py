"""Scripted expert of the insertion task: lift both objects, bring the peg before the socket, align, push.

Stateless. Both arms share the motion: the socket goes to its place in the middle, the peg follows the socket as it is.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.experts.pick import pick
from s2rctl.experts.servo import Pose, Servo
from s2rctl.tasks import arm as arms
from s2rctl.tasks import rotation
from s2rctl.tasks.peg_insertion import REST_HEIGHT, TARGETS
from s2rctl.tasks.protocol import TaskSettings, World

HALF = 0.048  # m, half length of peg and socket
MEETING = (0.0, 0.0, 0.22)  # m, world: between socket and peg
FREEDOM = (0.02, 0.03, 0.05)  # m, ± that they may meet elsewhere, where both have the shortest way
STANDOFF = 0.02  # m between peg end and entrance while they are not aligned
FREE = 0.004  # m of sideways error that may enter; the play in the socket is 0.008
BAND = 0.005  # m of further error over which the peg is sent further out, up to the standoff
DEEP = 0.006  # m from the socket's end that the peg is sent: 2 mm behind the back wall, 4 mm inside success. A policy
# that imitates this lightly presses against the wall, where 1.3 mm before success left it hovering about the limit: of
# 75 episodes that failed by the end 42 had been there. Further in, the peg slides in the hand: the grip holds 6 N at
# most, 3 N at friction 0.5, and in drawn dynamics 234 of 256 bear 4 mm behind the wall (all 256 bear 2 mm).
OPENING = 0.012  # m of sideways error at which the peg is certainly not inside
FELT_AT = 0.03  # m from the socket's end that the peg's end is sent while it feels for the wall; nearer to the entrance
# the rim is felt instead: of 96, one in ten took it for the wall at 6 cm, and 97.5 % are within 1 mm of the wall at 3
FEELING = 0.012  # m below where it is that it is sent for that: it goes on as it sinks, and arrives in 38 steps, not 47
TURN_WEIGHT = 0.05  # m per rad: how much misalignment counts as sideways error


def make(settings: TaskSettings) -> Callable[[World], jax.Array]:
    """Return the expert for the insertion scene's model and the profile's action scale."""
    return _Expert(settings).act


def make_by_touch(settings: TaskSettings) -> Callable[[World, jax.Array], jax.Array]:
    """Return the expert that feels for the wall where no camera sees (``Task.blind``), and then goes on as usual.

    It needs no such thing, but who learns from it cannot know where the peg is inside: kinematics are 5 mm off. The
    wall says it. So the peg goes down until the learner has ``felt`` () the wall, and from there up by the play.
    """
    return _Expert(settings).feel


class _Expert:
    """Both arms' servos and the motion that they share."""

    def __init__(self, settings: TaskSettings) -> None:
        self._left, self._right = arms.read_arm(settings.model, "left"), arms.read_arm(settings.model, "right")
        self._servos = Servo(settings, "left"), Servo(settings, "right")

    def act(self, world: World) -> jax.Array:
        """Return the action of a world whose objects are seen."""
        socket, peg = self._views(world)
        (left, right), (left_servo, right_servo) = (self._left, self._right), self._servos
        lift = jnp.concatenate(
            [
                pick(left_servo, socket, arms.in_base(left, jnp.array(TARGETS["socket"])), REST_HEIGHT["socket"]),
                pick(right_servo, peg, arms.in_base(right, jnp.array(TARGETS["peg"])), REST_HEIGHT["peg"]),
            ]
        )
        insert = self._to(socket, peg, meet(left, right, socket, peg, world.signals.peg_end_in_socket))
        return jnp.where(world.state.switched, insert, lift)

    def feel(self, world: World, felt: jax.Array) -> jax.Array:
        """Return the action of a world whose peg is inside: down, until the wall was ``felt`` ()."""
        socket, peg = self._views(world)
        socket_pose, peg_pose = meet(self._left, self._right, socket, peg, world.signals.peg_end_in_socket)
        socket_turn = self._left.base_rotation @ socket.rotation
        here = arms.in_world(self._left, socket.position)
        # Down from wherever it is: it must not show in what it is told that the wall is near.
        height = world.signals.peg_end_in_socket[2]
        lower = here + socket_turn @ jnp.stack([FELT_AT, 0.0, height - FEELING])
        place = jnp.where(felt, peg_pose.position, arms.in_base(self._right, lower))
        return self._to(socket, peg, (socket_pose, peg_pose._replace(position=place)))

    def _views(self, world: World) -> tuple[arms.ArmView, arms.ArmView]:
        return (
            arms.view(self._left, world.signals, "socket", world.ctrl[:7]),
            arms.view(self._right, world.signals, "peg", world.ctrl[7:]),
        )

    def _to(self, socket: arms.ArmView, peg: arms.ArmView, wanted: tuple[Pose, Pose]) -> jax.Array:
        """Return the action that brings the held objects to poses in their arms' base frames."""
        closed, (left_servo, right_servo) = jnp.asarray(-1.0), self._servos
        return jnp.concatenate(
            [
                left_servo.action(socket, held_at(socket, wanted[0]), closed),
                right_servo.action(peg, held_at(peg, wanted[1]), closed),
            ]
        )


def held_at(view: arms.ArmView, wanted: Pose) -> Pose:
    """Return the gripper pose that puts the held object at ``wanted``, the grip kept as it is."""
    to_gripper = view.rotation.T @ view.gripper
    offset = view.rotation.T @ (view.tool - view.position)
    return Pose(wanted.position + wanted.rotation @ offset, wanted.rotation @ to_gripper)


def meet(
    left: arms.Arm, right: arms.Arm, socket: arms.ArmView, peg: arms.ArmView, peg_end: jax.Array
) -> tuple[Pose, Pose]:
    """Return the wanted poses of socket and peg, each in its arm's base frame; ``peg_end`` (3,) m as in the signals."""
    socket_turn = left.base_rotation @ socket.rotation  # world
    peg_turn = right.base_rotation @ peg.rotation
    half_turn = np.diag([-1.0, -1.0, 1.0])
    facing = socket_turn @ half_turn  # the peg's wanted rotation: its x against the socket's
    twist = rotation.rotation_vector(facing @ peg_turn.T)
    off = jnp.sqrt(jnp.sum(peg_end[1:] ** 2) + 1e-12)
    aside = off + TURN_WEIGHT * jnp.sqrt(jnp.sum(twist**2) + 1e-12)
    # Wanted peg_end[0]: beyond the end when aligned, before the entrance when not.
    waiting = 2 * HALF + STANDOFF
    free = jnp.where(peg_end[0] < 2 * HALF - 0.01, OPENING, FREE)  # inside, the walls guide it
    depth = DEEP + jnp.clip((aside - free) / BAND, 0.0, 1.0) * (waiting - DEEP)
    # A peg beside the socket first goes back, along the axis, and only then sideways.
    beside = (peg_end[0] < 2 * HALF) & (off > OPENING)
    depth = jnp.where(beside, waiting, depth)
    # The socket gives way half of what is still open, so that entrance and peg end meet in the middle.
    here, there = arms.in_world(left, socket.position), arms.in_world(right, peg.position)
    freedom = jnp.array(FREEDOM)
    middle = jnp.array(MEETING) + jnp.clip(0.5 * (here + there) - jnp.array(MEETING), -freedom, freedom)
    outside = jnp.maximum(peg_end[0] - 2 * HALF, 0.0)
    socket_place = middle - jnp.array([HALF + 0.5 * outside, 0.0, 0.0])
    kept = socket_turn[:, 1:] @ peg_end[1:]
    peg_place = here + socket_turn[:, 0] * depth + jnp.where(beside, kept, 0.0)
    return (
        Pose(arms.in_base(left, socket_place), jnp.asarray(left.base_rotation.T)),
        Pose(arms.in_base(right, peg_place), right.base_rotation.T @ facing),
    )
