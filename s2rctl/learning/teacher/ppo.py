"""Proximal policy optimisation as a function from state to state: unroll, then learn from it."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from s2rctl.env import stepping
from s2rctl.env.types import Step
from s2rctl.learning import devices
from s2rctl.learning.teacher import networks, normalise, ppo_loss
from s2rctl.learning.teacher.networks import Params, TeacherSettings
from s2rctl.learning.teacher.ppo_loss import Samples, Weights
from s2rctl.learning.teacher.rollout import Environment, Tally, count, start_tally
from s2rctl.schema.learning import Ppo as Settings

SMALLEST_RATE = 1 / 30
"""The actor's learning rate moves between this share of the profile's and all of it, by a factor of 1.5 per gradient
step (as rsl_rl does per iteration), towards the divergence from the acting policy that the profile desires. A taught
policy begins with the smallest: a first step that is too large would cost what it was taught.
"""
VALUE_ONLY = 0.1
"""Share of the iterations after a warm start in which only the value function learns: the critic is untrained, and
early policy updates would destroy the warm start."""


class Learner(NamedTuple):
    """Everything that learns, and what it was taught: a pytree."""

    actor: Params
    value: Params
    warm: Params  # the actor after the warm start
    average: Params  # the actor averaged over the last iterations: without the noise of single gradient steps
    actor_optimiser: Any
    value_optimiser: Any
    rate: jax.Array  # () learning rate of the actor
    actor_statistics: Any
    critic_statistics: Any


class PpoState(NamedTuple):
    """Everything that training goes on from: a pytree."""

    learner: Learner
    env: Any
    tally: Tally
    key: jax.Array
    iteration: jax.Array  # () int32, iterations done


@dataclass(frozen=True, eq=False)
class PpoTrainer:
    """One training run; compared by identity, because compiled functions belong to it."""

    env: Environment
    settings: TeacherSettings
    value_hidden: tuple[int, ...]
    ppo: Settings
    warm_started: bool

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.env.worlds * self.ppo.unroll

    @property
    def iterations(self) -> int:
        """Iterations that the profile's number of steps needs."""
        return -(-self.ppo.steps // self.steps_per_iteration)

    def start(self, key: jax.Array, taught: "Taught | None" = None) -> PpoState:
        """Return the state before the first iteration, from random networks or from a warm start."""
        env_key, learner_key, key = jax.random.split(key, 3)
        worlds = stepping.spread(self.env, stepping.reset(self.env, env_key), env_key)
        return PpoState(_start(self, learner_key, taught), worlds, start_tally(self.env.worlds), key, jnp.int32(0))

    def optimiser(self) -> optax.GradientTransformation:
        """Return clipped Adam without its learning rate; actor and value each have one, and its clipping, alone."""
        return optax.chain(optax.clip_by_global_norm(self.ppo.max_grad_norm), optax.scale_by_adam())

    def published(self, learner: Learner) -> Params:
        """Return the parameters of the policy's file."""
        return {"actor": learner.average, "normaliser": normalise.published(learner.actor_statistics)}

    def iterate(self, state: PpoState) -> tuple[PpoState, dict[str, jax.Array]]:
        """Unroll once and learn from it; returns figures, () each."""
        act_key, learn_key, key = jax.random.split(state.key, 3)
        env, taken = state.env, []
        for step_key in jax.random.split(act_key, self.ppo.unroll):
            seen = env.observation
            choice = _choose(self, state.learner, seen.actor, step_key)
            env, result = stepping.step(self.env, env, choice.action)
            taken.append(_Taken(seen.actor, seen.critic, choice, result))
        known = devices.everywhere((state.learner, state.tally, state.iteration))
        digested = _digest(self, *known, devices.spread(taken), devices.everywhere(learn_key))
        learner, tally, figures = devices.here(digested)
        return PpoState(learner, env, tally, key, state.iteration + 1), figures


class Taught(NamedTuple):
    """What a warm start leaves."""

    actor: Params
    actor_statistics: Any
    critic_statistics: Any


class _Choice(NamedTuple):
    """What the exploring policy does, (B, ...)."""

    output: jax.Array  # parameters of the action's distribution
    raw: jax.Array  # action before tanh
    action: jax.Array


class _Taken(NamedTuple):
    """One step of B worlds."""

    actor: jax.Array  # observation that the policy saw
    critic: jax.Array  # true state at the same time
    choice: _Choice
    result: Step


@partial(jax.jit, static_argnums=0)
def _start(trainer: PpoTrainer, key: jax.Array, taught: Taught | None) -> Learner:
    actor_key, value_key = jax.random.split(key)
    env = trainer.env
    if taught is None:
        actor = networks.init_actor(actor_key, trainer.settings)
        statistics = normalise.start(env.actor_size), normalise.start(env.critic_size)
    else:
        actor = networks.with_spread(taught.actor, trainer.ppo.exploration)
        statistics = taught.actor_statistics, taught.critic_statistics
    value = networks.init_value(value_key, trainer.value_hidden, env.critic_size)
    return Learner(
        actor=actor,
        value=value,
        warm=actor,
        average=actor,
        actor_optimiser=trainer.optimiser().init(actor),
        value_optimiser=trainer.optimiser().init(value),
        rate=jnp.float32(trainer.ppo.learning_rate * (SMALLEST_RATE if taught and trainer.ppo.desired_kl else 1.0)),
        actor_statistics=statistics[0],
        critic_statistics=statistics[1],
    )


@partial(jax.jit, static_argnums=0)
def _choose(trainer: PpoTrainer, learner: Learner, seen: jax.Array, key: jax.Array) -> _Choice:
    """Draw an action for observations (B, n)."""
    draw = networks.distribution(trainer.env.action_size)
    normalised = normalise.normalise(normalise.published(learner.actor_statistics), normalise.clip(seen))
    output = networks.apply_actor(learner.actor, trainer.settings, normalised)
    raw = draw.sample_no_postprocessing(output, key)
    return _Choice(output, raw, draw.postprocess(raw))


@partial(jax.jit, static_argnums=0)
def _digest(
    trainer: PpoTrainer, learner: Learner, tally: Tally, iteration: jax.Array, taken: list[_Taken], key: jax.Array
) -> tuple[Learner, Tally, dict[str, jax.Array]]:
    """Learn from the steps taken; returns the bookkeeping of episodes and figures too."""
    steps: _Taken = jax.tree.map(lambda *leaves: jnp.stack(leaves), *taken)
    tally, finished = jax.lax.scan(count, tally, steps.result)
    weight = (steps.result.acting & ~steps.result.diverged).astype(jnp.float32)
    samples, figures = _samples(trainer, learner, steps, weight)
    progress = iteration / max(1, trainer.iterations)
    weights = Weights(
        imitation=jnp.float32(trainer.ppo.imitation * trainer.warm_started) * (1.0 - progress),
        entropy=jnp.float32(trainer.ppo.entropy),
        rate=trainer.ppo.learning_rate * (1.0 - (1.0 - trainer.ppo.final_rate) * progress),
    )
    acts = jnp.logical_or(not trainer.warm_started, progress >= VALUE_ONLY)
    learner, learned = _learn(trainer, learner, samples, weights, acts, key)
    if not trainer.warm_started:
        # After the gradient steps, so that the first of them sees the distribution that acted. A policy that was
        # taught keeps its inputs' scale.
        learner = learner._replace(
            actor_statistics=normalise.update(learner.actor_statistics, steps.actor, weight),
            critic_statistics=normalise.update(learner.critic_statistics, steps.critic, weight),
        )
    kept = trainer.ppo.averaging / (1.0 + trainer.ppo.averaging)
    average = jax.tree.map(lambda old, new: kept * old + (1.0 - kept) * new, learner.average, learner.actor)
    learner = learner._replace(average=average)
    sums = {name: jnp.sum(values) for name, values in finished._asdict().items()}
    return learner, tally, figures | learned | sums | {"rate": learner.rate}


def _samples(
    trainer: PpoTrainer, learner: Learner, steps: _Taken, weight: jax.Array
) -> tuple[Samples, dict[str, jax.Array]]:
    """Return all steps as independent samples with advantages and value targets."""
    actor = normalise.normalise(normalise.published(learner.actor_statistics), normalise.clip(steps.actor))
    critic_scale = normalise.published(learner.critic_statistics)
    critic = normalise.normalise(critic_scale, normalise.clip(steps.critic))
    last = normalise.normalise(critic_scale, normalise.clip(steps.result.last.critic))
    value = networks.apply_value(learner.value, trainer.value_hidden, critic)
    next_value = networks.apply_value(learner.value, trainer.value_hidden, last)
    reward = trainer.ppo.reward_scale * jnp.where(jnp.isfinite(steps.result.reward), steps.result.reward, 0.0)
    advantage = ppo_loss.advantages(
        reward,
        value,
        next_value,
        steps.result.done,
        steps.result.truncated,
        weight,
        trainer.ppo.discount,
        trainer.ppo.gae_lambda,
    )
    draw = networks.distribution(trainer.env.action_size)
    warm = draw.mode(networks.apply_actor(learner.warm, trainer.settings, actor))
    target = advantage + value
    samples = Samples(
        actor=actor,
        critic=critic,
        output=steps.choice.output,
        raw=steps.choice.raw,
        advantage=ppo_loss.standardised(advantage, weight),
        target=target,
        warm=warm,
        weight=weight,
    )
    error = ppo_loss.weighted_mean((target - value) ** 2, weight)
    spread = ppo_loss.weighted_mean((target - ppo_loss.weighted_mean(target, weight)) ** 2, weight)
    figures = {
        "reward": ppo_loss.weighted_mean(reward, weight) / trainer.ppo.reward_scale,
        "acting": jnp.mean(weight),
        "value_explained": 1.0 - error / (spread + 1e-8),
    }
    # Any row may come into any minibatch.
    return devices.whole(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), samples)), figures


def _learn(
    trainer: PpoTrainer, learner: Learner, samples: Samples, weights: Weights, acts: jax.Array, key: jax.Array
) -> tuple[Learner, dict[str, jax.Array]]:
    """Pass over the samples ``updates`` times in shuffled minibatches; the actor learns only if ``acts``."""
    total = samples.weight.shape[0]
    minibatches = min(trainer.ppo.minibatches, total)
    size = total // minibatches
    shuffle_key, noise_key = jax.random.split(key)

    def rows_of(pass_key: jax.Array) -> jax.Array:
        return jax.random.permutation(pass_key, total)[: minibatches * size].reshape(minibatches, size)

    rows = devices.whole(jax.vmap(rows_of)(jax.random.split(shuffle_key, trainer.ppo.updates)).reshape(-1, size))

    def step(carry: Learner, now: tuple[jax.Array, jax.Array]) -> tuple[Learner, dict[str, jax.Array]]:
        batch = devices.divided(jax.tree.map(lambda leaf: leaf[now[0]], samples))
        return _gradient_step(trainer, carry, batch, weights, acts, now[1])

    learner, figures = jax.lax.scan(step, learner, (rows, jax.random.split(noise_key, rows.shape[0])))
    return learner, jax.tree.map(jnp.mean, figures)


def _gradient_step(
    trainer: PpoTrainer, learner: Learner, batch: Samples, weights: Weights, acts: jax.Array, key: jax.Array
) -> tuple[Learner, dict[str, jax.Array]]:
    """Take one optimiser step for actor and value."""
    draw = networks.distribution(trainer.env.action_size)
    optimiser = trainer.optimiser()

    def actor_loss(actor: Params) -> tuple[jax.Array, dict[str, Any]]:
        output = networks.apply_actor(actor, trainer.settings, batch.actor)
        return ppo_loss.policy_loss(output, batch, draw, trainer.ppo, weights, key)

    def critic_loss(value: Params) -> jax.Array:
        return ppo_loss.value_loss(networks.apply_value(value, trainer.value_hidden, batch.critic), batch)

    gradient, figures = jax.grad(actor_loss, has_aux=True)(learner.actor)
    gradient = jax.tree.map(lambda g: jnp.where(acts, g, 0.0), gradient)
    change, actor_optimiser = optimiser.update(gradient, learner.actor_optimiser)
    actor = optax.apply_updates(learner.actor, jax.tree.map(lambda c: -learner.rate * c, change))

    loss, gradient = jax.value_and_grad(critic_loss)(learner.value)
    change, value_optimiser = optimiser.update(gradient, learner.value_optimiser)
    value_rate = trainer.ppo.value_learning_rate or trainer.ppo.learning_rate
    value = optax.apply_updates(learner.value, jax.tree.map(lambda c: -value_rate * c, change))

    rate = _next_rate(learner.rate, figures["kl"], trainer.ppo.desired_kl, weights.rate)
    # Where only the value learns, nothing diverges, and the rate must not rise for it.
    rate = jnp.where(acts, rate, learner.rate)
    learner = learner._replace(
        actor=actor, value=value, actor_optimiser=actor_optimiser, value_optimiser=value_optimiser, rate=rate
    )
    return learner, figures | {"value_loss": loss}


def _next_rate(rate: jax.Array, kl: jax.Array, desired: float | None, largest: jax.Array) -> jax.Array:
    """Return the learning rate after a step that left the policy ``kl`` away from the one that acted."""
    if desired is None:
        return largest
    factor = jnp.where(kl > 2 * desired, 1 / 1.5, jnp.where(kl < desired / 2, 1.5, 1.0))
    return jnp.clip(rate * factor, SMALLEST_RATE * largest, largest)
