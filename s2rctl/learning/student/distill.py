"""DAgger (Ross et al. 2011) from the state teachers to the student that sees images.

Each iteration acts for a few steps (the teacher at first, the student from then on), asks the teacher what it would
have done in every state visited, and fits the student to the answers: those of this iteration, and with an aggregate
buffer some of earlier ones (``distill.reuse`` for each new one). The loss is the squared L2 distance of the two tanh
means.

The teacher is asked on its noise-free, undelayed observation: its noise and delay are not the student's, so on noisy
input the labels of one image would scatter, and the student could learn no more than their mean, from more samples.

With a teacher prefix the teacher drives the beginning of every episode of some worlds and shows the student what it
cannot reach yet. How long differs from world to world, so that all parts of the task are visited from the start. Worlds
can begin where the pick teacher hands over, to see more of the insertion (docs/benchmarks.md: what that was worth).

The student overfits per-episode appearances, which are few: from the same number of images, resampling the appearance
in every step left two thirds of the error on appearances never seen. But a fixed appearance causes a consistent bias,
as a real camera does, so some worlds keep theirs.

Acting and fitting overlap: while the student of iteration n is fitted, the one of iteration n - 1 already collects the
samples of iteration n + 1. Drawing images keeps one core busy and fitting the other.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.interrupt import Interrupt
from s2rctl.env import appearances, stepping
from s2rctl.env.keys import make_key
from s2rctl.learning import devices
from s2rctl.learning.replay import Field, Replay
from s2rctl.learning.student import mating
from s2rctl.learning.student import network as student
from s2rctl.learning.student.fit import Plan, fit, length, minibatches, runs_at_once
from s2rctl.learning.student.network import Params
from s2rctl.learning.student.pushes import Pushes
from s2rctl.learning.student.settings import StudentSettings
from s2rctl.learning.student.snapshot import Samples, Snapshot, averaged
from s2rctl.learning.vision import preprocess
from s2rctl.schema.contract import start
from s2rctl.schema.distillation import Distill
from s2rctl.tasks.protocol import Observation, World

Teacher = Callable[[Observation], jax.Array]
"""A batched policy: observation -> action (B, n) in [-1, 1]."""

TEACHER_ITERATIONS = 2
"""First iterations, in which the teacher acts: the student that would act has not been fitted yet."""

TEACHER_PREFIX_UNTIL = 0.5
"""Share of the iterations after which no episode has a teacher prefix: then the student visits its own states only."""


class Collector(Protocol):
    """Acts and labels: here (a Distiller itself), or in groups of worlds that may be anywhere (``collect.Groups``)."""

    def collect(self, snapshot: Snapshot) -> Samples:
        """Act for one iteration with ``snapshot.acting`` and label what was seen.

        Who keeps worlds of its own looks at no others, and returns none.
        """


@dataclass(frozen=True, eq=False)
class Distiller:
    """One distillation; compared by identity, because compiled functions belong to it.

    ``env`` is a VecEnv with a renderer and without a pilot: the student drives from the first step on, and the label
    before the switch is the pilot's. Where the environment hides an object, the label is to stay still.
    """

    env: Any
    settings: StudentSettings
    distill: Distill
    teacher: Teacher  # where the task says that the learner acts
    pilot: Teacher | None  # elsewhere
    seed: int
    replay: Replay | None = None  # the aggregate buffer, from make_replay
    from_home: np.ndarray | None = None  # (B,) bool: worlds whose episodes count as whole ones; None: all
    touch: Callable[[World, jax.Array], jax.Array] | None = None  # expert by touch: labels where the task is blind
    pushes: Pushes | None = None  # while parts are put together and seen; None: nobody pushes
    collector: Collector | None = None  # None: this one acts in ``env``, whose worlds are then part of the snapshots

    def start(self, params: Params) -> Snapshot:
        """Return the snapshot before the first iteration; worlds begin at random ages, to spread the resets."""
        env_state, memory = ({}, {}) if self.collector is not None else self.begin()
        plan = Plan(self.settings, self.distill, self._learned(), self._total())
        optimiser = plan.optimiser().init(plan.trained(params))
        position = np.zeros(2, np.int64) if self.replay is None else self.replay.position()
        average = params if self.distill.averaging else None
        return Snapshot(params, average, params, optimiser, env_state, memory, np.array(0, np.int64), position)

    def begin(self) -> tuple[Any, dict[str, Any]]:
        """Return the environment at the start, and what the student remembers then."""
        env_state = stepping.spread(self.env, stepping.reset(self.env, self._key(0)), self._key(0))
        return env_state, start(self.settings.memory, self.env.worlds)

    def run(
        self,
        snapshot: Snapshot,
        save: Callable[[Snapshot], None],
        record: Callable[[int, dict[str, float]], None],
        interrupt: Interrupt,
    ) -> Snapshot:
        """Distil to the last iteration, or until the interrupt: the caller compares ``iteration``."""
        saved, last = time.monotonic(), self.distill.iterations
        collector = self.collector or self
        samples = collector.collect(snapshot) if int(snapshot.iteration) < last else None
        with ThreadPoolExecutor(1, "fit") as learner:
            while samples is not None and not interrupt.requested:
                fitted = learner.submit(self.fit, snapshot, samples)
                ahead = snapshot._replace(
                    acting=snapshot.student, env=samples.env, memory=samples.memory, iteration=snapshot.iteration + 1
                )
                following = collector.collect(ahead) if int(ahead.iteration) < last else None
                snapshot, metrics = fitted.result()
                samples = following
                record(int(snapshot.iteration), metrics)
                if time.monotonic() - saved > self.distill.checkpoint_interval_s:
                    save(snapshot)
                    saved = time.monotonic()
        save(snapshot)
        return snapshot

    def iterate(self, snapshot: Snapshot) -> tuple[Snapshot, dict[str, float]]:
        """Act, label and fit once; randomness follows from the seed and the iteration, so resuming changes nothing."""
        return self.fit(snapshot, (self.collector or self).collect(snapshot))

    def collect(self, snapshot: Snapshot) -> Samples:
        """Act for one iteration and label what was seen."""
        number = int(snapshot.iteration)
        key = jax.random.fold_in(self._key(1 + number), 1)
        return _collect(self, snapshot, self.taught(number), key)

    def taught(self, iteration: int) -> np.ndarray:
        """Return for how many steps of each world's episodes the teacher drives (B,) int32."""
        whole = self.env.task.episode_steps
        if self.distill.behaviour_cloning or iteration < TEACHER_ITERATIONS:
            return np.full(self.env.worlds, whole, np.int32)
        rank, moment = np.random.default_rng(self.seed).random((2, self.env.worlds))
        share = self.distill.teacher_prefix * max(
            0.0, 1.0 - iteration / (TEACHER_PREFIX_UNTIL * self.distill.iterations)
        )
        return np.where(rank < share, whole * moment, 0).astype(np.int32)

    def fit(self, snapshot: Snapshot, samples: Samples) -> tuple[Snapshot, dict[str, float]]:
        """Return the snapshot after one iteration's samples, and what to say of them."""
        number = int(snapshot.iteration)
        rows = _runs(_named(samples.rows), length(self.settings, self.distill))
        learned = {name: leaf.reshape(-1, *leaf.shape[2:]) for name, leaf in rows.items()}
        if self.replay is not None:
            if self.replay.filled > 1:
                count = self.distill.reuse * len(learned["label"])
                earlier = self.replay.sample(np.random.default_rng((self.seed, number)), count, ())
                learned = {name: np.concatenate([learned[name], earlier[name]]) for name in learned}
            self.replay.add(rows)
        key = self._key(1 + number)
        plan = Plan(self.settings, self.distill, len(learned["label"]), self._total())
        known = devices.everywhere((snapshot.params, snapshot.optimiser, learned, key))
        params, optimiser, errors = devices.here(fit(plan, *known))
        metrics = samples.counts | {name: float(error) for name, error in errors.items()}
        position = snapshot.replay if self.replay is None else self.replay.position()
        done = np.array(number + 1, np.int64)
        average = averaged(snapshot.average, params, self.distill.averaging, number)
        after = Snapshot(params, average, snapshot.student, optimiser, samples.env, samples.memory, done, position)
        return after, metrics

    def label(self, observation: Observation, acting: jax.Array, still: jax.Array | None = None) -> jax.Array:
        """Return the teacher's action (B, n) for the true state; 0 in the entries of arms that shall be ``still``."""
        clean = observation._replace(actor=observation.critic[:, : observation.actor.shape[1]])
        answer = self.teacher(clean)
        if self.pilot is not None:
            answer = jnp.where(acting[:, None], answer, self.pilot(clean))
        return answer if still is None else jnp.where(still, 0.0, answer)

    def _key(self, number: int) -> jax.Array:
        return jax.random.fold_in(make_key(self.seed), number)

    def _learned(self) -> int:
        """Return from how many runs an iteration learns; the first one, without earlier ones, from fewer."""
        new = self.env.worlds * self.distill.steps // length(self.settings, self.distill)
        return int(new * (1 + self.distill.reuse if self.distill.aggregate else 1))

    def _total(self) -> int:
        """Return how many optimiser steps all iterations take."""
        distill = self.distill
        each = minibatches(self._learned(), runs_at_once(self.settings, distill))
        return distill.iterations * distill.epochs * each


def make_replay(distill: Distill, settings: StudentSettings, folder: Path | None = None) -> Replay | None:
    """Return the aggregate buffer of a distillation, in ``folder`` if there is one; None where it is switched off.

    What it calls a step is a run of each world.
    """
    if not distill.aggregate:
        return None
    each = length(settings, distill)
    fields = {
        "label": Field((settings.action_size,), np.float32),
        "joints": Field((settings.joints.size,), np.float32),
    }
    if settings.estimates:
        fields["told"] = Field((settings.told,), np.float32)
    if settings.recurrent:
        fields["begun"] = Field((), np.bool_)
    fields |= {f"memory_{item.name}": Field(item.shape, item.dtype) for item in settings.memory}
    if distill.encoder == "frozen":
        fields["seen"] = Field((len(settings.cameras) * settings.encoder.latent,), np.float32)
    else:
        fields |= {name: Field(*shape) for name, shape in preprocess.raw_shapes(settings.cameras).items()}
    fields = {name: Field((each, *field.shape), field.dtype) for name, field in fields.items()}
    runs = max(2 * distill.steps, distill.aggregate // distill.worlds) // each
    return Replay(max(2, runs), distill.worlds, fields, folder)


def _named(rows: dict[str, Any]) -> dict[str, Any]:
    """Return the rows in one level of names."""
    return {name: leaf for name, leaf in rows.items() if name != "inputs"} | rows.get("inputs", {})


def _runs(rows: dict[str, Any], each: int) -> dict[str, Any]:
    """Return rows (T, B, ...) as runs of ``each`` steps (T / each, B, each, ...)."""
    return {name: leaf.reshape(-1, each, *leaf.shape[1:]).swapaxes(1, 2) for name, leaf in rows.items()}


def _collect(distiller: Distiller, snapshot: Snapshot, taught: np.ndarray, key: jax.Array) -> Samples:
    """Take ``steps`` steps and count the student's own episodes that end."""
    rows, counts = [], {"episodes": 0.0, "successes": 0.0, "switched": 0.0}
    env_state, memory = snapshot.env, snapshot.memory
    # One for all steps: what changes in every step would hardly move an arm.
    push = distiller.pushes and distiller.pushes.draw(jax.random.fold_in(key, distiller.distill.steps))
    for index in range(distiller.distill.steps):
        if distiller.distill.resample_appearance > 0:
            env_state = appearances.refresh(
                distiller.env,
                env_state,
                jax.random.fold_in(key, index),
                distiller.distill.resample_appearance,
                cameras=distiller.distill.resample_cameras,
            )
        action, memory, sample, switched, own = _consider(distiller, snapshot.acting, env_state, memory, taught, push)
        env_state, result = stepping.step(distiller.env, env_state, action)
        memory = student.emptied(distiller.settings, memory, result.done)
        ended = np.asarray(result.done & ~result.diverged & own)
        if distiller.from_home is not None:
            ended = ended & distiller.from_home
        rows.append(jax.tree.map(np.asarray, sample))
        counts["episodes"] += float(ended.sum())
        counts["successes"] += float((ended & np.asarray(result.success)).sum())
        counts["switched"] += float(switched) / distiller.distill.steps
    return Samples(env_state, memory, jax.tree.map(lambda *leaves: np.stack(leaves), *rows), counts)


@partial(jax.jit, static_argnums=0)
def _consider(
    distiller: Distiller,
    params: Params,
    state: Any,
    memory: dict[str, Any],
    taught: jax.Array,
    push: jax.Array | None = None,
) -> tuple[jax.Array, dict[str, Any], dict[str, Any], jax.Array, jax.Array]:
    """Return action (B, n), memory, labelled samples (B, ...), the share past the switch, and which episodes count."""
    env, settings, observation = distiller.env, distiller.settings, state.observation
    acting = jnp.broadcast_to(jax.vmap(env.task.acting)(state.task), (env.worlds,))
    label = distiller.label(observation, acting, state.still)
    counts = (taught == 0) if state.still is None else (taught == 0) & ~jnp.any(state.still, axis=-1)
    seen = student.tell(params, settings, student.latents(params["encoder"], settings, observation.inputs))
    joints = settings.joints.features(observation.inputs)
    action, after = student.act_on(params, settings, seen, joints, memory)
    blind = jnp.zeros_like(acting) if env.task.blind is None else jax.vmap(env.task.blind)(env.world(state))
    if distiller.touch is not None:
        felt = jax.vmap(distiller.touch)(env.world(state), mating.has_felt(after))
        label = jnp.where(blind[:, None], felt, label)
    sample: dict[str, Any] = {"label": label, "joints": joints}
    if settings.estimates:
        sample["told"] = jax.vmap(env.task.image_targets)(env.world(state)).reshape(env.worlds, settings.told)
    if settings.recurrent:
        sample["begun"] = state.step == 0
    # What was remembered when it acted: an older student told it, but poses mean the same to every student.
    sample |= {f"memory_{name}": value for name, value in memory.items()}
    # A frozen encoder's latents are the sample: 100 times smaller than the images and computed once.
    if distiller.distill.encoder == "frozen":
        sample["seen"] = seen.latents
    else:
        sample["inputs"] = {name: observation.inputs[name] for name in preprocess.raw_shapes(settings.cameras)}
    action = jnp.where((state.step < taught)[:, None], label, action)
    if push is not None:
        action = jnp.where((acting & ~blind)[:, None], jnp.clip(action + push, -1.0, 1.0), action)
        counts &= jnp.all(push == 0.0, axis=-1)
    return action, after, sample, jnp.mean(acting.astype(jnp.float32)), counts
