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
from s2rctl.env import appearances, stepping
from s2rctl.env.keys import make_key
from s2rctl.learning import devices
from s2rctl.learning.reach import asym_ddpg
from s2rctl.learning.reach.asym_ddpg import SEEN, Learner, explore
from s2rctl.learning.reach.networks import ReachSettings, decide, normalise
from s2rctl.learning.replay import Ahead, Field, Replay
from s2rctl.learning.vision import preprocess
from s2rctl.schema.reach import Reach
from s2rctl.tasks.protocol import Observation

CHUNK = 8
"""Vector steps between two returns to the host: few enough for fresh updates, many enough to hide the dispatch."""


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
    motion: Callable[[Observation], jax.Array]  # (B, 6) m, as in reach_networks.Truth
    replay: Replay
    seed: int
    reward: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None  # of position and goal (N, 3); for hindsight
    sight: Callable[[Any], tuple[jax.Array, jax.Array]] | None = None  # state -> (B,) tool in sight, faces all lenses


def make_replay(env: Any, settings: ReachSettings, reach: Reach, folder: Any = None) -> Replay:
    """Return an empty buffer of ``reach.replay`` transitions, memory-mapped in ``folder`` if there is one."""
    fields = {name: Field(*shape) for name, shape in _sights(settings, reach).items()} | {
        "step": Field((), np.int32),
        "position": Field((3,), np.float32),
        "motion": Field((6,), np.float32),
        "goal": Field((3,), np.float32),
        "action": Field((3,), np.float32),
        "reward": Field((), np.float32),
        "terminated": Field((), np.float32),
        "valid": Field((), np.float32),
    }
    steps = max(2 * CHUNK, reach.replay // env.worlds)
    return Replay(steps, env.worlds, fields, folder)


def _sights(settings: ReachSettings, reach: Reach) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return shape and type of what is kept of the images: themselves, or what a frozen extractor sees in them."""
    return {SEEN: ((3,), np.float32)} if reach.freeze_extractor else preprocess.raw_shapes(settings.cameras)


def _advance(
    collector: "Collector", actor: Any, env_state: Any, key: jax.Array, noise: jax.Array, random_share: jax.Array
) -> tuple[Any, dict[str, jax.Array], "Ending"]:
    """Act once in every world; return the environment, the replay row (B, ...) and what an ending would mean."""
    wanted, action = _decide(collector, actor, env_state, key, noise, random_share)
    following, result = stepping.step(collector.env, env_state, action)
    return following, *_judge(collector, env_state, action, wanted, result)


@partial(jax.jit, static_argnums=0)
def _decide(
    collector: "Collector", actor: Any, env_state: Any, key: jax.Array, noise: jax.Array, random_share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the position that the actor sees (B, 3) and the action to take (B, 3)."""
    seen, settings = env_state.observation, collector.settings
    wanted = decide(actor, settings, seen.inputs)
    return wanted.position, explore(key, wanted.action, noise, random_share)


@partial(jax.jit, static_argnums=0)
def _judge(
    collector: "Collector", env_state: Any, action: jax.Array, position: jax.Array, result: Any
) -> tuple[dict[str, jax.Array], "Ending"]:
    """Return the replay row (B, ...) of a step, and what it means as the last one of an episode."""
    seen = env_state.observation
    place = collector.position(seen)
    told = {**seen.inputs, SEEN: normalise(position, collector.settings)}
    row = {
        **{name: told[name] for name in collector.sights},
        "step": env_state.step,
        "position": place,
        "motion": collector.motion(seen),
        "goal": seen.inputs["goal"],
        "action": action,
        "reward": result.reward,
        "terminated": (result.done & ~result.truncated).astype(jnp.float32),
        # After a time-out or a failure of physics the next row belongs to another episode.
        "valid": (~result.truncated & ~result.diverged).astype(jnp.float32),
    }
    left = jnp.linalg.norm(collector.position(result.last) - result.last.inputs["goal"], axis=-1)
    missed = jnp.linalg.norm(position - place, axis=-1)
    return row, Ending(result.done, result.success & ~result.diverged, result.diverged, left, missed)


class Ending(NamedTuple):
    """The step as the last of an episode; leaves (B,)."""

    done: jax.Array
    success: jax.Array
    diverged: jax.Array
    final_error_m: jax.Array
    position_error_m: jax.Array


def collect(
    parts: Parts, collector: "Collector", actor: Any, env_state: Any, key: jax.Array, random_share: float
) -> tuple[Any, dict[str, np.ndarray], dict[str, float]]:
    """Explore CHUNK steps; return the environment, rows (CHUNK, B, ...) and counts of ended and solved episodes."""
    noise, share = jnp.float32(parts.reach.exploration_noise), jnp.float32(random_share)
    rows, endings = [], []
    for number in range(CHUNK):
        step_key = jax.random.fold_in(key, number)
        if parts.reach.resample_appearance > 0:
            look_key = jax.random.fold_in(step_key, 1)
            env_state = appearances.refresh(parts.env, env_state, look_key, parts.reach.resample_appearance)
        env_state, row, ending = _advance(collector, actor, env_state, step_key, noise, share)
        rows.append(jax.tree.map(np.asarray, row))
        endings.append(jax.tree.map(np.asarray, ending))
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    counted = [ending.done & ~ending.diverged for ending in endings]
    counts = {
        "episodes": float(np.sum(counted)),
        "successes": float(sum(np.sum(c & e.success) for c, e in zip(counted, endings, strict=True))),
        "reward": float(np.mean(stacked["reward"])),
    }
    return env_state, stacked, counts


@dataclass(frozen=True)
class Collector:
    """The part of ``Parts`` that ``collect`` is compiled for."""

    env: Any
    settings: ReachSettings
    position: Callable[[Observation], jax.Array]
    motion: Callable[[Observation], jax.Array]
    sights: tuple[str, ...]  # what is kept of the images


def _collector(parts: Parts) -> Collector:
    return Collector(
        parts.env, parts.settings, parts.position, parts.motion, tuple(_sights(parts.settings, parts.reach))
    )


_update = jax.jit(asym_ddpg.update, static_argnums=(1, 2), donate_argnums=0)


class Loop:
    """Trains ``learner``; every call of ``run`` goes on where the snapshot stands."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._collector = _collector(parts)

    def start(self, learner: Learner) -> Snapshot:
        """Return the snapshot before the first step."""
        key = jax.random.fold_in(make_key(self.parts.seed), 0)
        env_state = stepping.spread(self.parts.env, stepping.reset(self.parts.env, key), key)
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
        key = jax.random.fold_in(jax.random.fold_in(make_key(parts.seed), 1), int(snapshot.chunks))
        share = 1.0 if warming else reach.random_action
        env_state, rows, figures = collect(parts, self._collector, snapshot.learner.actor, snapshot.env, key, share)
        parts.replay.add(rows)
        chunks = int(snapshot.chunks) + 1
        learner, updates = devices.everywhere(snapshot.learner), int(snapshot.updates)
        steps_after_warmup = chunks * CHUNK - reach.warmup // parts.env.worlds
        due = int(max(0, steps_after_warmup) * reach.updates_per_step)
        metrics: dict[str, jax.Array] = {}
        while updates < due:
            batch = sample(parts, np.random.default_rng((parts.seed, updates)))
            learner, metrics = _update(learner, parts.settings, reach, devices.spread(batch))
            updates += 1
        learner = devices.here(learner)
        figures |= {name: float(value) for name, value in metrics.items()}
        after = Snapshot(
            learner, env_state, np.array(chunks, np.int64), np.array(updates, np.int64), parts.replay.position()
        )
        return after, figures


def sample(parts: Parts, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a batch of transitions, a share of them with a goal seen in hindsight (Andrychowicz et al. 2017)."""
    reach = parts.reach
    following = (*_sights(parts.settings, reach), "position", "motion")
    if reach.hindsight == 0 or parts.reward is None:
        return parts.replay.sample(generator, reach.batch, following)
    ahead = Ahead("step", "position", parts.env.task.episode_steps - 1)
    batch = parts.replay.sample(generator, reach.batch, following, ahead)
    later, same = batch.pop("later_position"), batch.pop("same_episode")
    chosen = same & (generator.random(reach.batch) < reach.hindsight)
    batch["goal"] = np.where(chosen[:, None], later, batch["goal"])
    batch["reward"] = np.where(chosen, parts.reward(batch["next_position"], batch["goal"]), batch["reward"])
    return batch


class Judged(NamedTuple):
    """Deterministic first episodes, one entry each."""

    success: Any  # (N,) bool: the goal was met at the last step
    final_error_m: Any  # (N,) distance from the goal at the last step
    position_error_m: Any  # (N,) distance of the seen from the true position at the last step but one
    goal: Any  # (N, 3) m
    out_of_sight: Any  # (N,) share of the episode's steps in which no camera had the tool in its picture
    facing: Any  # (N,) share of its steps in which no camera saw the arm from the side


def judge(parts: Parts, actor: Any, episodes: int) -> Judged:
    """Play at least one episode per world without exploration, in rounds of all worlds, and keep ``episodes`` of them.

    These are the training worlds with new starts: a first look. The evaluate stage decides.
    """
    collector = _collector(parts)
    first = jax.random.fold_in(make_key(parts.seed), 2)
    rounds = [
        _play(parts, collector, actor, jax.random.fold_in(first, number))
        for number in range(-(-episodes // parts.env.worlds))
    ]
    found = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:episodes], *rounds)
    return Judged(*found)


def _play(parts: Parts, collector: Collector, actor: Any, key: jax.Array) -> Judged:
    """Play the first episode of every world."""
    worlds, none = parts.env.worlds, jnp.float32(0.0)
    state, over = stepping.reset(parts.env, key), np.zeros(parts.env.worlds, bool)
    zero, goal = np.zeros(worlds), np.asarray(state.observation.inputs["goal"])
    result = Judged(np.zeros(worlds, bool), zero, zero, goal, zero, zero)
    look = jax.jit(parts.sight) if parts.sight is not None else None
    hidden, facing, steps = np.zeros(worlds), np.zeros(worlds), np.zeros(worlds)
    for _ in range(parts.env.task.episode_steps):
        if look is not None:
            sighted, faced = (np.asarray(answer) for answer in look(state))
            hidden, facing = hidden + ~over * ~sighted, facing + ~over * faced
        steps += ~over
        state, _, ending = _advance(collector, actor, state, key, none, none)
        ended = np.asarray(ending.done) & ~over
        new = (ending.success, ending.final_error_m, ending.position_error_m)
        success, final, position = (np.where(ended, a, b) for a, b in zip(new, result[:3], strict=True))
        result = result._replace(success=success, final_error_m=final, position_error_m=position)
        over |= ended
    return result._replace(out_of_sight=hidden / steps, facing=facing / steps)
