"""A teacher's start: DAgger (Ross et al. 2011) from the scripted expert that sees the true state.

Every round acts for one episode length in all worlds (the expert in the first round, first the learner and then the
expert in later ones), asks the expert what it would have done in every state visited, and fits the actor to all answers
so far. The actor sees the noisy, delayed observation, so that it learns the expert's mean action given what a robot
knows.
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
from s2rctl.env import stepping
from s2rctl.env.types import EnvState, Step
from s2rctl.learning import devices
from s2rctl.learning.teacher import networks, normalise
from s2rctl.learning.teacher.networks import Params, TeacherSettings
from s2rctl.learning.teacher.ppo import Taught
from s2rctl.learning.teacher.rollout import Environment
from s2rctl.schema.learning import WarmStart as Settings

MEMORY = 1_000_000
"""Samples kept; beyond it new ones replace random old ones. Half precision: 130 bytes each for a pick."""
LONGEST_TURN = 1.25
"""From the second round on the learner drives each world's episode for a time drawn from 0 to this many times the
longest that it may act, then the expert. Were it the learner alone, samples would come to be mostly of the states in
which it is stuck for lack of what only the expert sees: after five rounds with 256 worlds that gave 61/256 picks from
home, this 114."""
CHUNK = 250
"""Optimiser steps between two checks for an interrupt."""
ACTING_SHARE = 0.3
"""Share of a round's time that acting takes, for the progress bar."""
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
        collected = self._collect(state, act_key, lambda done: carry_on(ACTING_SHARE * done))
        if collected is None:
            return None
        rows, figures = collected
        actor_statistics = _seen(state.actor_statistics, rows.actor, rows.weight)
        critic_statistics = _seen(state.critic_statistics, rows.critic, rows.weight)
        state = self._remember(state, rows)
        if not int(state.filled):
            raise RunError(
                "the warm start collected no samples: the learner never acted", "train the pick teacher first"
            )
        samples = devices.everywhere((jnp.asarray(state.observations), jnp.asarray(state.labels)))
        available = jnp.int32(min(int(state.filled), len(state.labels)))
        actor, optimiser = devices.everywhere((state.actor, state.optimiser))
        scale, errors = devices.everywhere(normalise.published(actor_statistics)), []
        for first in range(0, self.warm.steps, CHUNK):
            if not carry_on(ACTING_SHARE + (1 - ACTING_SHARE) * first / self.warm.steps):
                return None
            length = min(CHUNK, self.warm.steps - first)
            chunk_key = devices.everywhere(jax.random.fold_in(fit_key, first))
            actor, optimiser, error = _fit(self, length, actor, optimiser, scale, samples, available, chunk_key)
            errors.append(float(error))
        figures["action_error"] = errors[-1]
        actor, optimiser = devices.here((actor, optimiser))
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

    def _collect(
        self, state: WarmState, key: jax.Array, carry_on: Callable[[float], bool]
    ) -> "tuple[Rows, dict[str, float]] | None":
        """Act for one episode length; None if ``carry_on`` said no."""
        env, length = self.env, self.env.task.episode_steps
        reset_key, who_key = jax.random.split(key)
        most = env.task.acting_steps or length
        longest = LONGEST_TURN * most if int(state.round) else 0.0
        turn = longest * np.asarray(jax.random.uniform(who_key, (env.worlds,)))
        acted = np.zeros(env.worlds)  # steps of the running episode in which no pilot drove
        params = {"actor": state.actor, "normaliser": normalise.published(state.actor_statistics)}
        worlds, taken, counts = stepping.reset(env, reset_key), [], _Counts()
        for index in range(length):
            if index % 10 == 0 and not carry_on(index / length):
                return None
            choice = _choose(self, params, worlds, acted < turn)
            critic = worlds.observation.critic
            worlds, result = stepping.step(env, worlds, choice.action)
            weight = result.acting & ~result.diverged & choice.healthy
            taken.append(Rows(*(np.asarray(a) for a in (choice.seen, critic, choice.label, weight))))
            counts.add(result, turn >= most, turn == 0)
            acted = np.where(result.done, 0.0, acted + np.asarray(result.acting))
        rows = Rows(*(np.stack(leaves) for leaves in zip(*taken, strict=True)))
        return rows, counts.figures() | {"samples": float(rows.weight.sum())}

    def _remember(self, state: WarmState, rows: "Rows") -> WarmState:
        """Add the samples that count; in a full memory they replace random old ones."""
        keep = rows.weight.reshape(-1)
        observations = rows.actor.reshape(len(keep), -1)[keep]
        labels = rows.label.reshape(len(keep), -1)[keep]
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

    actor: np.ndarray
    critic: np.ndarray
    label: np.ndarray  # the expert's action
    weight: np.ndarray  # bool: the learner was to act in a healthy world


class _Choice(NamedTuple):
    """What is done and what the expert would do, (B, ...)."""

    seen: jax.Array
    label: jax.Array
    healthy: jax.Array  # bool: the expert had an answer
    action: jax.Array


class _Counts:
    """Episodes that ended, and how many in success: those that the learner or the expert drove from start to end."""

    def __init__(self) -> None:
        self._numbers = np.zeros((2, 2), int)  # learner and expert; episodes and successes

    def add(self, result: Step, learners: np.ndarray, experts: np.ndarray) -> None:
        ended = np.asarray(result.done & ~result.diverged)
        success = ended & np.asarray(result.success)
        for row, mask in enumerate((learners, experts)):
            self._numbers[row] += int((ended & mask).sum()), int((success & mask).sum())

    def figures(self) -> dict[str, float]:
        names = ("episodes", "successes", "expert_episodes", "expert_successes")
        return dict(zip(names, self._numbers.reshape(-1).astype(float).tolist(), strict=True))


@partial(jax.jit, static_argnums=0)
def _choose(starter: WarmStarter, params: Params, state: EnvState, learner: jax.Array) -> _Choice:
    """Ask expert and learner in all worlds; the learner drives where ``learner`` (B,) says so."""
    seen = normalise.clip(state.observation.actor)
    label = jnp.clip(jax.vmap(starter.expert)(starter.env.world(state)), -1.0, 1.0)
    healthy = jnp.all(jnp.isfinite(label), axis=-1)
    label = jnp.where(healthy[:, None], label, 0.0)
    action = networks.teacher_action(params, starter.settings, seen)
    return _Choice(seen, label, healthy, jnp.where(learner[:, None], action, label))


@jax.jit
def _seen(statistics: Any, rows: jax.Array, weight: jax.Array) -> Any:
    """Return the statistics after rows (T, B, n)."""
    return normalise.update(statistics, rows, weight)


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
        seen = normalise.normalise(scale, devices.divided(observations[rows]).astype(jnp.float32))
        mean = networks.apply_actor(trained, starter.settings, seen)[..., :actions]
        return jnp.mean(jnp.sum((jnp.tanh(mean) - labels[rows]) ** 2, axis=-1))

    def step(carry: tuple[Params, Any], step_key: jax.Array) -> tuple[tuple[Params, Any], jax.Array]:
        trained, state = carry
        rows = devices.whole(jax.random.randint(step_key, (starter.warm.batch,), 0, available))
        value, gradient = jax.value_and_grad(loss)(trained, rows)
        change, state = optimiser.update(gradient, state)
        return (optax.apply_updates(trained, change), state), value

    (actor, optimiser_state), losses = jax.lax.scan(step, (actor, optimiser_state), jax.random.split(key, steps))
    return actor, optimiser_state, jnp.sqrt(jnp.mean(losses) / actions)
