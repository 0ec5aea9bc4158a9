"""DAgger (Ross et al. 2011) from the state teachers to the student that sees images.

Each iteration acts for a few steps (the teacher in the first one, the student from then on), asks the teacher what it
would have done in every state visited, and fits the student to the answers of this iteration. The loss is the squared
L2 distance of the two tanh means.

The teacher is asked on its noise-free, undelayed observation: its noise and delay are not the student's, so on noisy
input the labels of one image would scatter, and the student could learn no more than their mean, from more samples.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from s2rctl.core.interrupt import Interrupt
from s2rctl.env import stepping
from s2rctl.env.keys import make_key
from s2rctl.learning import preprocess, student
from s2rctl.learning.student import Params, StudentSettings
from s2rctl.schema.learning import Distill
from s2rctl.tasks.protocol import Observation

Teacher = Callable[[Observation], jax.Array]
"""A batched policy: observation -> action (B, n) in [-1, 1]."""


class Snapshot(NamedTuple):
    """What a checkpoint keeps: a pytree."""

    params: Params
    optimiser: Any
    env: Any
    iteration: np.ndarray  # () int64: iterations done


@dataclass(frozen=True, eq=False)
class Distiller:
    """One distillation; compared by identity, because compiled functions belong to it.

    ``env`` is a VecEnv with a renderer and without a pilot: the student drives from the first step on, and the label
    before the switch is the pilot's.
    """

    env: Any
    settings: StudentSettings
    distill: Distill
    teacher: Teacher  # where the task says that the learner acts
    pilot: Teacher | None  # elsewhere
    seed: int

    def start(self, params: Params) -> Snapshot:
        """Return the snapshot before the first iteration; worlds begin at random ages, to spread the resets."""
        env_state = stepping.spread(self.env, stepping.reset(self.env, self._key(0)), self._key(0))
        return Snapshot(params, self.optimiser().init(self._trained(params)), env_state, np.array(0, np.int64))

    def optimiser(self) -> optax.GradientTransformation:
        """Return Adam whose rate falls to a tenth along a cosine: late iterations average over more states."""
        samples = self.env.worlds * self.distill.steps
        total = self.distill.iterations * self.distill.epochs * self._minibatches(samples)
        return optax.adam(optax.cosine_decay_schedule(self.distill.learning_rate, total, alpha=0.1))

    def run(
        self,
        snapshot: Snapshot,
        save: Callable[[Snapshot], None],
        record: Callable[[int, dict[str, float]], None],
        interrupt: Interrupt,
    ) -> Snapshot:
        """Distil to the last iteration, or until the interrupt: the caller compares ``iteration``."""
        saved = time.monotonic()
        while int(snapshot.iteration) < self.distill.iterations and not interrupt.requested:
            snapshot, metrics = self.iterate(snapshot)
            record(int(snapshot.iteration), metrics)
            if time.monotonic() - saved > self.distill.checkpoint_interval_s:
                save(snapshot)
                saved = time.monotonic()
        save(snapshot)
        return snapshot

    def iterate(self, snapshot: Snapshot) -> tuple[Snapshot, dict[str, float]]:
        """Act, label and fit once; randomness follows from the seed and the iteration, so resuming changes nothing."""
        number = int(snapshot.iteration)
        env_state, samples, counts = _collect(self, snapshot.params, snapshot.env, jnp.bool_(number == 0))
        params, optimiser, error = _fit(self, snapshot.params, snapshot.optimiser, samples, self._key(1 + number))
        metrics = counts | {"action_error": float(error)}
        return Snapshot(params, optimiser, env_state, np.array(number + 1, np.int64)), metrics

    def label(self, observation: Observation, acting: jax.Array) -> jax.Array:
        """Return the teacher's action (B, n) for the true state."""
        clean = observation._replace(actor=observation.critic[:, : observation.actor.shape[1]])
        answer = self.teacher(clean)
        if self.pilot is None:
            return answer
        return jnp.where(acting[:, None], answer, self.pilot(clean))

    def _key(self, number: int) -> jax.Array:
        return jax.random.fold_in(make_key(self.seed), number)

    def _trained(self, params: Params) -> Params:
        return {"head": params["head"]} if self.distill.freeze_encoder else params

    def _minibatches(self, samples: int) -> int:
        return max(1, samples // self.distill.batch)


def _collect(
    distiller: Distiller, params: Params, env_state: Any, teacher_acts: jax.Array
) -> tuple[Any, dict[str, Any], dict[str, float]]:
    """Return the environment after ``steps`` steps, the labelled samples (T * B, ...) and counts of episodes."""
    samples, counts = [], {"episodes": 0.0, "successes": 0.0, "switched": 0.0}
    for _ in range(distiller.distill.steps):
        action, sample, switched = _consider(distiller, params, env_state, teacher_acts)
        env_state, result = stepping.step(distiller.env, env_state, action)
        ended = np.asarray(result.done & ~result.diverged)
        samples.append(sample)
        counts["episodes"] += float(ended.sum())
        counts["successes"] += float((ended & np.asarray(result.success)).sum())
        counts["switched"] += float(switched) / distiller.distill.steps
    return env_state, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *samples), counts


@partial(jax.jit, static_argnums=0)
def _consider(
    distiller: Distiller, params: Params, state: Any, teacher_acts: jax.Array
) -> tuple[jax.Array, dict[str, Any], jax.Array]:
    """Return the action (B, n) to take, the labelled samples (B, ...) and the share of worlds past the switch."""
    env, settings, observation = distiller.env, distiller.settings, state.observation
    acting = jnp.broadcast_to(jax.vmap(env.task.acting)(state.task), (env.worlds,))
    label = distiller.label(observation, acting)
    seen = student.latents(params["encoder"], settings, observation.inputs)
    joints = preprocess.proprio(observation.inputs)
    action = student.act_on(params["head"], settings, seen, joints)
    # A frozen encoder's latents are the sample: 100 times smaller than the images and computed once.
    sample: dict[str, Any] = {"label": label, "joints": joints}
    if distiller.distill.freeze_encoder:
        sample["seen"] = seen
    else:
        sample["inputs"] = {name: observation.inputs[name] for name in preprocess.raw_shapes(settings.cameras)}
    return jnp.where(teacher_acts, label, action), sample, jnp.mean(acting.astype(jnp.float32))


@partial(jax.jit, static_argnums=0)
def _fit(
    distiller: Distiller, params: Params, optimiser_state: Any, samples: dict[str, Any], key: jax.Array
) -> tuple[Params, Any, jax.Array]:
    """Return parameters and optimiser after all epochs, and the root mean square action error before each step."""
    distill, settings = distiller.distill, distiller.settings
    optimiser = distiller.optimiser()
    count = samples["label"].shape[0]
    minibatches = distiller._minibatches(count)
    size = min(count, distill.batch)

    def loss(trained: Params, batch: dict[str, Any]) -> jax.Array:
        seen = (
            batch["seen"] if distill.freeze_encoder else student.latents(trained["encoder"], settings, batch["inputs"])
        )
        action = student.act_on(trained["head"], settings, seen, batch["joints"])
        return jnp.mean(jnp.sum((action - batch["label"]) ** 2, axis=-1))

    def step(carry: tuple[Params, Any], rows: jax.Array) -> tuple[tuple[Params, Any], jax.Array]:
        trained, state = carry
        batch = jax.tree.map(lambda leaf: leaf[rows], samples)
        value, gradient = jax.value_and_grad(loss)(trained, batch)
        change, state = optimiser.update(gradient, state)
        return (optax.apply_updates(trained, change), state), value

    def rows_of(epoch_key: jax.Array) -> jax.Array:
        return jax.random.permutation(epoch_key, count)[: minibatches * size].reshape(minibatches, size)

    rows = jax.vmap(rows_of)(jax.random.split(key, distill.epochs)).reshape(-1, size)
    (trained, optimiser_state), losses = jax.lax.scan(step, (distiller._trained(params), optimiser_state), rows)
    error = jnp.sqrt(jnp.mean(losses[:minibatches]) / samples["label"].shape[1])
    return params | trained, optimiser_state, error
