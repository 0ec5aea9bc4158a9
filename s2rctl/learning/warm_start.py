"""A teacher's start: DAgger (Ross et al. 2011) from the scripted expert that sees the true state.

Every round acts for one episode length in all worlds (the expert in the first round, mostly the learner in later ones),
asks the expert what it would have done in every state visited, and fits the actor to all answers so far. The actor
sees the noisy, delayed observation, so that it learns the expert's mean action given what a robot knows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from s2rctl.core.errors import RunError
from s2rctl.learning import networks, normalise
from s2rctl.learning.networks import Params, TeacherSettings
from s2rctl.learning.ppo import Taught
from s2rctl.learning.rollout import Environment
from s2rctl.schema.learning import WarmStart as Settings

MEMORY = 1_000_000
"""Samples kept; beyond it new ones replace random old ones. Half precision: 130 bytes each for a pick."""
EXPERT_DECAY = 0.3
"""Share of worlds that the expert drives in round k: this to the power of k."""
CHUNK = 250
"""Optimiser steps between two looks at the interrupt."""
FINAL_RATE = 0.05
"""The learning rate falls to this share along a cosine: late steps average over more samples."""


class WarmState(NamedTuple):
    """What a checkpoint keeps: a pytree."""

    actor: Params
    optimiser: Any
    actor_statistics: Any
    critic_statistics: Any
    observations: np.ndarray  # (capacity, n) float16
    labels: np.ndarray  # (capacity, actions) float16
    filled: np.ndarray  # () int64, samples ever added
    round: np.ndarray  # () int64, rounds done


@dataclass(frozen=True, eq=False)
class WarmStarter:
    """One warm start; compared by identity, because compiled functions belong to it."""

    env: Environment
    settings: TeacherSettings
    warm: Settings
    expert: Callable[[Any], jax.Array]  # World of one world -> action (n,)
    key: jax.Array

    @property
    def steps_per_round(self) -> int:
        """Environment steps of one round."""
        return self.env.worlds * self.env.task.episode_steps

    def start(self) -> WarmState:
        """Return the state before the first round."""
        actor, optimiser, actor_statistics, critic_statistics = _blank(self)
        capacity = min(MEMORY, self.warm.rounds * self.steps_per_round)
        return WarmState(
            actor=actor,
            optimiser=optimiser,
            actor_statistics=actor_statistics,
            critic_statistics=critic_statistics,
            observations=np.zeros((capacity, self.env.actor_size), np.float16),
            labels=np.zeros((capacity, self.env.action_size), np.float16),
            filled=np.array(0, np.int64),
            round=np.array(0, np.int64),
        )

    def optimiser(self) -> optax.GradientTransformation:
        """Return Adam with a falling rate."""
        total = self.warm.rounds * self.warm.steps
        return optax.adam(optax.cosine_decay_schedule(self.warm.learning_rate, max(1, total), FINAL_RATE))

    def advance(self, state: WarmState, carry_on: Callable[[float], bool]) -> tuple[WarmState, dict[str, float]] | None:
        """Do one round; returns the new state and figures, or None if ``carry_on`` said no.

        ``carry_on`` is told the share of the round that is done. The old state's sample arrays are written to, beyond
        or over old samples in a way that depends only on the round: repeating a round gives the same result.
        """
        number = int(state.round)
        act_key, fit_key = jax.random.split(jax.random.fold_in(self.key, 1 + number))
        share = jnp.float32(EXPERT_DECAY**number)
        rows, counts = _collect(self, state.actor, state.actor_statistics, share, act_key)
        actor_statistics = normalise.update(state.actor_statistics, rows.actor, rows.weight)
        critic_statistics = normalise.update(state.critic_statistics, rows.critic, rows.weight)
        state = self._remember(state, rows)
        if not int(state.filled):
            raise RunError("the warm start has nothing to learn from: the learner never acted", "train the pick first")
        samples = jnp.asarray(state.observations), jnp.asarray(state.labels)
        available = jnp.int32(min(int(state.filled), len(state.labels)))
        actor, optimiser, errors = state.actor, state.optimiser, []
        for first in range(0, self.warm.steps, CHUNK):
            if not carry_on(0.3 + 0.7 * first / self.warm.steps):
                return None
            length = min(CHUNK, self.warm.steps - first)
            chunk_key = jax.random.fold_in(fit_key, first)
            scale = normalise.published(actor_statistics)
            actor, optimiser, error = _fit(self, length, actor, optimiser, scale, samples, available, chunk_key)
            errors.append(float(error))
        figures = {name: float(value) for name, value in counts.items()} | {"action_error": errors[-1]}
        new = state._replace(
            actor=actor,
            optimiser=optimiser,
            actor_statistics=actor_statistics,
            critic_statistics=critic_statistics,
            round=np.array(number + 1, np.int64),
        )
        return new, figures

    def taught(self, state: WarmState) -> Taught:
        """Return what PPO starts from."""
        return Taught(state.actor, state.actor_statistics, state.critic_statistics)

    def _remember(self, state: WarmState, rows: "Rows") -> WarmState:
        """Add the samples that count; in a full memory they replace random old ones."""
        keep = np.asarray(rows.weight).reshape(-1) > 0
        observations = np.asarray(rows.actor).reshape(len(keep), -1)[keep]
        labels = np.asarray(rows.label).reshape(len(keep), -1)[keep]
        filled, capacity = int(state.filled), len(state.labels)
        places = np.arange(filled, filled + len(labels))
        over = places >= capacity
        # Every world's samples are as likely to be replaced as any other's.
        places[over] = np.random.default_rng([int(state.round), filled]).integers(0, capacity, int(over.sum()))
        state.observations[places] = np.clip(observations, -normalise.LARGEST, normalise.LARGEST)
        state.labels[places] = labels
        return state._replace(filled=np.array(filled + len(labels), np.int64))


@partial(jax.jit, static_argnums=0)
def _blank(starter: WarmStarter) -> tuple[Params, Any, Any, Any]:
    """Return random actor, its optimiser, and statistics of actor and critic that have seen nothing."""
    actor = networks.init_actor(jax.random.fold_in(starter.key, 0), starter.settings)
    sizes = starter.env.actor_size, starter.env.critic_size
    return actor, starter.optimiser().init(actor), normalise.start(sizes[0]), normalise.start(sizes[1])


class Rows(NamedTuple):
    """One round's samples, leaves (T, B, ...)."""

    actor: jax.Array
    critic: jax.Array
    label: jax.Array  # the expert's action
    weight: jax.Array  # 1 where the learner was to act in a healthy world


@partial(jax.jit, static_argnums=0)
def _collect(
    starter: WarmStarter, actor: Params, statistics: Any, share: jax.Array, key: jax.Array
) -> tuple[Rows, dict[str, jax.Array]]:
    """Act for one episode length; ``share`` of the worlds are driven by the expert."""
    env = starter.env
    reset_key, who_key = jax.random.split(key)
    params = {"actor": actor, "normaliser": normalise.published(statistics)}
    expert_drives = jax.random.uniform(who_key, (env.worlds, 1)) < share

    def step(state: Any, _: None) -> tuple[Any, tuple[Rows, tuple[jax.Array, jax.Array]]]:
        seen = normalise.cut(state.observation.actor)
        label = jnp.clip(jax.vmap(starter.expert)(env.world(state)), -1.0, 1.0)
        healthy = jnp.all(jnp.isfinite(label), axis=-1)
        label = jnp.where(healthy[:, None], label, 0.0)
        action = networks.teacher_action(params, starter.settings, seen)
        critic = state.observation.critic
        state, result = env.step(state, jnp.where(expert_drives, label, action))
        weight = (result.acting & ~result.diverged & healthy).astype(jnp.float32)
        ended = result.done & ~result.diverged
        return state, (Rows(seen, critic, label, weight), (ended, ended & result.success))

    _, (rows, (ended, success)) = jax.lax.scan(step, env.reset(reset_key), None, length=env.task.episode_steps)
    learners = ~expert_drives[:, 0]
    counts = {
        "episodes": jnp.sum(ended & learners),
        "successes": jnp.sum(success & learners),
        "expert_episodes": jnp.sum(ended & ~learners),
        "expert_successes": jnp.sum(success & ~learners),
        "samples": jnp.sum(rows.weight),
    }
    return rows, counts


@partial(jax.jit, static_argnums=(0, 1))
def _fit(
    starter: WarmStarter,
    steps: int,
    actor: Params,
    optimiser_state: Any,
    scale: dict[str, jax.Array],
    samples: tuple[jax.Array, jax.Array],
    available: jax.Array,
    key: jax.Array,
) -> tuple[Params, Any, jax.Array]:
    """Take optimiser steps on the squared error of the deterministic action; returns its root mean square too."""
    observations, labels = samples
    optimiser = starter.optimiser()
    actions = starter.env.action_size

    def loss(trained: Params, rows: jax.Array) -> jax.Array:
        seen = normalise.normalise(scale, observations[rows].astype(jnp.float32))
        mean = networks.apply_actor(trained, starter.settings, seen)[..., :actions]
        return jnp.mean(jnp.sum((jnp.tanh(mean) - labels[rows]) ** 2, axis=-1))

    def step(carry: tuple[Params, Any], step_key: jax.Array) -> tuple[tuple[Params, Any], jax.Array]:
        trained, state = carry
        rows = jax.random.randint(step_key, (starter.warm.batch,), 0, available)
        value, gradient = jax.value_and_grad(loss)(trained, rows)
        change, state = optimiser.update(gradient, state)
        return (optax.apply_updates(trained, change), state), value

    (actor, optimiser_state), losses = jax.lax.scan(step, (actor, optimiser_state), jax.random.split(key, steps))
    return actor, optimiser_state, jnp.sqrt(jnp.mean(losses) / actions)
