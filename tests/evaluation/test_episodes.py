"""Episodes are counted with a scripted environment whose outcomes are known."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.env.types import Step
from s2rctl.evaluation.episodes import Episodes, play, summary
from s2rctl.tasks.protocol import Observation

TAXONOMY = ("none", "timeout", "dropped")


class Physics(NamedTuple):
    qpos: jax.Array
    ctrl: jax.Array


class State(NamedTuple):
    physics: Physics
    observation: Observation
    time: jax.Array


class Scripted:
    """World i succeeds at step success[i] (and stays so), ends at end[i] and then starts again as a sure success."""

    def __init__(self, success: list[int], end: list[int], failure: list[int]) -> None:
        self.worlds = len(success)
        self._success, self._end, self._failure = map(jnp.asarray, (success, end, failure))

    def _state(self, time: jax.Array) -> State:
        n = self.worlds
        image = jnp.zeros((n, 4, 4, 3), jnp.uint8) + time.astype(jnp.uint8)
        observation = Observation(
            jnp.zeros((n, 2)), jnp.zeros((n, 2)), {"rgb_camera": image, "goal": jnp.zeros((n, 3))}
        )
        return State(Physics(jnp.zeros((n, 1)) + time, jnp.zeros((n, 1))), observation, time)

    def reset(self, key: jax.Array) -> Any:
        return self._state(jnp.zeros((), jnp.int32))

    def step(self, state: Any, action: jax.Array) -> tuple[Any, Step]:
        now = state.time + 1
        second = now > self._end
        zeros = jnp.zeros(self.worlds)
        step = Step(
            reward=zeros + jnp.where(second, 100.0, 1.0),
            terms={},
            done=now == self._end,
            truncated=zeros.astype(bool),
            success=second | (now >= self._success),
            failure=self._failure,
            diverged=zeros.astype(bool),
            acting=zeros.astype(bool),
            last=state.observation,
        )
        return self._state(now), step


def run(env: Any, episodes: int, steps: int = 10, interrupt: Interrupt | None = None) -> Episodes:
    return play(
        env,
        lambda observation: np.zeros((env.worlds, 2), np.float32),
        episodes=episodes,
        episode_steps=steps,
        taxonomy=TAXONOMY,
        seed=0,
        reporter=NullReporter(),
        interrupt=interrupt or Interrupt(),
        reference=lambda observation: np.full((env.worlds, 2), 0.5, np.float32),
    )


def test_only_the_first_episode_of_each_world_counts() -> None:
    # World 0 succeeds and ends; world 1 fails at step 3, although its later episodes would succeed; world 2 never ends.
    result = run(Scripted(success=[2, 99, 99], end=[5, 3, 99], failure=[0, 2, 0]), episodes=3)
    assert [e.success for e in result.episodes] == [True, False, False]
    assert [e.failure for e in result.episodes] == ["none", "dropped", "timeout"]
    assert [e.steps for e in result.episodes] == [5, 3, 10]
    assert [e.total_reward for e in result.episodes] == [5.0, 3.0, 10.0]
    assert result.failures == {"dropped": 1, "timeout": 1}


def test_batches_are_added_until_the_episodes_are_there() -> None:
    result = run(Scripted(success=[1, 99], end=[4, 4], failure=[0, 2]), episodes=5)
    assert [(e.batch, e.world) for e in result.episodes] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    figures = summary(result)
    assert (figures["episodes"], figures["successes"]) == (5, 3)
    assert figures["failures"] == {"dropped": 2}
    assert figures["action_error"] == pytest.approx(0.5)


def test_the_tape_holds_the_first_batch_from_its_first_step() -> None:
    result = run(Scripted(success=[1], end=[4], failure=[0]), episodes=2)
    assert [float(q[0, 0]) for q in result.tape.qpos] == [0, 1, 2, 3]
    assert set(result.tape.images[0]) == {"rgb_camera"}
    assert result.tape.images[2]["rgb_camera"].max() == 2


def test_interrupt_ends_between_steps() -> None:
    interrupt = Interrupt()
    interrupt.requested = True
    with pytest.raises(Interrupted):
        run(Scripted(success=[1], end=[4], failure=[0]), episodes=1, interrupt=interrupt)
