"""Compiled reset and step, once per environment.

An environment's step takes seconds to compile and microseconds to dispatch. So loops over steps are in Python around
these two functions, and everything that uses the same environment (see ``build.make_env``) shares what was compiled.

A VecEnv is compiled in parts, because reset and step have the costly ones in common: drawing an episode and rendering.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import jax
import numpy as np

from s2rctl.env.keys import make_key
from s2rctl.env.parts import IN_PARTS, compiled
from s2rctl.env.types import EnvState, Step
from s2rctl.env.vec_env import VecEnv


class Steppable(Protocol):
    """An environment, compared by identity."""

    worlds: int

    def reset(self, key: jax.Array) -> EnvState:
        """Start an episode in every world."""

    def step(self, state: EnvState, action: jax.Array) -> tuple[EnvState, Step]:
        """Advance all worlds by one control step."""


def reset(env: Steppable, key: jax.Array) -> EnvState:
    """Start an episode in every world."""
    if isinstance(env, VecEnv):
        return env.reset(key, IN_PARTS)
    started: EnvState = compiled(env.reset, key)
    return started


def step(env: Steppable, state: EnvState, action: jax.Array) -> tuple[EnvState, Step]:
    """Advance all worlds by one control step; ``action`` is (B, n) in [-1, 1]."""
    if isinstance(env, VecEnv):
        return env.step(state, action, IN_PARTS)
    moved: tuple[EnvState, Step] = compiled(env.step, state, action)
    return moved


def prepare(env: VecEnv) -> None:
    """Compile the parts side by side, before they are needed: one after the other they take twice as long.

    Rendering is compiled by drawing a picture of nothing while the other parts begin an episode and take a step.
    """
    key, images = make_key(0), {}
    with ThreadPoolExecutor(1, "compile") as pool:
        if env.images is not None:
            scene = _zeros((env.shapes.physics.poses, env.shapes.appearance, env.shapes.image))
            images = _zeros(jax.eval_shape(env.take, key, *scene))
            pool.submit(compiled, env.take, key, *scene)
        episode = compiled(env.draw, key)
        start = episode.start
        state = compiled(env.begin, key, compiled(env.physics.init, start.qpos, start.qvel, start.ctrl), episode)
        state = compiled(env.show_first, state, images)
        aim = compiled(env.aim, state, np.zeros((env.worlds, env.action_size), np.float32))
        compiled(env.advance, state, aim, compiled(env.physics.step, state.physics, aim.ctrl))


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def spread(env: Any, state: EnvState, key: jax.Array) -> EnvState:
    """Give freshly started worlds random ages, so that their episodes do not all end at once."""
    return state._replace(step=jax.random.randint(key, (env.worlds,), 0, env.task.episode_steps))
