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
from s2rctl.evaluation.actors import Actor
from s2rctl.evaluation.episodes import Episode, Episodes, chosen, failure_rows, play, summary
from s2rctl.schema.contract import Memory
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


def run(env: Any, episodes: int, steps: int = 10, interrupt: Interrupt | None = None, clips: int = 0) -> Episodes:
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
        clips=clips,
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


def test_clips_hold_the_first_episode_of_their_world_from_its_first_step() -> None:
    result = run(Scripted(success=[1, 99], end=[4, 3], failure=[0, 2]), episodes=2, clips=1)
    success, failure = result.clips
    assert success.episode.success and failure.episode.failure == "dropped"
    assert success.qpos[:, 0].tolist() == [0, 1, 2, 3]
    assert failure.qpos.shape == (3, 1)
    assert set(success.images) == {"rgb_camera"}
    assert success.images["rgb_camera"].shape == (4, 4, 4, 3)
    assert success.images["rgb_camera"][2].max() == 2
    assert run(Scripted(success=[1], end=[4], failure=[0]), episodes=2).clips == ()


def episode(number: int, failure: str) -> Episode:
    return Episode(number, 0, failure == "none", False, failure, 5, 0.0)


def test_the_first_failure_of_every_kind_is_filmed_whenever_it_comes() -> None:
    kinds = ["none", "dropped", "none", "dropped", "dropped", "none", "timeout", "dropped", "timeout", "tilted"]
    played = [episode(i, kind) for i, kind in enumerate(kinds)]
    assert [e.world for e in chosen(played, 2)] == [0, 1, 2, 3, 6, 9]
    first = chosen(played[:4], 2)
    assert [e.world for e in chosen(played[4:], 2, first)] == [6, 9]
    assert chosen(played, 0) == []


def test_failures_by_kind_with_intervals() -> None:
    rows = failure_rows([episode(i, kind) for i, kind in enumerate(["none"] * 7 + ["dropped"] * 2 + ["timeout"])])
    assert [(row["kind"], row["episodes"], row["share"]) for row in rows] == [("dropped", 2, 0.2), ("timeout", 1, 0.1)]
    assert all(row["interval_low"] < row["share"] < row["interval_high"] for row in rows)


def test_a_pilot_drives_until_the_policy_acts() -> None:
    class Switching(Scripted):
        """The policy acts in world 1 only; remembers what it was told."""

        task: Any

        def step(self, state: Any, action: jax.Array) -> tuple[Any, Step]:
            moved, outcome = super().step(state._replace(time=state.time), action)
            success = jnp.abs(action[:, 0] - jnp.array([0.25, 0.75])) < 1e-6
            return moved, outcome._replace(success=success)

        def _state(self, time: jax.Array) -> Any:
            return Piloted(*super()._state(time), jnp.array([False, True]))

    class Piloted(NamedTuple):
        physics: Physics
        observation: Observation
        time: jax.Array
        task: jax.Array

    class Acting:
        @staticmethod
        def acting(state: jax.Array) -> jax.Array:
            return state

    env = Switching(success=[99, 99], end=[4, 4], failure=[1, 1])
    env.task = Acting()
    result = play(
        env,
        lambda observation: np.full((2, 2), 0.75, np.float32),
        episodes=2,
        episode_steps=10,
        taxonomy=TAXONOMY,
        seed=0,
        reporter=NullReporter(),
        interrupt=Interrupt(),
        pilot=lambda observation: np.full((2, 2), 0.25, np.float32),
    )
    assert [e.success for e in result.episodes] == [True, True]


def test_memory_follows_the_worlds_and_begins_anew_with_each_batch() -> None:
    given: list[list[float]] = []

    def counting(observation: Observation, memory: Any) -> tuple[np.ndarray, Any]:
        count = np.asarray(memory["count"])
        given.append(count.tolist())
        return np.zeros((2, 2), np.float32), {"count": count + np.array([1, 10], np.float32)}

    actor = Actor((Memory(name="count", shape=(), initial=5.0),), counting)
    env = Scripted(success=[1, 99], end=[3, 2], failure=[0, 2])
    options: dict[str, Any] = {"seed": 0, "reporter": NullReporter(), "interrupt": Interrupt(), "taxonomy": TAXONOMY}
    still = lambda observation: np.zeros((2, 2), np.float32)  # noqa: E731
    result = play(env, actor, episodes=4, episode_steps=10, **options)
    assert len(result.episodes) == 4
    assert given == [[5, 5], [6, 15], [7, 25]] * 2
    given.clear()
    play(env, still, reference=actor, episodes=2, episode_steps=10, **options)
    assert given == [[5, 5], [6, 15], [7, 25]]  # a policy that is only asked remembers what it was asked about


def test_estimates_are_compared_with_kinematics_until_its_episode_ends() -> None:
    class Clock:
        """The tool is where the time is."""

        begun = 0

        def begin(self) -> None:
            self.begun += 1

        def error(self, state: Any, estimate: np.ndarray) -> np.ndarray:
            return np.linalg.norm(estimate - float(state.time), axis=1)

    def estimating(observation: Observation, memory: Any) -> tuple[np.ndarray, Any]:
        place = np.array([[3.0, 0.0, 0.0], [0.0, 0.0, np.nan]])
        return np.zeros((2, 2), np.float32), {"position": place}

    clock = Clock()
    options: dict[str, Any] = {"seed": 0, "reporter": NullReporter(), "interrupt": Interrupt(), "taxonomy": TAXONOMY}
    env = Scripted(success=[1, 99], end=[3, 2], failure=[0, 2])
    actor = Actor((), estimating, ("position",))
    result = play(env, actor, episodes=4, episode_steps=10, truths={"position": clock}, **options)
    assert clock.begun == 2
    first, second = result.episodes[:2]
    expected = [np.linalg.norm([3 - t, -t, -t]) for t in range(3)]
    assert first.estimate_errors["position"] == pytest.approx(expected, abs=1e-4)
    assert len(second.estimate_errors["position"]) == 2 and np.isnan(second.estimate_errors["position"]).all()
    assert not play(env, actor, episodes=1, episode_steps=10, **options).episodes[0].estimate_errors


def test_interrupt_ends_between_steps() -> None:
    interrupt = Interrupt()
    interrupt.requested = True
    with pytest.raises(Interrupted):
        run(Scripted(success=[1], end=[4], failure=[0]), episodes=1, interrupt=interrupt)
