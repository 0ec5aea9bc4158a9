"""The worlds of an evaluation: those that the profile describes, or perturbed ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from s2rctl.env.build import make_env, make_model
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.perturb import Situation, apply
from s2rctl.schema.profile import Profile


@dataclass(frozen=True)
class Worlds:
    """What decides the worlds; equal settings give the same episodes, whatever policy plays them."""

    profile: Profile
    task: str
    count: int
    seed: int
    images: bool  # whether the policy sees camera images
    perturb: Mapping[str, float]


def make_worlds(settings: Worlds) -> VecEnv:
    """Return the environment, without a pilot of its own (see ``episodes.play``).

    Raises UsageError for a perturbation that is unknown or cannot change anything, and what ``make_env`` raises.
    """
    profile, scales = settings.profile, None
    if settings.perturb:
        situation = Situation(profile, settings.task, settings.images, make_model(profile, settings.task))
        profile, scales = apply(situation, settings.perturb)
    return make_env(profile, settings.task, settings.count, seed=settings.seed, images=settings.images, scales=scales)
