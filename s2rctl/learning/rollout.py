"""Acting in the vectorised environment: unrolls for learning, and first episodes for judging."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from s2rctl.env.types import EnvState, Step
from s2rctl.tasks.protocol import Observation, Task

Act = Callable[[Observation], jax.Array]
"""Observation of B worlds -> action (B, n) in [-1, 1]."""


class Environment(Protocol):
    """The part of env.VecEnv that teacher learning needs."""

    task: Task
    worlds: int
    action_size: int
    actor_size: int
    critic_size: int

    def reset(self, key: jax.Array, *, desynchronise: bool = False) -> EnvState:
        """Start an episode in every world."""

    def step(self, state: EnvState, action: jax.Array) -> tuple[EnvState, Step]:
        """Advance all worlds by one control step."""

    def world(self, state: EnvState) -> Any:
        """Return what the task sees of every world, for scripted experts."""


class Unroll(NamedTuple):
    """T steps of B worlds, leaves (T, B, ...)."""

    actor: jax.Array  # observation that the policy saw
    critic: jax.Array  # true state at the same time
    output: jax.Array  # parameters of the action's distribution
    raw: jax.Array  # action before tanh
    reward: jax.Array
    done: jax.Array  # bool
    truncated: jax.Array  # bool
    last: jax.Array  # critic observation at the end of the step, before any reset
    weight: jax.Array  # 1 where the learner acted in a healthy world, else 0


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


def start_tally(worlds: int) -> Tally:
    """Return the bookkeeping for worlds that start at random ages: their first episodes are not counted."""
    return Tally(jnp.zeros(worlds), jnp.zeros(worlds, bool))


def count(tally: Tally, step: Step) -> tuple[Tally, Finished]:
    """Return the bookkeeping after a step, and what ended in it. An episode counts by its last step's success."""
    total = tally.total + step.reward
    ended = step.done & tally.whole
    finished = Finished(
        episodes=jnp.sum(ended).astype(jnp.int32),
        successes=jnp.sum(ended & step.success & ~step.diverged).astype(jnp.int32),
        total=jnp.sum(jnp.where(ended, total, 0.0)),
        diverged=jnp.sum(step.diverged).astype(jnp.int32),
    )
    return Tally(jnp.where(step.done, 0.0, total), tally.whole | step.done), finished


def first_episodes(env: Environment, act: Act, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Play the first episode of every world; return (B,) bool success at its last step, and (B,) total reward.

    Deterministic given the key; use it inside jit. A world that diverges has failed.
    """

    def body(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        state, index, alive, success, total = carry
        state, step = env.step(state, act(state.observation))
        total = total + jnp.where(alive, step.reward, 0.0)
        success = jnp.where(alive & step.done, step.success & ~step.diverged, success)
        return state, index + 1, alive & ~step.done, success, total

    def running(carry: tuple[Any, ...]) -> jax.Array:
        return jnp.any(carry[2]) & (carry[1] < env.task.episode_steps)

    nobody = jnp.zeros(env.worlds, bool)
    begin = (env.reset(key), jnp.int32(0), ~nobody, nobody, jnp.zeros(env.worlds))
    _, _, _, success, total = jax.lax.while_loop(running, body, begin)
    return success, total
