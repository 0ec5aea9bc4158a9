"""What each axis of dynamics does to the fields of a model, world by world.

Factors and offsets come on top of what a task's own quantities made of the fields.
"""

from collections.abc import Callable

import mujoco
import numpy as np

from s2rctl.core.seeds import derived_seed
from s2rctl.env.anatomy import Anatomy
from s2rctl.physics.protocol import ModelEdits

_MESH = int(mujoco.mjtGeom.mjGEOM_MESH)


class Editing:
    """Fields of B worlds that axes change one after the other; fields that none touches are as they were."""

    def __init__(self, anatomy: Anatomy, edits: ModelEdits, worlds: int, repeat: int) -> None:
        self.anatomy = anatomy
        self.model = anatomy.model
        self.worlds = worlds
        self.repeat = repeat
        self.fields: dict[str, np.ndarray] = dict(edits)
        self._own: set[str] = set()

    def of(self, field: str) -> np.ndarray:
        """Return the field of all worlds (B, *field shape), to be written to."""
        if field not in self._own:
            given = self.fields.get(field)
            whole = np.repeat(np.asarray(getattr(self.model, field), float)[None], self.worlds, axis=0)
            self.fields[field] = whole if given is None else np.array(given, float)
            self._own.add(field)
        return self.fields[field]

    def scale(self, field: str, rows: np.ndarray, factors: np.ndarray, columns: slice = slice(None)) -> None:
        """Multiply rows (and columns) of a field by each world's factor (B,)."""
        target = self.of(field)
        if target.ndim == 2:
            target[:, rows] *= factors[:, None]
        else:
            target[:, rows, columns] *= factors[:, None, None]

    def pattern(self, name: str, count: int) -> np.ndarray:
        """Return (B, count) numbers in [-1, 1] that belong to the worlds' numbers; repeated worlds share them."""
        generator = np.random.default_rng(derived_seed(0, "dynamics", name))
        share = generator.uniform(-1.0, 1.0, (self.worlds // self.repeat, count))
        return np.tile(share, (self.repeat, 1))


Edit = Callable[[Editing, np.ndarray], None]
"""Change the fields by each world's value (B,)."""


def friction(editing: Editing, values: np.ndarray) -> None:
    """Sliding friction of all geoms."""
    editing.scale("geom_friction", np.arange(editing.model.ngeom), values, slice(0, 1))


def torsional_friction(editing: Editing, values: np.ndarray) -> None:
    """Torsional friction of the geoms that have it; MuJoCo takes the larger one of the two that touch."""
    editing.scale("geom_friction", editing.anatomy.touching, values, slice(1, 2))


def contact_softness(editing: Editing, values: np.ndarray) -> None:
    """Time constant of contacts."""
    editing.scale("geom_solref", editing.anatomy.touching, values, slice(0, 1))


def mass(editing: Editing, values: np.ndarray) -> None:
    """Mass and inertia of objects."""
    for field in ("body_mass", "body_inertia"):
        editing.scale(field, editing.anatomy.objects, values)


def inertia(editing: Editing, values: np.ndarray) -> None:
    """Inertia of objects."""
    editing.scale("body_inertia", editing.anatomy.objects, values)


def centre_of_mass(editing: Editing, values: np.ndarray) -> None:
    """Centre of mass of objects, m, in directions uniform on the sphere; inertia about it is kept.

    Height and longitude of such directions are uniform (Archimedes' hat box).
    """
    rows = editing.anatomy.objects
    height, turn = np.split(editing.pattern("centre_of_mass", 2 * len(rows)), 2, axis=1)
    across = np.sqrt(1.0 - height**2)
    way = np.stack([across * np.cos(np.pi * turn), across * np.sin(np.pi * turn), height], axis=-1)
    editing.of("body_ipos")[:, rows] += values[:, None, None] * way


def object_size(editing: Editing, values: np.ndarray) -> None:
    """Size of objects: their geoms, and where these and their sites and parts are."""
    m, bodies = editing.model, editing.anatomy.objects
    geoms = editing.anatomy.geoms
    editing.scale("geom_size", geoms[m.geom_type[geoms] != _MESH], values)
    editing.scale("geom_pos", geoms, values)
    editing.scale("site_pos", np.flatnonzero(np.isin(m.site_bodyid, bodies)), values)


def tolerance(editing: Editing, values: np.ndarray) -> None:
    """Half sizes, m, of what fits into another object, on all axes but its longest."""
    sizes = editing.of("geom_size")
    for geom in editing.anatomy.inserts:
        thin = np.arange(3) != int(np.argmax(editing.model.geom_size[geom]))
        sizes[:, geom, thin] -= values[:, None]


def arm_mass(editing: Editing, values: np.ndarray) -> None:
    """Mass and inertia of the arms' links."""
    for field in ("body_mass", "body_inertia"):
        editing.scale(field, editing.anatomy.arms, values)


def links(editing: Editing, values: np.ndarray) -> None:
    """Where each link begins on the one before."""
    editing.scale("body_pos", editing.anatomy.arms, values)


def joint_zero(editing: Editing, values: np.ndarray) -> None:
    """Turn each link against its joint, rad, so that the joint's coordinate reads that much more than its angle.

    The link's frame is turned back by the offset about the joint's axis: q = b * r(axis, -offset), and where the axis
    does not pass through the frame's origin, the origin moves so that the axis stays where it is.
    """
    m, joints = editing.model, editing.anatomy.hinges
    offsets = values[:, None] * editing.pattern("joint_zero", len(joints))
    turned, places = editing.of("body_quat"), editing.of("body_pos")
    for column, joint in enumerate(joints):
        body, axis, anchor = int(m.jnt_bodyid[joint]), m.jnt_axis[joint], m.jnt_pos[joint]
        cosine, sine = np.cos(offsets[:, column] / 2), -np.sin(offsets[:, column] / 2)
        old = turned[:, body].copy()
        turn = np.concatenate([cosine[:, None], sine[:, None] * axis], axis=1)
        new = _product(old, turn)
        moved = offsets[:, column] != 0  # exactly as it was elsewhere: products round
        turned[moved, body] = new[moved]
        places[:, body] += _rotated(old, anchor) - _rotated(turned[:, body], anchor)


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the products (B, 4) of quaternions."""
    w1, v1, w2, v2 = first[:, :1], first[:, 1:], second[:, :1], second[:, 1:]
    w = w1 * w2 - np.sum(v1 * v2, axis=1, keepdims=True)
    return np.concatenate([w, w1 * v2 + w2 * v1 + np.cross(v1, v2)], axis=1)


def _rotated(quaternions: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the vector (3,) turned by each unit quaternion (B, 4)."""
    w, v = quaternions[:, :1], quaternions[:, 1:]
    across = np.cross(v, vector[None])
    return vector + 2.0 * (w * across + np.cross(v, across))


def damping(editing: Editing, values: np.ndarray) -> None:
    """Damping of all joints."""
    editing.scale("dof_damping", np.arange(editing.model.nv), values)


def finger_damping(editing: Editing, values: np.ndarray) -> None:
    """Damping of the fingers."""
    editing.scale("dof_damping", editing.anatomy.fingers, values)


def armature(editing: Editing, values: np.ndarray) -> None:
    """Rotor inertia of all joints."""
    editing.scale("dof_armature", np.arange(editing.model.nv), values)


def friction_loss(editing: Editing, values: np.ndarray) -> None:
    """Dry friction of all joints."""
    editing.scale("dof_frictionloss", np.arange(editing.model.nv), values)


def gain(editing: Editing, values: np.ndarray) -> None:
    """Position gain of all motors."""
    every = np.arange(editing.model.nu)
    editing.scale("actuator_gainprm", every, values, slice(0, 1))
    editing.scale("actuator_biasprm", every, values, slice(1, 2))


def gravity_sag(editing: Editing, values: np.ndarray) -> None:
    """Gravity on the arms' links that nothing compensates, so that what gives way most does so by this much more, rad.

    The share s of gravity that a link feels more makes the torque s G(q), which a motor answers with the deflection
    s G(q) / gain: s = value / max |G / gain| at home. Dry friction may hold some of it.
    """
    share = values / editing.anatomy.give
    editing.of("body_gravcomp")[:, editing.anatomy.arms] -= share[:, None]


def gripper_speed(editing: Editing, values: np.ndarray) -> None:
    """Let fingers move f times as fast under the same force.

    If x(t) solves m x'' + d x' + k x = 0, x(f t) solves it with m / f² and d / f.
    """
    _moving_mass(editing, 1.0 / values**2)
    editing.scale("dof_damping", editing.anatomy.fingers, 1.0 / values)


def gripper_force(editing: Editing, values: np.ndarray) -> None:
    """Let fingers press f times as hard at the same speed: f m x'' + f d x' + f k x."""
    _moving_mass(editing, values)
    editing.scale("dof_damping", editing.anatomy.fingers, values)
    editing.scale("actuator_gainprm", editing.anatomy.grippers, values, slice(0, 1))
    editing.scale("actuator_biasprm", editing.anatomy.grippers, values, slice(1, 3))


def _moving_mass(editing: Editing, factors: np.ndarray) -> None:
    """Multiply what a finger's motor moves, rotor and finger together, by changing the rotor alone."""
    m, rows = editing.model, editing.anatomy.fingers
    finger = m.dof_M0[rows] - m.dof_armature[rows]
    rotor = editing.of("dof_armature")
    rotor[:, rows] = np.maximum(rotor[:, rows] + (rotor[:, rows] + finger) * (factors[:, None] - 1.0), 0.0)
