"""Compiled reset and step, once per environment.

An environment's step takes seconds to compile and microseconds to dispatch. So loops over steps are in Python around
these two functions, and everything that uses the same environment (see ``build.make_env``) shares what was compiled.
"""

from functools import partial
from typing import Any, Protocol

import jax

from s2rctl.env.types import EnvState, Step


class Steppable(Protocol):
    """An environment, compared by identity."""

    worlds: int

    def reset(self, key: jax.Array) -> EnvState:
        """Start an episode in every world."""

    def step(self, state: EnvState, action: jax.Array) -> tuple[EnvState, Step]:
        """Advance all worlds by one control step."""


@partial(jax.jit, static_argnums=0)
def reset(env: Steppable, key: jax.Array) -> EnvState:
    """Start an episode in every world."""
    return env.reset(key)


@partial(jax.jit, static_argnums=0)
def step(env: Steppable, state: EnvState, action: jax.Array) -> tuple[EnvState, Step]:
    """Advance all worlds by one control step; ``action`` is (B, n) in [-1, 1]."""
    return env.step(state, action)


def spread(env: Any, state: EnvState, key: jax.Array) -> EnvState:
    """Give freshly started worlds random ages, so that their episodes do not all end at once."""
    return state._replace(step=jax.random.randint(key, (env.worlds,), 0, env.task.episode_steps))
