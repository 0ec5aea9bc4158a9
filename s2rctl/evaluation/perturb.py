"""Perturbations of an evaluation: one named departure from what the policy was trained for, with one number each.

Most change the resolved profile, so that they go through the very code that training randomises with; the others are
axes of dynamics (``env/dynamics.py``) held at one value in every world. A perturbation that could not change anything
(camera noise for a policy without cameras) is refused instead of reported as robustness.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.core.tables import suggestion
from s2rctl.env.build import make_task
from s2rctl.env.dynamics import AXES
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
    """One row of the table; ``change`` gives the new profile, None for an axis of dynamics."""

    unit: str
    text: str
    low: float
    high: float
    example: float
    applies: Callable[[Situation], bool]
    needs: str  # what a policy or task must have for it to apply
    change: Callable[[Situation, float], Profile] | None


def apply(situation: Situation, perturb: Mapping[str, float]) -> tuple[Profile, dict[str, float]]:
    """Return the profile with all perturbations applied, in the table's order, and the axes of dynamics with values.

    Raises UsageError for an unknown name, a value out of range, or one that cannot change anything here.
    """
    check_names(perturb)
    profile, axes = situation.profile, dict[str, float]()
    for name in (name for name in PERTURBATIONS if name in perturb):
        row, value = PERTURBATIONS[name], perturb[name]
        now = Situation(profile, situation.task, situation.images, situation.model)
        if not row.applies(now):
            raise UsageError(
                f"the perturbation '{name}' would change nothing in {situation.task}: it needs {row.needs}",
                f"use one of {', '.join(n for n, r in PERTURBATIONS.items() if r.applies(situation))}",
            )
        if row.change is None:
            axes[name] = value
        else:
            profile = row.change(now, value)
    return profile, axes


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


def _axis(name: str, example: float) -> Perturbation:
    """Return the row of an axis of dynamics, held at one value in every world."""
    axis = AXES[name]

    def applies(situation: Situation) -> bool:
        return axis.applies(situation.model, make_task(situation.profile, situation.task, situation.model))

    return Perturbation(
        axis.kind.unit, axis.kind.text, axis.kind.lowest, axis.kind.highest, example, applies, axis.needs, None
    )


_EXAMPLES = {"friction": 0.5, "mass": 2.0, "arm_mass": 1.5, "links": 1.01, "gain": 0.7, "damping": 3.0}
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
    **{name: _axis(name, example) for name, example in _EXAMPLES.items()},
}  # fmt: skip
"""All perturbations by name."""
