"""One ViperX-300 arm and the object it handles: what it measures, how well it grips, what a teacher sees of both.

All positions are in the arm's own base frame, so that the left and the right arm are the same to a policy. Figures:
the reference Aloha set-up (MuJoCo Playground PR 76).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.core.spatial import to_matrix
from s2rctl.robots.aloha.kinematics import ARM_JOINTS
from s2rctl.robots.aloha.specification import ARM_HOME, FINGER_HOME
from s2rctl.scene.sizes import TABLE_TOP
from s2rctl.schema.simulation import Noise
from s2rctl.tasks import rotation
from s2rctl.tasks.rewards import finite

JOINTS = ARM_JOINTS[:6]
TARGETS = (*JOINTS, "gripper")
ACTIONS = len(TARGETS)
HOME = ARM_HOME  # rad
OPEN = FINGER_HOME  # m, finger position and target of an open gripper

GRASP_FORCE = 2.5  # N per finger
GRASP_ANGLE = np.radians(75.0)  # between a finger's push and the direction to the other finger
GRASP_ERROR = 0.015  # m from the fingertip midpoint to the grip point


@dataclass(frozen=True)
class Arm:
    """Constants of one arm, read from the model."""

    name: str
    base_position: np.ndarray  # (3,) m, world
    base_rotation: np.ndarray  # (3, 3)
    low: np.ndarray  # (7,) lowest targets, rad (gripper m)
    high: np.ndarray  # (7,)


def read_arm(model: Any, name: str) -> Arm:
    """Read the arm ``left`` or ``right`` from a scene's model; raise RunError when it stands on a moving body."""
    base = model.body(f"{name}/base_link")
    if int(base.parentid[0]) != 0:
        raise RunError(f"the base of arm '{name}' is not fixed to the world", "check the scene")
    limits = np.stack([model.actuator(f"{name}/{target}").ctrlrange for target in TARGETS])
    return Arm(name, np.array(base.pos), to_matrix(base.quat), limits[:, 0], limits[:, 1])


def grip_offset(model: Any, thing: str) -> np.ndarray:
    """Return where the object ``thing`` is to be gripped, (3,) m in its own frame."""
    return np.array(model.site(f"{thing}_grip").pos)


class ArmView(NamedTuple):
    """What is known of one arm and its object in one world, in the arm's base frame."""

    joint_pos: jax.Array  # (8,) rad; the two fingers m
    joint_vel: jax.Array  # (8,) rad/s; the two fingers m/s
    command: jax.Array  # (7,) targets in force
    tips: jax.Array  # (2, 3) m, left and right fingertip
    gripper: jax.Array  # (3, 3) rotation
    position: jax.Array  # (3,) m, the object
    rotation: jax.Array  # (3, 3)
    linvel: jax.Array  # (3,) m/s
    angvel: jax.Array  # (3,) rad/s
    grip: jax.Array  # (3,) m, where the object should be held
    push: jax.Array  # (2, 3) N, what each finger presses on the object with
    table: jax.Array  # () bool, the gripper touches the table

    @property
    def tool(self) -> jax.Array:
        """Return the midpoint of the fingertips (3,) m."""
        return self.tips.mean(0)

    @property
    def grip_error(self) -> jax.Array:
        """Return the distance (m) of the fingertip midpoint from the grip point."""
        return _norm(self.tool - self.grip)


def _norm(vector: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum(vector**2) + 1e-12)


def view(arm: Arm, signals: Any, thing: str, ctrl: jax.Array) -> ArmView:
    """Return the view of ``arm`` on the object ``thing``; ``ctrl`` (7,) are the arm's targets in force."""
    own = lambda name: getattr(signals, f"{arm.name}_{name}")  # noqa: E731
    of = lambda name: getattr(signals, f"{thing}_{name}")  # noqa: E731
    # Rows: left finger top, bottom, right finger top, bottom; columns: found, force (contact frame), normal (world).
    contacts = finite(own(f"{thing}_contact")).reshape(4, 7)
    strength = jnp.where(contacts[:, 0] > 0, jnp.maximum(contacts[:, 1], 0.0), 0.0)
    push = (strength[:, None] * contacts[:, 4:7]).reshape(2, 2, 3).sum(1) @ arm.base_rotation
    return ArmView(
        joint_pos=own("joint_pos"),
        joint_vel=own("joint_vel"),
        command=ctrl,
        tips=own("fingertip_pos").reshape(2, 3),
        gripper=to_matrix(own("gripper_quat"), jnp),
        position=of("pos"),
        rotation=to_matrix(of("quat"), jnp),
        linvel=of("linvel"),
        angvel=of("angvel"),
        grip=of("grip_pos"),
        push=push,
        table=jnp.any(own("table_contact") > 0),
    )


def pressure(view: ArmView) -> jax.Array:
    """Return the force (2,) in N that each finger presses the object with."""
    return jnp.sqrt(jnp.sum(view.push**2, axis=1) + 1e-12)


def pinched(view: ArmView, force: float = GRASP_FORCE) -> jax.Array:
    """Return whether both fingers press with more than ``force`` N, each towards the other finger."""
    across = view.tips[1] - view.tips[0]
    cosine = jnp.abs(view.push @ across) / (pressure(view) * _norm(across))
    return jnp.all((pressure(view) > force) & (cosine > np.cos(GRASP_ANGLE)))


def grasped(view: ArmView) -> jax.Array:
    """Return whether the object is pinched at its grip point."""
    return pinched(view) & (view.grip_error < GRASP_ERROR)


def observe_arm(view: ArmView, target: jax.Array) -> jax.Array:
    """Return the 53 numbers of an arm and its object; ``target`` (3,) m is where the object goes, unrotated."""
    measured = view.joint_pos[jnp.array((0, 1, 2, 3, 4, 5, 6))]
    return finite(
        jnp.concatenate(
            [
                view.joint_pos,
                view.joint_vel,
                view.linvel,
                view.angvel,
                view.gripper[1:].ravel(),
                view.rotation[1:].ravel(),
                view.tool - view.grip,
                target - view.position,
                (jnp.eye(3) - view.rotation)[:2].ravel(),
                view.command - measured,
            ]
        )
    )


def disturb(view: ArmView, noise: Noise, key: jax.Array) -> ArmView:
    """Return the view with uniform measurement noise; fingers are measured without.

    One draw for all of it: on a CPU that is several times faster than a key and a draw for each quantity.
    """
    sizes = (6, 6, 3, 3, 3, 3, 3, 3, 3)
    draws = jax.random.uniform(key, (sum(sizes),), minval=-1.0, maxval=1.0)
    joint_pos, joint_vel, place, linvel, angvel, grip, other, gripper, turn = jnp.split(draws, np.cumsum(sizes)[:-1])
    return view._replace(
        joint_pos=view.joint_pos.at[:6].add(noise.joint_pos * joint_pos),
        joint_vel=view.joint_vel.at[:6].add(noise.joint_vel * joint_vel),
        position=view.position + noise.object_pos * place,
        linvel=view.linvel + noise.object_linvel * linvel,
        angvel=view.angvel + noise.object_angvel * angvel,
        grip=view.grip + 0.5 * noise.gripper_offset * (grip - other),
        gripper=rotation.disturb(gripper, view.gripper, float(np.radians(noise.gripper_angle_deg))),
        rotation=rotation.disturb(turn, view.rotation, float(np.radians(noise.object_angle_deg))),
    )


class Fan(NamedTuple):
    """Where objects lie before an arm at the start."""

    near: float  # m from the base
    far: float  # m
    angle_deg: float  # ± about the base's forward axis
    yaw_deg: float  # ± about the ray from the base


FAN_DRAWS = 3
"""Numbers that one pose in a fan is made of."""


def fan_pose(arm: Arm, draws: jax.Array, fan: Fan, height: jax.Array | float) -> jax.Array:
    """Return an object's pose (7,) on the table in a fan before the arm, its centre ``height`` m above the table.

    ``draws`` are FAN_DRAWS numbers of a uniform distribution on [-1, 1]. One draw for everything that a reset needs is
    five times as fast as keys for its parts.
    """
    distance = 0.5 * (fan.near + fan.far) + 0.5 * (fan.far - fan.near) * draws[0]
    ray = float(np.radians(fan.angle_deg)) * draws[1]
    offset = arm.base_rotation @ jnp.stack([distance * jnp.cos(ray), distance * jnp.sin(ray), jnp.zeros(())])
    place = jnp.stack([arm.base_position[0] + offset[0], arm.base_position[1] + offset[1], TABLE_TOP + height])
    turn = ray + float(np.radians(fan.yaw_deg)) * draws[2]
    base_yaw = float(np.arctan2(arm.base_rotation[1, 0], arm.base_rotation[0, 0]))
    return jnp.concatenate([place, rotation.about_z(turn + base_yaw)])


def home_pose(turn: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return joint positions (8,) and equal targets (7,): home with an open gripper, the waist ``turn`` rad off."""
    joints = jnp.array(HOME).at[0].add(turn)
    return jnp.concatenate([joints, jnp.full(2, OPEN)]), jnp.concatenate([joints, jnp.full(1, OPEN)])


def move(arm: Arm, ctrl: jax.Array, action: jax.Array, scale: float) -> jax.Array:
    """Return new targets (7,): ``action`` in [-1, 1] times ``scale`` added to those in force, inside their limits."""
    return jnp.clip(ctrl + scale * jnp.clip(action, -1.0, 1.0), arm.low, arm.high)


def in_base(arm: Arm, point: jax.Array) -> jax.Array:
    """Return a world point (3,) m in the arm's base frame."""
    return (point - arm.base_position) @ arm.base_rotation


def in_world(arm: Arm, point: jax.Array) -> jax.Array:
    """Return a point (3,) m of the arm's base frame in the world frame."""
    return arm.base_rotation @ point + arm.base_position
