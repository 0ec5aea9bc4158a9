"""Pushes that lead a student aside while it acts: noise injection (Laskey et al. 2017, "DART").

Who imitates is shown parts that meet, so nothing tells seeing apart from expecting: near the rim told heights followed
the true ones with a slope of 0.1, and those that were 8 mm off pushed on against it. Pushed aside, a student must look,
and is labelled with the way back.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

_WHO = 1
"""Part of the seed of who is pushed."""


@dataclass(frozen=True, eq=False)
class Pushes:
    """A share of the worlds, always the same ones, is pushed in the ``entries`` (n,) bool of an action."""

    worlds: int
    share: float
    size: float  # standard deviation, of an action's range
    entries: np.ndarray
    seed: int

    def draw(self, key: jax.Array) -> jax.Array:
        """Return what is added to actions (B, n); 0 in worlds that are left alone."""
        chosen = np.random.default_rng((self.seed, _WHO)).random(self.worlds) < self.share
        noise = self.size * jax.random.normal(key, (self.worlds, len(self.entries)))
        return jnp.where(chosen[:, None] & self.entries, noise, 0.0)
