"""A toy environment for learners: a point is pushed to a goal in the plane; solved in seconds."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from s2rctl.env.types import Step
from s2rctl.tasks.protocol import Observation

EPISODE_STEPS = 20
CLOSE = 0.2
STEP = 0.15
OUTSIDE = 3.0


class PointState(NamedTuple):
    position: jax.Array  # (B, 2)
    goal: jax.Array  # (B, 2)
    step: jax.Array  # (B,)
    task: jax.Array  # (B,) bool
    observation: Observation
    key: jax.Array


class PointWorlds:
    """``worlds`` points. The actor sees the way to the goal, the critic the same; success is being close at a step."""

    def __init__(self, worlds: int, noise: float = 0.0, diverge: float = 0.0, pilot_steps: int = 0) -> None:
        self.worlds, self.noise, self.diverge, self.pilot_steps = worlds, noise, diverge, pilot_steps
        self.action_size, self.actor_size, self.critic_size = 2, 2, 3
        self.task: Any = SimpleNamespace(episode_steps=EPISODE_STEPS, acting=lambda state: state, acting_steps=None)

    def reset(self, key):
        start_key, _, observe_key, key = jax.random.split(key, 4)
        position, goal = self._starts(start_key)
        clock = jnp.zeros((self.worlds,), jnp.int32)
        acting = jnp.full(self.worlds, self.pilot_steps == 0)
        return PointState(position, goal, clock, acting, self._observe(position, goal, clock, observe_key), key)

    def step(self, state, action):
        key, observe_key, start_key, diverge_key = jax.random.split(state.key, 4)
        acting = state.task
        moved = state.position + STEP * jnp.clip(action, -1, 1) * acting[:, None]
        diverged = jax.random.uniform(diverge_key, (self.worlds,)) < self.diverge
        clock = state.step + 1
        distance = jnp.linalg.norm(moved - state.goal, axis=1)
        ended = diverged | (distance > OUTSIDE)
        done = ended | (clock >= EPISODE_STEPS)
        last = self._observe(moved, state.goal, clock, observe_key)
        broken = jnp.where(diverged, jnp.nan, 0.0)[:, None]
        last = last._replace(actor=last.actor + broken, critic=last.critic + broken)
        step = Step(
            reward=jnp.where(diverged, 1e9, -distance),
            terms={},
            done=done,
            truncated=done & ~ended,
            success=(distance < CLOSE) & ~diverged,
            failure=jnp.zeros(self.worlds, jnp.int32),
            diverged=diverged,
            acting=acting,
            last=last,
        )
        position, goal = self._starts(start_key)
        mask = done[:, None]
        position, goal = jnp.where(mask, position, moved), jnp.where(mask, goal, state.goal)
        clock = jnp.where(done, 0, clock)
        observation = self._observe(position, goal, clock, observe_key)
        return PointState(position, goal, clock, clock >= self.pilot_steps, observation, key), step

    def world(self, state):
        return state.goal - state.position

    def _starts(self, key):
        return jax.random.uniform(key, (2, self.worlds, 2), minval=-1.0, maxval=1.0)

    def _observe(self, position, goal, clock, key):
        way = goal - position
        noisy = way + self.noise * jax.random.normal(key, way.shape)
        critic = jnp.concatenate([way, clock[:, None] / EPISODE_STEPS], axis=1)
        return Observation(noisy, critic, {})


def linear_expert(way: jax.Array) -> jax.Array:
    """The expert of one world: straight to the goal, slower near it."""
    return jnp.clip(way / STEP / 3, -0.9, 0.9)
