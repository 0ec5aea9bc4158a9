"""A stand-in for the bi-arm environment: colours and depths of two small images tell what the teacher would do."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from s2rctl.env.types import Step
from s2rctl.tasks.protocol import Observation

SIZE = 20
ACTIONS = 14
HIDDEN = 4  # numbers that only the simulator (and the images) tell
STEPS = 12


class TaskState(NamedTuple):
    switched: jax.Array


class ToyState(NamedTuple):
    hidden: jax.Array
    task: TaskState
    step: jax.Array
    observation: Observation
    key: jax.Array
    still: jax.Array | None = None


class ToyTask:
    episode_steps = STEPS

    @staticmethod
    def acting(state: TaskState) -> jax.Array:
        return state.switched

    @staticmethod
    def blind(hidden: jax.Array) -> jax.Array:
        """What no camera sees: worlds whose first number is large."""
        return hidden[0] > 0.5

    @staticmethod
    def image_targets(hidden: jax.Array) -> jax.Array:
        """What each of the two images shows: a colour and a depth."""
        return hidden.reshape(2, 2)


class ToyInsertion:
    """Hidden numbers drift with the action; the learner acts from step 5 on."""

    task: Any = ToyTask

    def __init__(self, worlds: int) -> None:
        self.worlds = worlds

    def reset(self, key: jax.Array) -> ToyState:
        key, draw, clock, noise = jax.random.split(key, 4)
        hidden = jax.random.uniform(draw, (self.worlds, HIDDEN))
        step = jax.random.randint(clock, (self.worlds,), 0, 1)
        return self._state(hidden, step, key, noise)

    def world(self, state: ToyState) -> jax.Array:
        return state.hidden

    def step(self, state: ToyState, action: jax.Array) -> tuple[ToyState, Step]:
        key, draw, noise = jax.random.split(state.key, 3)
        hidden = jnp.clip(state.hidden + 0.1 * action[:, :HIDDEN], 0.0, 1.0)
        clock = state.step + 1
        done = clock >= STEPS
        fresh = jax.random.uniform(draw, (self.worlds, HIDDEN))
        hidden = jnp.where(done[:, None], fresh, hidden)
        no = jnp.zeros(self.worlds, bool)
        after = self._state(hidden, jnp.where(done, 0, clock), key, noise)
        step = Step(
            reward=jnp.zeros(self.worlds),
            terms={},
            done=done,
            truncated=done,
            success=hidden[:, 0] > 0.5,
            failure=jnp.zeros(self.worlds, jnp.int32),
            diverged=no,
            acting=state.task.switched,
            last=after.observation,
        )
        return after, step

    def _state(self, hidden: jax.Array, step: jax.Array, key: jax.Array, noise: jax.Array) -> ToyState:
        task = TaskState(step >= 5)
        noisy = hidden + jax.random.normal(noise, hidden.shape)
        images = {}
        for index, side in enumerate(("left", "right")):
            colour = (
                jnp.zeros((self.worlds, SIZE, SIZE, 3))
                .at[:, :, : SIZE // 2]
                .set(hidden[:, None, None, 2 * index, None])
            )
            depth = jnp.broadcast_to(hidden[:, None, None, 2 * index + 1] * 4000, (self.worlds, SIZE, SIZE))
            images[f"rgb_wrist_cam_{side}"] = (255 * colour).astype(jnp.uint8)
            images[f"depth_wrist_cam_{side}"] = depth.astype(jnp.uint16)
        inputs = images | {
            "joint_pos": jnp.zeros((self.worlds, 16)),
            "joint_target": jnp.zeros((self.worlds, 14)),
            "switched": task.switched.astype(jnp.float32)[:, None],
        }
        critic = jnp.concatenate([hidden, step[:, None] / STEPS], axis=-1)
        return ToyState(hidden, task, step, Observation(noisy, critic, inputs), key)


def teacher(observation: Observation) -> jax.Array:
    """After the switch: what the hidden numbers say."""
    signal = jnp.tile(observation.actor, (1, 4))[:, :ACTIONS]
    return jnp.tanh(2.0 * (0.5 - signal))


def pilot(observation: Observation) -> jax.Array:
    """Before the switch: stand still."""
    return jnp.zeros((observation.actor.shape[0], ACTIONS))
