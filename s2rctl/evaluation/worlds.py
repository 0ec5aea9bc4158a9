"""The worlds of an evaluation: those that the profile describes, or others."""

from collections.abc import Mapping
from dataclasses import dataclass

from s2rctl.env.build import make_env, make_model
from s2rctl.env.dynamics import Draws, held
from s2rctl.env.images import Imaging
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.perturb import Situation, apply
from s2rctl.schema.profile import Profile


@dataclass(frozen=True, eq=False)
class Worlds:
    """What decides the worlds; the same settings give the same episodes, whatever policy plays them."""

    profile: Profile
    task: str
    count: int
    seed: int
    images: bool  # whether the policy sees camera images
    perturb: Mapping[str, float]
    dynamics: Draws | None = None  # values of axes of dynamics by world; a perturbation of the same name replaces them
    repeat: int = 1  # how often the same worlds are there, see make_env
    imaging: Imaging | None = None  # other cameras than the profile's


def make_worlds(settings: Worlds) -> VecEnv:
    """Return the environment, without a pilot of its own (see ``episodes.play``).

    Raises UsageError for a perturbation that is unknown or cannot change anything, and what ``make_env`` raises.
    """
    profile, dynamics = settings.profile, dict(settings.dynamics or {})
    if settings.perturb:
        situation = Situation(profile, settings.task, settings.images, make_model(profile, settings.task))
        profile, axes = apply(situation, settings.perturb)
        dynamics |= held(axes, settings.count)
    return make_env(
        profile,
        settings.task,
        settings.count,
        seed=settings.seed,
        images=settings.images,
        dynamics=dynamics,
        repeat=settings.repeat,
        imaging=settings.imaging if settings.images else None,
    )
