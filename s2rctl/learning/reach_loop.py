"""The training loop of reach: worlds explore on the device, the replay buffer lives on the host, updates follow."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.interrupt import Interrupt
from s2rctl.learning import asym_ddpg
from s2rctl.learning.asym_ddpg import Learner, explore, inputs_of
from s2rctl.learning.reach_networks import ReachSettings, decide
from s2rctl.learning.replay import Field, Replay
from s2rctl.schema.learning import Reach
from s2rctl.tasks.protocol import Observation

CHUNK = 8
"""Vector steps between two looks at the host: few enough for fresh updates, many enough to hide the dispatch."""


class Snapshot(NamedTuple):
    """What a checkpoint keeps; the replay buffer's rows are files of their own."""

    learner: Learner
    env: Any
    chunks: np.ndarray  # () int64: chunks collected
    updates: np.ndarray  # () int64: optimiser steps done
    replay: np.ndarray  # (2,) int64: Replay.position()


@dataclass(frozen=True)
class Parts:
    """What the loop works with."""

    env: Any  # VecEnv with a renderer
    settings: ReachSettings
    reach: Reach
    position: Callable[[Observation], jax.Array]  # true tool position (B, 3) m in the robot base frame
    replay: Replay
    seed: int


def make_replay(env: Any, settings: ReachSettings, reach: Reach, folder: Any = None) -> Replay:
    """Return an empty buffer of ``reach.replay`` transitions, memory-mapped in ``folder`` if there is one."""
    camera = settings.camera
    fields = {
        "image": Field((camera.height, camera.width, 3), np.uint8),
        "position": Field((3,), np.float32),
        "goal": Field((3,), np.float32),
        "action": Field((3,), np.float32),
        "reward": Field((), np.float32),
        "terminated": Field((), np.float32),
        "valid": Field((), np.float32),
    }
    steps = max(2 * CHUNK, reach.replay // env.worlds)
    return Replay(steps, env.worlds, fields, folder)


@partial(jax.jit, static_argnums=0)
def collect(
    parts: "Collector", actor: Any, env_state: Any, key: jax.Array, random_share: jax.Array
) -> tuple[Any, dict[str, jax.Array], dict[str, jax.Array]]:
    """Return the environment after CHUNK steps, the rows (CHUNK, B, ...) and counts of ended and solved episodes."""

    def step(state: Any, key: jax.Array) -> tuple[Any, tuple[dict[str, jax.Array], dict[str, jax.Array]]]:
        seen = state.observation
        goal, image = seen.inputs["goal"], seen.inputs[f"rgb_{parts.settings.camera.name}"]
        wanted = decide(actor, parts.settings, inputs_of(parts.settings, image, goal)).action
        action = explore(key, wanted, parts.noise, random_share)
        following, result = parts.env.step(state, action)
        row = {
            "image": image,
            "position": parts.position(seen),
            "goal": goal,
            "action": action,
            "reward": result.reward,
            "terminated": (result.done & ~result.truncated).astype(jnp.float32),
            # After a time-out or a failure of physics the next row belongs to another episode.
            "valid": (~result.truncated & ~result.diverged).astype(jnp.float32),
        }
        counts = {
            "episodes": jnp.sum(result.done & ~result.diverged),
            "successes": jnp.sum(result.done & result.success & ~result.diverged),
            "reward": jnp.mean(result.reward),
        }
        return following, (row, counts)

    env_state, (rows, counts) = jax.lax.scan(step, env_state, jax.random.split(key, CHUNK))
    return env_state, rows, jax.tree.map(jnp.sum, counts)


@dataclass(frozen=True)
class Collector:
    """The part of ``Parts`` that ``collect`` is compiled for."""

    env: Any
    settings: ReachSettings
    position: Callable[[Observation], jax.Array]
    noise: float


_update = jax.jit(asym_ddpg.update, static_argnums=(1, 2), donate_argnums=0)


class Loop:
    """Trains ``learner``; every call of ``run`` goes on where the snapshot stands."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._collector = Collector(parts.env, parts.settings, parts.position, parts.reach.exploration_noise)

    def start(self, learner: Learner) -> Snapshot:
        """Return the snapshot before the first step."""
        env_state = jax.jit(self.parts.env.reset)(jax.random.fold_in(jax.random.key(self.parts.seed), 0))
        return Snapshot(learner, env_state, np.array(0, np.int64), np.array(0, np.int64), self.parts.replay.position())

    def total_chunks(self) -> int:
        """Return how many chunks make up the profile's environment steps."""
        return -(-self.parts.reach.steps // (CHUNK * self.parts.env.worlds))

    def env_steps(self, snapshot: Snapshot) -> int:
        """Return the environment steps done."""
        return int(snapshot.chunks) * CHUNK * self.parts.env.worlds

    def run(
        self,
        snapshot: Snapshot,
        save: Callable[[Snapshot], None],
        record: Callable[[int, dict[str, float]], None],
        interrupt: Interrupt,
    ) -> Snapshot:
        """Train to the end, or until the interrupt: the caller compares ``chunks`` with ``total_chunks``."""
        saved = time.monotonic()
        while int(snapshot.chunks) < self.total_chunks() and not interrupt.requested:
            snapshot, metrics = self.chunk(snapshot)
            record(self.env_steps(snapshot), metrics)
            if time.monotonic() - saved > self.parts.reach.checkpoint_interval_s:
                save(snapshot)
                saved = time.monotonic()
        save(snapshot)
        return snapshot

    def chunk(self, snapshot: Snapshot) -> tuple[Snapshot, dict[str, float]]:
        """Explore CHUNK vector steps and make the updates that are due.

        All randomness follows from the seed and the counters, so a resumed run goes the way an uninterrupted one goes.
        """
        parts, reach = self.parts, self.parts.reach
        warming = self.env_steps(snapshot) < reach.warmup
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(parts.seed), 1), int(snapshot.chunks))
        share = jnp.float32(1.0 if warming else reach.random_action)
        env_state, rows, counts = collect(self._collector, snapshot.learner.actor, snapshot.env, key, share)
        parts.replay.add({name: np.asarray(value) for name, value in rows.items()})
        figures = {name: float(value) for name, value in counts.items()}
        figures["reward"] /= CHUNK
        chunks = int(snapshot.chunks) + 1
        learner, updates = snapshot.learner, int(snapshot.updates)
        steps_after_warmup = chunks * CHUNK - reach.warmup // parts.env.worlds
        due = int(max(0, steps_after_warmup) * reach.updates_per_step)
        metrics: dict[str, jax.Array] = {}
        while updates < due:
            batch = parts.replay.sample(
                np.random.default_rng((parts.seed, updates)), reach.batch, ("image", "position")
            )
            learner, metrics = _update(learner, parts.settings, reach, batch)
            updates += 1
        figures |= {name: float(value) for name, value in metrics.items()}
        after = Snapshot(
            learner, env_state, np.array(chunks, np.int64), np.array(updates, np.int64), parts.replay.position()
        )
        return after, figures


class Judged(NamedTuple):
    """Deterministic first episodes, one entry each."""

    success: Any  # (N,) bool: the goal was met at the last step
    final_error_m: Any  # (N,) distance from the goal at the last step
    position_error_m: Any  # (N,) distance of the seen from the true position at the last step but one


def judge(parts: Parts, actor: Any, episodes: int) -> Judged:
    """Play at least one episode per world without exploration, in rounds of all worlds, and keep ``episodes`` of them.

    These are the training worlds with new starts: a first look. The evaluate stage decides.
    """
    env, settings = parts.env, parts.settings

    def play(key: jax.Array) -> Judged:
        def step(carry: Any, _: None) -> tuple[Any, None]:
            state, over, result = carry
            seen = state.observation
            decision = decide(actor, settings, seen.inputs)
            state, now = env.step(state, decision.action)
            ended = now.done & ~over
            distance = jnp.linalg.norm(parts.position(now.last) - now.last.inputs["goal"], axis=-1)
            missed = jnp.linalg.norm(decision.position - parts.position(seen), axis=-1)
            found = Judged(now.success, distance, missed)
            result = jax.tree.map(lambda new, old: jnp.where(ended, new, old), found, result)
            return (state, over | now.done, result), None

        nothing = jnp.zeros(env.worlds, bool)
        blank = Judged(nothing, jnp.zeros(env.worlds), jnp.zeros(env.worlds))
        (_, _, result), _ = jax.lax.scan(step, (env.reset(key), nothing, blank), None, length=env.task.episode_steps)
        return result

    run = jax.jit(play)
    first = jax.random.fold_in(jax.random.key(parts.seed), 2)
    rounds = [run(jax.random.fold_in(first, number)) for number in range(-(-episodes // env.worlds))]
    found = jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves])[:episodes], *rounds)
    return Judged(*found)
