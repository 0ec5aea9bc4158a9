"""The worlds of an evaluation: those that the profile describes, or perturbed ones."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from s2rctl.env.build import make_env, make_model
from s2rctl.env.randomise import model_edits
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.perturb import Scales, Situation, apply
from s2rctl.physics import PHYSICS
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
    profile, scales = settings.profile, dict[str, np.ndarray]()
    if settings.perturb:
        situation = Situation(profile, settings.task, settings.images, make_model(profile, settings.task))
        profile, found = apply(situation, settings.perturb)
        scales |= found
    env = make_env(profile, settings.task, settings.count, seed=settings.seed, images=settings.images)
    return _with_scaled_model(env, profile, scales) if scales else env


def _with_scaled_model(env: VecEnv, profile: Profile, scales: Scales) -> VecEnv:
    """Return the same environment on physics whose model fields carry the factors."""
    simulation, other = profile.simulation, copy.copy(env)
    other.physics = PHYSICS.load(simulation.physics)(
        env.model,
        env.worlds,
        substeps=simulation.substeps,
        edits=scaled_edits(env, scales),
        poses=env.images is not None,
        threads=simulation.threads,
    )
    return other


def scaled_edits(env: VecEnv, scales: Scales) -> dict[str, np.ndarray]:
    """Return per-world model fields (B, *field shape) with the factors on top of the task's own quantities."""
    edits = dict(model_edits(env.model, env.task.randomised, env.params))
    for field, factors in scales.items():
        if field not in edits:
            edits[field] = np.repeat(np.asarray(getattr(env.model, field))[None], env.worlds, axis=0)
        edits[field] = edits[field] * factors
    return edits
