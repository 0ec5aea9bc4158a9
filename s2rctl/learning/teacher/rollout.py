"""Acting in the vectorised environment: bookkeeping for learning, and first episodes for judging."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.stepping import reset, step
from s2rctl.env.types import EnvState, Step
from s2rctl.tasks.protocol import Task

Act = Callable[[EnvState], jax.Array]
"""State of B worlds -> action (B, n) in [-1, 1]."""


class Environment(Protocol):
    """The part of env.VecEnv that teacher learning needs."""

    task: Task
    worlds: int
    action_size: int
    actor_size: int
    critic_size: int

    def reset(self, key: jax.Array) -> EnvState:
        """Start an episode in every world."""

    def step(self, state: EnvState, action: jax.Array) -> tuple[EnvState, Step]:
        """Advance all worlds by one control step."""

    def world(self, state: EnvState) -> Any:
        """Return what the task sees of every world, for scripted experts."""


class Tally(NamedTuple):
    """Running bookkeeping of episodes, (B,) each."""

    total: jax.Array  # reward of the running episode so far
    whole: jax.Array  # bool: the running episode began at a reset, not in the middle


class Finished(NamedTuple):
    """Sums over the episodes that ended, ()."""

    episodes: jax.Array
    successes: jax.Array
    total: jax.Array  # reward
    diverged: jax.Array


def acting(env: Environment, state: EnvState) -> jax.Array:
    """Return (B,) bool: whether the learner's action is in force, or a pilot's."""
    return jnp.broadcast_to(jax.vmap(env.task.acting)(state.task), (env.worlds,))


def start_tally(worlds: int) -> Tally:
    """Return the bookkeeping for worlds that start at random ages: their first episodes are not counted."""
    return Tally(jnp.zeros(worlds), jnp.zeros(worlds, bool))


def count(tally: Tally, result: Step) -> tuple[Tally, Finished]:
    """Return the bookkeeping after a step, and what ended in it. An episode counts by its last step's success."""
    total = tally.total + result.reward
    ended = result.done & tally.whole
    finished = Finished(
        episodes=jnp.sum(ended).astype(jnp.int32),
        successes=jnp.sum(ended & result.success & ~result.diverged).astype(jnp.int32),
        total=jnp.sum(jnp.where(ended, total, 0.0)),
        diverged=jnp.sum(result.diverged).astype(jnp.int32),
    )
    return Tally(jnp.where(result.done, 0.0, total), tally.whole | result.done), finished


def first_episodes(env: Environment, act: Act, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Play the first episode of every world; return (B,) bool success at its last step, and (B,) total reward.

    ``act`` should be compiled. A world that diverges has failed, and so has one that does not end in time.
    """
    state = reset(env, key)
    alive, success, total = np.ones(env.worlds, bool), np.zeros(env.worlds, bool), np.zeros(env.worlds)
    for _ in range(env.task.episode_steps):
        state, result = step(env, state, act(state))
        done, met = np.asarray(result.done), np.asarray(result.success & ~result.diverged)
        total += np.where(alive, np.asarray(result.reward), 0.0)
        success = np.where(alive & done, met, success)
        alive &= ~done
        if not alive.any():
            break
    return success, total
