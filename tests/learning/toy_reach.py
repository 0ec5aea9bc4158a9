"""A reach world without physics: a white disc on black shows where the tool is; used as a VecEnv."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from s2rctl.env.types import Step
from s2rctl.tasks.protocol import Observation

SIZE = 20
STEPS = 10
SCALE = 0.25


class ToyState(NamedTuple):
    tool: jax.Array
    goal: jax.Array
    step: jax.Array
    observation: Observation
    key: jax.Array


class ToyTask:
    episode_steps = STEPS


class ToyReach:
    """Tool and goal in [-1, 1]^3; the action moves the tool by SCALE."""

    task: Any = ToyTask

    def __init__(self, worlds: int) -> None:
        self.worlds = worlds

    def reset(self, key: jax.Array) -> ToyState:
        key, start, goal = jax.random.split(key, 3)
        tool = jax.random.uniform(start, (self.worlds, 3), minval=-1.0, maxval=1.0)
        aim = jax.random.uniform(goal, (self.worlds, 3), minval=-1.0, maxval=1.0)
        return ToyState(tool, aim, jnp.zeros(self.worlds, jnp.int32), observe(tool, aim), key)

    def step(self, state: ToyState, action: jax.Array) -> tuple[ToyState, Step]:
        tool = jnp.clip(state.tool + SCALE * action, -1.0, 1.0)
        clock = state.step + 1
        done = clock >= STEPS
        distance = jnp.linalg.norm(tool - state.goal, axis=-1)
        no = jnp.zeros(self.worlds, bool)
        step = Step(
            reward=-distance,
            terms={},
            done=done,
            truncated=done,
            success=distance < 0.3,
            failure=jnp.zeros(self.worlds, jnp.int32),
            diverged=no,
            acting=~no,
            last=observe(tool, state.goal),
        )
        fresh = self.reset(state.key)
        tool = jnp.where(done[:, None], fresh.tool, tool)
        goal = jnp.where(done[:, None], fresh.goal, state.goal)
        return ToyState(tool, goal, jnp.where(done, 0, clock), observe(tool, goal), fresh.key), step


def observe(tool: jax.Array, goal: jax.Array) -> Observation:
    pixels = (jnp.arange(SIZE) + 0.5) / SIZE * 2 - 1
    across = (pixels[None, None, :] - tool[:, 0, None, None]) ** 2
    down = (pixels[None, :, None] - tool[:, 1, None, None]) ** 2
    radius = 0.35 + 0.2 * tool[:, 2, None, None]
    disc = jax.nn.sigmoid(12 * (radius - jnp.sqrt(across + down)))
    image = jnp.repeat((255 * disc).astype(jnp.uint8)[..., None], 3, axis=-1)
    return Observation(tool, tool, {"rgb_side": image, "goal": goal})
