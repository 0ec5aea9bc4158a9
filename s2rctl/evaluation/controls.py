"""Preflight controls of a tier: what must succeed, what must fail, and pictures that must look different.

A tier in which the scripted expert fails, in which doing nothing succeeds, or whose pictures are those of T0 says
nothing of a policy: it is void, and no gate takes its rate.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.types import EnvState
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.actors import Oracle
from s2rctl.evaluation.episodes import Episodes, rate
from s2rctl.experts import make_expert
from s2rctl.schema.profile import Profile
from s2rctl.schema.tiers import Controls

DIFFERENT = 1.0
"""Mean absolute difference, in counts of 255, from which on two pictures are different ones."""


def expert_of(profile: Profile, env: VecEnv) -> Oracle:
    """Return the task's scripted expert, which sees the true state of every world."""
    expert = make_expert(profile, env.task.name)

    @jax.jit
    def act(state: EnvState) -> jax.Array:
        return jnp.clip(jax.vmap(expert)(env.world(state)), -1.0, 1.0)

    return Oracle(act)


def nothing_of(env: VecEnv) -> Oracle:
    """Return what never acts."""
    still = np.zeros((env.worlds, env.action_size), np.float32)
    return Oracle(lambda state: still)


def positive(found: Episodes, settings: Controls, dynamics: bool) -> dict[str, Any]:
    """Return whether the expert succeeds often enough; less is asked where dynamics are drawn."""
    figures = rate(found.successes, len(found.episodes)) | {"failures": found.failures}
    needed = settings.positive_low_dynamics if dynamics else settings.positive_low
    return {**figures, "needed": needed, "passed": bool(float(str(figures["wilson_low"])) >= needed)}


def negative(found: Episodes, settings: Controls) -> dict[str, Any]:
    """Return whether doing nothing fails: its rate must not be, beyond chance, above what is allowed."""
    figures = rate(found.successes, len(found.episodes))
    allowed = settings.negative_high
    return {**figures, "allowed": allowed, "passed": bool(float(str(figures["wilson_low"])) <= allowed)}


def pictures(own: Mapping[str, np.ndarray], shown: Mapping[str, np.ndarray], needed: float) -> dict[str, Any]:
    """Return whether the first pictures rgb_<camera> -> (N, H, W, 3) of a tier differ from those of T0.

    ``share`` of the worlds in which every camera's picture differs by more than a count on average, and the median
    ``difference`` (of 255). The episodes begin alike, so only the look can make the difference.
    """
    apart = [np.abs(shown[name].astype(float) - own[name]).reshape(len(own[name]), -1).mean(axis=1) for name in own]
    difference = np.min(apart, axis=0)
    share = float((difference > DIFFERENT).mean())
    return {
        "share": share,
        "difference": float(np.median(difference)),
        "needed": needed,
        "passed": bool(share >= needed),
    }
