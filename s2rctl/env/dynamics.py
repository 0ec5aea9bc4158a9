"""Dynamics that are not ours, as data: one value per world and axis, and what follows from it.

Most axes change fields of the model, on every backend alike (``dynamic_edits``); ``latency`` and ``jitter`` delay
commands (``lateness``). Ranges are the profile's (``schema/dynamics.py``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.core.seeds import derived_seed
from s2rctl.core.tables import suggestion
from s2rctl.env import dynamics_axes as axes
from s2rctl.env.anatomy import Anatomy
from s2rctl.env.dynamics_axes import Edit, Editing
from s2rctl.physics.protocol import ModelEdits
from s2rctl.schema.dynamics import KINDS, Dynamics, Kind
from s2rctl.tasks.protocol import Task

Draws = Mapping[str, np.ndarray]
"""Axis -> (B,) float64, one value per world; an axis that is missing is nominal everywhere."""


@dataclass(frozen=True)
class Axis:
    """One row of the table: what the values mean, what they change, and where they can change anything."""

    kind: Kind
    fields: tuple[str, ...]  # of the model; none: commands are late instead
    has: Callable[[Anatomy], bool]  # whether there is something to change
    needs: str  # in words
    edit: Edit | None = None
    movable: bool = False  # it needs the model built for it (scene.pieces.make_movable)

    def applies(self, model: mujoco.MjModel, task: Task) -> bool:
        """Return whether the axis can change anything in this model and task."""
        return self.has(Anatomy(model, task))


class Lateness(NamedTuple):
    """How much later than the profile says commands are, in control steps, (B,) each."""

    latency: np.ndarray
    jitter: np.ndarray

    @property
    def steps(self) -> int:
        """The largest number of whole steps that a command can be late by."""
        return int(np.ceil(np.max(self.latency + self.jitter)))


def _row(
    name: str,
    fields: tuple[str, ...],
    has: Callable[[Anatomy], bool],
    needs: str,
    edit: Edit | None = None,
    movable: bool = False,
) -> Axis:
    return Axis(KINDS[name], fields, has, needs, edit, movable)


_OBJECT, _ARM, _GRIPPER = "an object that is handled", "an arm with joints", "a gripper that acts"
_CONTACT = "geoms that touch"


def _objects(a: Anatomy) -> bool:
    return a.objects.size > 0


def _arms(a: Anatomy) -> bool:
    return a.arms.size > 0


def _fingers(a: Anatomy) -> bool:
    return a.fingers.size > 0


def _contacts(a: Anatomy) -> bool:
    return a.touching.size > 0


def _always(a: Anatomy) -> bool:
    return True


_MASS = ("body_mass", "body_inertia")

AXES: Mapping[str, Axis] = {
    "friction": _row("friction", ("geom_friction",), _contacts, _CONTACT, axes.friction),
    "torsional_friction": _row(
        "torsional_friction", ("geom_friction",), lambda a: a.turning.size > 0, "contacts that resist turning",
        axes.torsional_friction,
    ),
    "contact_softness": _row("contact_softness", ("geom_solref",), _contacts, _CONTACT, axes.contact_softness),
    "mass": _row("mass", _MASS, _objects, _OBJECT, axes.mass),
    "inertia": _row("inertia", ("body_inertia",), _objects, _OBJECT, axes.inertia),
    "centre_of_mass": _row(
        "centre_of_mass", ("body_ipos",), lambda a: _objects(a) and not np.any(a.model.body_simple[a.objects]),
        "an object that is handled, in a scene that can be built movable", axes.centre_of_mass, movable=True,
    ),
    "object_size": _row(
        "object_size", ("geom_size", "geom_pos", "site_pos"), _objects, _OBJECT, axes.object_size,
    ),
    "tolerance": _row(
        "tolerance", ("geom_size",), lambda a: a.inserts.size > 0, "an object that fits into another", axes.tolerance,
    ),
    "arm_mass": _row("arm_mass", _MASS, _arms, _ARM, axes.arm_mass),
    "links": _row("links", ("body_pos",), _arms, _ARM, axes.links),
    "joint_zero": _row(
        "joint_zero", ("body_quat", "body_pos"), lambda a: a.hinges.size > 0, "an arm with hinges", axes.joint_zero,
    ),
    "damping": _row(
        "damping", ("dof_damping",), lambda a: bool(np.any(a.model.dof_damping > 0)), "joints with damping",
        axes.damping,
    ),
    "armature": _row(
        "armature", ("dof_armature",), lambda a: bool(np.any(a.model.dof_armature > 0)), "joints with an armature",
        axes.armature,
    ),
    "friction_loss": _row(
        "friction_loss", ("dof_frictionloss",), lambda a: bool(np.any(a.model.dof_frictionloss > 0)),
        "joints with dry friction", axes.friction_loss,
    ),
    "gain": _row(
        "gain", ("actuator_gainprm", "actuator_biasprm"), lambda a: a.model.nu > 0, "motors", axes.gain,
    ),
    "gravity_sag": _row(
        "gravity_sag", ("body_gravcomp",), lambda a: a.model.ngravcomp > 0 and a.give > 0,
        "hinges with position motors, in a scene that can be built movable", axes.gravity_sag, movable=True,
    ),
    "finger_damping": _row(
        "finger_damping", ("dof_damping",), lambda a: bool(np.any(a.model.dof_damping[a.fingers] > 0)),
        "a gripper that acts, with damping", axes.finger_damping,
    ),
    "gripper_speed": _row("gripper_speed", ("dof_armature", "dof_damping"), _fingers, _GRIPPER, axes.gripper_speed),
    "gripper_force": _row(
        "gripper_force", ("dof_armature", "dof_damping", "actuator_gainprm", "actuator_biasprm"), _fingers, _GRIPPER,
        axes.gripper_force,
    ),
    "latency": _row("latency", (), _always, "nothing"),
    "jitter": _row("jitter", (), _always, "nothing"),
}  # fmt: skip
"""All axes by name, in the order in which they are applied."""


def applicable(model: mujoco.MjModel, task: Task) -> tuple[str, ...]:
    """Return the axes that can change anything; ``model`` is the one built for all axes (``build.make_model``)."""
    anatomy = Anatomy(model, task)
    return tuple(name for name, axis in AXES.items() if axis.has(anatomy))


def draw_dynamics(
    ranges: Dynamics, worlds: int, seed: int, *, model: mujoco.MjModel, task: Task, share: float | np.ndarray = 1.0
) -> Draws:
    """Return one value per world (B,) for each axis that applies, uniform in its range.

    ``share`` is how much of the way from nominal each value goes, one number or one per world (B,). Each axis draws
    from a seed of its own: another axis more changes nothing of the others, and world i draws the same however many
    worlds there are.
    """
    found = {}
    for name in applicable(model, task):
        (low, high), nominal = getattr(ranges, name), KINDS[name].nominal
        drawn = np.random.default_rng(derived_seed(seed, "dynamics", name)).uniform(low, high, worlds)
        found[name] = nominal + share * (drawn - nominal)
    return found


def held(values: Mapping[str, float], worlds: int) -> Draws:
    """Return draws that have one value in all worlds."""
    return {name: np.full(worlds, float(value)) for name, value in values.items()}


def needs_movable(draws: Draws) -> bool:
    """Return whether the scene has to be built movable for these axes."""
    return any(AXES[name].movable for name in draws if name in AXES)


def check_draws(draws: Draws, worlds: int, model: mujoco.MjModel, task: Task) -> None:
    """Raise UsageError for an unknown axis, one that cannot change anything here, or values that make no sense."""
    anatomy = Anatomy(model, task)
    for name, values in draws.items():
        if name not in AXES:
            raise UsageError(f"there is no axis of dynamics '{name}'", suggestion(name, list(AXES)))
        axis, kind = AXES[name], KINDS[name]
        if not axis.has(anatomy):
            known = [other for other, row in AXES.items() if row.has(anatomy)]
            raise UsageError(
                f"the axis '{name}' would change nothing in {task.name}: it needs {axis.needs}",
                f"use one of {', '.join(known)}",
            )
        if np.shape(values) != (worlds,):
            raise UsageError(
                f"the axis '{name}' has values of shape {np.shape(values)}", f"give one for {worlds} worlds"
            )
        if not np.all((values >= kind.lowest) & (values <= kind.highest)):
            raise UsageError(
                f"the axis '{name}' is out of range", f"give {kind.lowest:g} to {kind.highest:g} {kind.unit}".strip()
            )


def dynamic_edits(
    model: mujoco.MjModel, task: Task, edits: ModelEdits, draws: Draws, worlds: int, repeat: int = 1
) -> ModelEdits:
    """Return the per-world model fields (B, *field shape) with all axes on top of ``edits``, in the table's order.

    What an axis draws itself (directions of a shifted mass, shares of joints) belongs to the world's number, and worlds
    that repeat others share it (see ``build.make_env``).
    """
    editing = Editing(Anatomy(model, task), edits, worlds, repeat)
    for name, axis in AXES.items():
        if name in draws and axis.edit is not None:
            axis.edit(editing, np.asarray(draws[name], float))
    return editing.fields


def lateness(draws: Draws, worlds: int) -> Lateness | None:
    """Return how much later commands are; None: no later than the profile says."""
    if not {"latency", "jitter"} & set(draws):
        return None
    none = np.zeros(worlds)
    return Lateness(np.asarray(draws.get("latency", none), float), np.asarray(draws.get("jitter", none), float))
