"""DAgger (Ross et al. 2011) from the state teachers to the student that sees images.

Each iteration acts for a few steps (the teacher at first, the student from then on), asks the teacher what it would
have done in every state visited, and fits the student to the answers: those of this iteration, and with an aggregate
buffer as many of earlier ones. The loss is the squared L2 distance of the two tanh means.

The teacher is asked on its noise-free, undelayed observation: its noise and delay are not the student's, so on noisy
input the labels of one image would scatter, and the student could learn no more than their mean, from more samples.

With a teacher prefix the teacher drives the beginning of every episode of some worlds and shows the student what it
cannot reach yet. How long differs from world to world, so that all parts of the task are visited from the start.

Worlds can begin each episode where the pick teacher hands over, to see more of the insertion (docs/benchmarks.md says
what that was worth).

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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from s2rctl.core.interrupt import Interrupt
from s2rctl.env import appearances, stepping
from s2rctl.env.keys import make_key
from s2rctl.learning.optimiser import make_optimiser
from s2rctl.learning.replay import Field, Replay
from s2rctl.learning.student import network as student
from s2rctl.learning.student.network import Params, StudentSettings
from s2rctl.learning.vision import preprocess
from s2rctl.schema.learning import Distill
from s2rctl.tasks.protocol import Observation

Teacher = Callable[[Observation], jax.Array]
"""A batched policy: observation -> action (B, n) in [-1, 1]."""

TEACHER_ITERATIONS = 2
"""First iterations, in which the teacher acts: the student that would act has not been fitted yet."""

TEACHER_PREFIX_UNTIL = 0.5
"""Share of the iterations after which no world is guided: then the student learns from where it goes by itself."""


class Snapshot(NamedTuple):
    """What a checkpoint keeps: a pytree."""

    params: Params
    acting: Params  # the student that acts next, one iteration behind
    optimiser: Any
    env: Any
    iteration: np.ndarray  # () int64: iterations done
    replay: np.ndarray  # (2,) int64: Replay.position() of the aggregate buffer


class Samples(NamedTuple):
    """What one iteration collected."""

    env: Any  # the environment afterwards
    rows: dict[str, Any]  # (T, B, ...), labelled
    counts: dict[str, float]


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

    def start(self, params: Params) -> Snapshot:
        """Return the snapshot before the first iteration; worlds begin at random ages, to spread the resets."""
        env_state = stepping.spread(self.env, stepping.reset(self.env, self._key(0)), self._key(0))
        optimiser = self.optimiser().init(self._trained(params))
        position = np.zeros(2, np.int64) if self.replay is None else self.replay.position()
        return Snapshot(params, params, optimiser, env_state, np.array(0, np.int64), position)

    def optimiser(self) -> optax.GradientTransformation:
        """Return the optimiser; its rate falls, so that late iterations average over more states."""
        total = self.distill.iterations * self.distill.epochs * self._minibatches(self._learned())
        distill = self.distill
        return make_optimiser(
            distill.optimiser,
            distill.learning_rate,
            total,
            final=distill.final_rate,
            weight_decay=distill.weight_decay,
        )

    def run(
        self,
        snapshot: Snapshot,
        save: Callable[[Snapshot], None],
        record: Callable[[int, dict[str, float]], None],
        interrupt: Interrupt,
    ) -> Snapshot:
        """Distil to the last iteration, or until the interrupt: the caller compares ``iteration``."""
        saved, last = time.monotonic(), self.distill.iterations
        samples = self.collect(snapshot) if int(snapshot.iteration) < last else None
        with ThreadPoolExecutor(1, "fit") as learner:
            while samples is not None and not interrupt.requested:
                fitted = learner.submit(self.fit, snapshot, samples)
                ahead = snapshot._replace(acting=snapshot.params, env=samples.env, iteration=snapshot.iteration + 1)
                following = self.collect(ahead) if int(ahead.iteration) < last else None
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
        return self.fit(snapshot, self.collect(snapshot))

    def collect(self, snapshot: Snapshot) -> Samples:
        """Act for one iteration and label what was seen."""
        number = int(snapshot.iteration)
        key = jax.random.fold_in(self._key(1 + number), 1)
        return _collect(self, snapshot.acting, snapshot.env, self.taught(number), key)

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
        learned = {name: _flat(leaf) for name, leaf in _named(samples.rows).items()}
        if self.replay is not None:
            if self.replay.filled > 1:
                count = len(learned["label"])
                earlier = self.replay.sample(np.random.default_rng((self.seed, number)), count, ())
                learned = {name: np.concatenate([learned[name], earlier[name]]) for name in learned}
            self.replay.add(_named(samples.rows))
        key = self._key(1 + number)
        params, optimiser, error = _fit(self, snapshot.params, snapshot.optimiser, learned, key)
        metrics = samples.counts | {"action_error": float(error)}
        position = snapshot.replay if self.replay is None else self.replay.position()
        done = np.array(number + 1, np.int64)
        return Snapshot(params, snapshot.params, optimiser, samples.env, done, position), metrics

    def label(self, observation: Observation, acting: jax.Array, still: jax.Array | None = None) -> jax.Array:
        """Return the teacher's action (B, n) for the true state; 0 in the entries of arms that shall be ``still``."""
        clean = observation._replace(actor=observation.critic[:, : observation.actor.shape[1]])
        answer = self.teacher(clean)
        if self.pilot is not None:
            answer = jnp.where(acting[:, None], answer, self.pilot(clean))
        return answer if still is None else jnp.where(still, 0.0, answer)

    def _key(self, number: int) -> jax.Array:
        return jax.random.fold_in(make_key(self.seed), number)

    def _trained(self, params: Params) -> Params:
        return {"head": params["head"]} if self.distill.encoder == "frozen" else params

    def _learned(self) -> int:
        """Return how many samples an iteration learns from; the first one, without earlier ones, from half of them."""
        return self.env.worlds * self.distill.steps * (2 if self.distill.aggregate else 1)

    def _minibatches(self, samples: int) -> int:
        return max(1, samples // self.distill.batch)


def make_replay(distill: Distill, settings: StudentSettings, folder: Path | None = None) -> Replay | None:
    """Return the aggregate buffer of a distillation, in ``folder`` if there is one; None where it is switched off."""
    if not distill.aggregate:
        return None
    fields = {
        "label": Field((settings.action_size,), np.float32),
        "joints": Field((settings.joints.size,), np.float32),
    }
    if distill.encoder == "frozen":
        fields["seen"] = Field((len(settings.cameras) * settings.encoder.latent,), np.float32)
    else:
        fields |= {name: Field(*shape) for name, shape in preprocess.raw_shapes(settings.cameras).items()}
    return Replay(max(2 * distill.steps, distill.aggregate // distill.worlds), distill.worlds, fields, folder)


def _named(rows: dict[str, Any]) -> dict[str, Any]:
    """Return the rows in one level of names."""
    return {name: leaf for name, leaf in rows.items() if name != "inputs"} | rows.get("inputs", {})


def _flat(leaf: np.ndarray) -> np.ndarray:
    return leaf.reshape(-1, *leaf.shape[2:])


def _collect(distiller: Distiller, params: Params, env_state: Any, taught: np.ndarray, key: jax.Array) -> Samples:
    """Take ``steps`` steps and count the student's own episodes that end, those with a hidden object apart."""
    rows, counts = [], {"episodes": 0.0, "successes": 0.0, "switched": 0.0}
    for index in range(distiller.distill.steps):
        if distiller.distill.resample_appearance > 0:
            env_state = appearances.refresh(
                distiller.env, env_state, jax.random.fold_in(key, index), distiller.distill.resample_appearance
            )
        action, sample, switched, own = _consider(distiller, params, env_state, taught)
        env_state, result = stepping.step(distiller.env, env_state, action)
        ended = np.asarray(result.done & ~result.diverged & own)
        if distiller.from_home is not None:
            ended = ended & distiller.from_home
        rows.append(jax.tree.map(np.asarray, sample))
        counts["episodes"] += float(ended.sum())
        counts["successes"] += float((ended & np.asarray(result.success)).sum())
        counts["switched"] += float(switched) / distiller.distill.steps
    return Samples(env_state, jax.tree.map(lambda *leaves: np.stack(leaves), *rows), counts)


@partial(jax.jit, static_argnums=0)
def _consider(
    distiller: Distiller, params: Params, state: Any, taught: jax.Array
) -> tuple[jax.Array, dict[str, Any], jax.Array, jax.Array]:
    """Return action (B, n), labelled samples (B, ...), the share past the switch, and which episodes count."""
    env, settings, observation = distiller.env, distiller.settings, state.observation
    acting = jnp.broadcast_to(jax.vmap(env.task.acting)(state.task), (env.worlds,))
    label = distiller.label(observation, acting, state.still)
    counts = (taught == 0) if state.still is None else (taught == 0) & ~jnp.any(state.still, axis=-1)
    seen = student.latents(params["encoder"], settings, observation.inputs)
    joints = settings.joints.features(observation.inputs)
    action = student.act_on(params["head"], settings, seen, joints)
    # A frozen encoder's latents are the sample: 100 times smaller than the images and computed once.
    sample: dict[str, Any] = {"label": label, "joints": joints}
    if distiller.distill.encoder == "frozen":
        sample["seen"] = seen
    else:
        sample["inputs"] = {name: observation.inputs[name] for name in preprocess.raw_shapes(settings.cameras)}
    action = jnp.where((state.step < taught)[:, None], label, action)
    return action, sample, jnp.mean(acting.astype(jnp.float32)), counts


@partial(jax.jit, static_argnums=0)
def _fit(
    distiller: Distiller, params: Params, optimiser_state: Any, samples: dict[str, Any], key: jax.Array
) -> tuple[Params, Any, jax.Array]:
    """Return parameters and optimiser after all epochs, and the root mean square action error in the first of them."""
    distill, settings = distiller.distill, distiller.settings
    optimiser = distiller.optimiser()
    count = samples["label"].shape[0]
    minibatches = distiller._minibatches(count)
    size = min(count, distill.batch)

    def loss(trained: Params, batch: dict[str, Any]) -> jax.Array:
        frozen = distill.encoder == "frozen"
        seen = batch["seen"] if frozen else student.latents(trained["encoder"], settings, batch)
        action = student.act_on(trained["head"], settings, seen, batch["joints"])
        return jnp.mean(jnp.sum((action - batch["label"]) ** 2, axis=-1))

    def step(carry: tuple[Params, Any], rows: jax.Array) -> tuple[tuple[Params, Any], jax.Array]:
        trained, state = carry
        batch = jax.tree.map(lambda leaf: leaf[rows], samples)
        value, gradient = jax.value_and_grad(loss)(trained, batch)
        change, state = optimiser.update(gradient, state, trained)
        return (optax.apply_updates(trained, change), state), value

    def rows_of(epoch_key: jax.Array) -> jax.Array:
        return jax.random.permutation(epoch_key, count)[: minibatches * size].reshape(minibatches, size)

    rows = jax.vmap(rows_of)(jax.random.split(key, distill.epochs)).reshape(-1, size)
    (trained, optimiser_state), losses = jax.lax.scan(step, (distiller._trained(params), optimiser_state), rows)
    error = jnp.sqrt(jnp.mean(losses[:minibatches]) / samples["label"].shape[1])
    return params | trained, optimiser_state, error
