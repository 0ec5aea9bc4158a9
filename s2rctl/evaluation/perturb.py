"""Perturbations of an evaluation: one named departure from what the policy was trained for, with one number each.

Most change the resolved profile, so that they go through the very code that training randomises with; the others scale
fields of the model in every world, after the task's own per-world quantities. A perturbation that could not change
anything (camera noise for a policy without cameras) is refused instead of reported as robustness.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.core.tables import suggestion
from s2rctl.env.randomise import Scales
from s2rctl.schema.base import Model
from s2rctl.schema.profile import Profile
from s2rctl.schema.simulation import Noise


@dataclass(frozen=True)
class Situation:
    """What a perturbation is applied to."""

    profile: Profile
    task: str
    images: bool  # whether the policy sees camera images (otherwise: the task's state)
    model: mujoco.MjModel


@dataclass(frozen=True)
class Perturbation:
    """One row of the table; ``change`` gives the new profile or the factors of model fields."""

    unit: str
    text: str
    low: float
    high: float
    example: float
    applies: Callable[[Situation], bool]
    needs: str  # what a policy or task must have for it to apply
    change: Callable[[Situation, float], Profile | Scales]


def apply(situation: Situation, perturb: Mapping[str, float]) -> tuple[Profile, Scales]:
    """Return the profile and the model factors with all perturbations applied, in the table's order.

    Raises UsageError for an unknown name, a value out of range, or one that cannot change anything here.
    """
    check_names(perturb)
    profile, scales = situation.profile, dict[str, np.ndarray]()
    for name in (name for name in PERTURBATIONS if name in perturb):
        row, value = PERTURBATIONS[name], perturb[name]
        now = Situation(profile, situation.task, situation.images, situation.model)
        if not row.applies(now):
            raise UsageError(
                f"the perturbation '{name}' would change nothing in {situation.task}: it needs {row.needs}",
                f"use one of {', '.join(n for n, r in PERTURBATIONS.items() if r.applies(situation))}",
            )
        changed = row.change(now, value)
        if isinstance(changed, Model):
            profile = changed
        else:
            scales |= {field: scales.get(field, 1.0) * factors for field, factors in changed.items()}
    return profile, scales


def check_names(perturb: Mapping[str, float]) -> None:
    """Raise UsageError for an unknown name or a value out of range."""
    for name, value in perturb.items():
        if name not in PERTURBATIONS:
            raise UsageError(f"there is no perturbation '{name}'", suggestion(name, list(PERTURBATIONS)))
        row = PERTURBATIONS[name]
        if not row.low <= value <= row.high:
            raise UsageError(f"{name}={value:g} is out of range", f"give {row.low:g} to {row.high:g} {row.unit}")


def parse(texts: list[str]) -> dict[str, float]:
    """Return the perturbations of ``NAME=VALUE`` texts; UsageError for what is neither."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        name = name.strip()
        if name in found:
            raise UsageError(f"the perturbation '{name}' is given twice", "give each name once")
        try:
            found[name] = float(value)
        except ValueError:
            raise UsageError(f"'{text}' is not NAME=VALUE", "for example --perturb latency=0.05") from None
    check_names(found)
    return found


def _with(model: Any, path: str, value: Any) -> Any:
    """Return a frozen model with the field at a dotted path replaced."""
    head, _, rest = path.partition(".")
    return model.model_copy(update={head: _with(getattr(model, head), rest, value) if rest else value})


def _at(model: Any, path: str) -> Any:
    for part in path.split("."):
        model = getattr(model, part)
    return model


def _changing(path: str, change: Callable[[Any, float], Any]) -> Callable[[Situation, float], Profile]:
    """Return the change of one profile value; ``{task}`` in the path is the task's name."""

    def apply_to(situation: Situation, value: float) -> Profile:
        at = path.format(task=situation.task)
        changed: Profile = _with(situation.profile, at, change(_at(situation.profile, at), value))
        return changed

    return apply_to


def _later(situation: Situation, value: float, names: tuple[str, ...]) -> Profile:
    """Shift the delays of these kinds by ``value`` s; a part of a control step becomes a mixture of two delays."""
    steps = value * situation.profile.simulation.rate_hz
    whole, part = int(steps), steps - int(steps)
    path = f"tasks.{situation.task}.delays"
    delays = _at(situation.profile, path)
    for name in names:
        shifted = np.convolve(getattr(delays, name), [1 - part, part] if part > 1e-9 else [1.0])
        delays = delays.model_copy(update={name: (*(0.0,) * whole, *(float(weight) for weight in shifted))})
    changed: Profile = _with(situation.profile, path, delays)
    return changed


def _noisier(noise: Noise, value: float) -> Noise:
    return noise.model_copy(update={name: value * getattr(noise, name) for name in Noise.model_fields})


def _rows(model: mujoco.MjModel, field: str, rows: np.ndarray, value: float, columns: Any = slice(None)) -> np.ndarray:
    """Return factors of a field: ``value`` in the given rows (and columns), 1 elsewhere."""
    factors = np.ones_like(getattr(model, field), dtype=float)
    if factors.ndim == 1:
        factors[rows] = value
    else:
        factors[np.ix_(rows, np.arange(factors.shape[1])[columns])] = value
    return factors


def _bodies(model: mujoco.MjModel, objects: bool) -> np.ndarray:
    """Return the bodies that belong to objects (trees that a free joint begins), or to the arms (other joints)."""
    free = {
        int(b) for b, kind in zip(model.jnt_bodyid, model.jnt_type, strict=True) if kind == mujoco.mjtJoint.mjJNT_FREE
    }
    jointed = {int(body) for body in model.jnt_bodyid}

    def belongs(body: int) -> bool:
        chain = []
        while body:
            chain.append(body)
            body = int(model.body_parentid[body])
        loose = any(b in free for b in chain)
        return loose if objects else not loose and any(b in jointed for b in chain)

    return np.array([body for body in range(model.nbody) if belongs(body)], int)


def _heavier(objects: bool) -> Callable[[Situation, float], Scales]:
    def scale(situation: Situation, value: float) -> Scales:
        rows = _bodies(situation.model, objects)
        return {field: _rows(situation.model, field, rows, value) for field in ("body_mass", "body_inertia")}

    return scale


def _longer(situation: Situation, value: float) -> Scales:
    return {"body_pos": _rows(situation.model, "body_pos", _bodies(situation.model, objects=False), value)}


def _friction(situation: Situation, value: float) -> Scales:
    return {"geom_friction": _rows(situation.model, "geom_friction", np.arange(situation.model.ngeom), value, [0])}


def _gain(situation: Situation, value: float) -> Scales:
    every = np.arange(situation.model.nu)
    return {
        "actuator_gainprm": _rows(situation.model, "actuator_gainprm", every, value, [0]),
        "actuator_biasprm": _rows(situation.model, "actuator_biasprm", every, value, [1]),
    }


def _sees(situation: Situation) -> bool:
    return situation.images


def _sees_faulty_depth(situation: Situation) -> bool:
    vision = situation.profile.vision
    return situation.images and vision.depth_noise is not None and any(camera.depth for camera in vision.cameras)


def _is_noisy(situation: Situation) -> bool:
    noise: Noise | None = getattr(situation.profile.task(situation.task), "noise", None)
    if noise is None:
        return False
    # Of the state's noise only that of the joints reaches a policy with cameras.
    return noise.joint_pos > 0 if situation.images else any(value > 0 for value in noise.model_dump().values())


def _anything(situation: Situation) -> bool:
    return True


_LOOK = "vision.appearance"
_CAMERAS = "a policy that sees camera images"
_DEPTH = "a policy that sees depth, and vision.depth_noise in the profile"

PERTURBATIONS: Mapping[str, Perturbation] = {
    "camera": Perturbation(
        "m", "every policy camera sits up to this much further off on each of its axes, drawn per episode",
        0.0, 0.5, 0.02, _sees, _CAMERAS,
        _changing(f"{_LOOK}.camera_position_m", lambda old, value: tuple(x + value for x in old)),
    ),
    "camera_rotation": Perturbation(
        "deg", "every policy camera is turned by up to this much more about a random axis, drawn per episode",
        0.0, 90.0, 5.0, _sees, _CAMERAS, _changing(f"{_LOOK}.camera_rotation_deg", lambda old, value: old + value),
    ),
    "camera_fovy": Perturbation(
        "deg", "the vertical field of view is off by up to this much more, drawn per episode",
        0.0, 20.0, 3.0, _sees, _CAMERAS, _changing(f"{_LOOK}.camera_fovy_deg", lambda old, value: old + value),
    ),
    "light": Perturbation(
        "", "the lights' intensity varies by ± this share more, drawn per episode",
        0.0, 0.99, 0.5, _sees, _CAMERAS,
        _changing(f"{_LOOK}.light_intensity", lambda old, value: min(old + value, 0.99)),
    ),
    "light_direction": Perturbation(
        "deg", "the lights are turned by up to this much more, drawn per episode",
        0.0, 180.0, 30.0, _sees, _CAMERAS, _changing(f"{_LOOK}.light_direction_deg", lambda old, value: old + value),
    ),
    "brightness": Perturbation(
        "", "the images' brightness is multiplied by this factor",
        0.05, 20.0, 0.5, _sees, _CAMERAS,
        _changing(f"{_LOOK}.brightness", lambda old, value: (old[0] * value, old[1] * value)),
    ),
    "pixel_noise": Perturbation(
        "", "± noise on each colour value, of 1, on top of the profile's",
        0.0, 0.5, 0.1, _sees, _CAMERAS, _changing(f"{_LOOK}.pixel_noise", lambda old, value: min(old + value, 0.5)),
    ),
    "depth_blackout": Perturbation(
        "", "probability that a whole depth frame is lost, instead of the profile's",
        0.0, 1.0, 0.3, _sees_faulty_depth, _DEPTH, _changing("vision.depth_noise.blackout", lambda old, value: value),
    ),
    "depth_loss": Perturbation(
        "", "probability that a depth pixel is lost, instead of the profile's",
        0.0, 1.0, 0.1, _sees_faulty_depth, _DEPTH, _changing("vision.depth_noise.loss", lambda old, value: value),
    ),
    "latency": Perturbation(
        "s", "every command takes effect this much later", 0.0, 2.0, 0.05, _anything, "nothing",
        lambda situation, value: _later(situation, value, ("joint_action", "gripper_action")),
    ),
    "observation_latency": Perturbation(
        "s", "everything that is measured, images included, is this much older", 0.0, 2.0, 0.05, _anything, "nothing",
        lambda situation, value: _later(situation, value, ("observation",)),
    ),
    "noise": Perturbation(
        "", "the noise of every measured quantity is multiplied by this factor",
        0.0, 20.0, 2.0, _is_noisy, "noise in the profile that reaches this policy",
        _changing("tasks.{task}.noise", _noisier),
    ),
    "friction": Perturbation(
        "", "the sliding friction of every surface is multiplied by this factor",
        0.05, 20.0, 0.5, _anything, "nothing", _friction,
    ),
    "mass": Perturbation(
        "", "mass and inertia of every handled object are multiplied by this factor",
        0.05, 20.0, 2.0, lambda situation: _bodies(situation.model, objects=True).size > 0, "an object that is handled",
        _heavier(objects=True),
    ),
    "arm_mass": Perturbation(
        "", "mass and inertia of every link of the arms are multiplied by this factor",
        0.1, 10.0, 1.5, _anything, "nothing", _heavier(objects=False),
    ),
    "links": Perturbation(
        "", "every link of the arms is this many times as long as the robot's figures say",
        0.9, 1.1, 1.01, _anything, "nothing", _longer,
    ),
    "gain": Perturbation(
        "", "the position gain of every motor is multiplied by this factor",
        0.1, 10.0, 0.7, _anything, "nothing", _gain,
    ),
    "damping": Perturbation(
        "", "the damping of every joint is multiplied by this factor",
        0.05, 20.0, 3.0, lambda situation: bool(np.any(situation.model.dof_damping > 0)), "joints with damping",
        lambda situation, value: {"dof_damping": np.full(situation.model.nv, value)},
    ),
}  # fmt: skip
"""All perturbations by name."""
