"""Proximal policy optimisation as one pure function from state to state: unroll, then learn from it."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from s2rctl.learning import networks, normalise, ppo_loss
from s2rctl.learning.networks import Params, TeacherSettings
from s2rctl.learning.ppo_loss import Samples, Weights
from s2rctl.learning.rollout import Environment, Finished, Tally, Unroll, count, start_tally
from s2rctl.schema.learning import Ppo as Settings

DESIRED_KL = 0.015
"""Divergence per update that the learning rate aims at; it moves by a factor of 1.5 (as rsl_rl does)."""
SMALLEST_RATE = 1e-5
WARM_STD = 0.2
"""Exploration noise before tanh of a policy that was taught: enough to vary a grip, too little to lose it."""
VALUE_ONLY = 0.05
"""Share of the iterations after a warm start in which only the value function learns: it starts from nothing, and a
policy that followed it at once would be spoilt."""


class Learner(NamedTuple):
    """Everything that learns, and what it was taught: a pytree."""

    actor: Params
    value: Params
    warm: Params  # the actor after the warm start
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
        result: PpoState = _start(self, key, taught)
        return result

    def optimiser(self) -> optax.GradientTransformation:
        """Return clipped Adam without its learning rate.

        Actor and value have one each, so that neither's gradient uses up the other's clipping.
        """
        return optax.chain(optax.clip_by_global_norm(self.ppo.max_grad_norm), optax.scale_by_adam())

    def published(self, learner: Learner) -> Params:
        """Return the parameters of the policy's file."""
        return {"actor": learner.actor, "normaliser": normalise.published(learner.actor_statistics)}

    def iterate(self, state: PpoState) -> tuple[PpoState, dict[str, jax.Array]]:
        """Unroll once and learn from it; returns figures, () each."""
        result: tuple[PpoState, dict[str, jax.Array]] = _iterate(self, state)
        return result


class Taught(NamedTuple):
    """What a warm start leaves."""

    actor: Params
    actor_statistics: Any
    critic_statistics: Any


@partial(jax.jit, static_argnums=0)
def _start(trainer: PpoTrainer, key: jax.Array, taught: Taught | None) -> PpoState:
    actor_key, value_key, env_key, key = jax.random.split(key, 4)
    env = trainer.env
    if taught is None:
        actor = networks.init_actor(actor_key, trainer.settings)
        statistics = normalise.start(env.actor_size), normalise.start(env.critic_size)
    else:
        actor = networks.with_spread(taught.actor, WARM_STD)
        statistics = taught.actor_statistics, taught.critic_statistics
    value = networks.init_value(value_key, trainer.value_hidden, env.critic_size)
    learner = Learner(
        actor=actor,
        value=value,
        warm=actor,
        actor_optimiser=trainer.optimiser().init(actor),
        value_optimiser=trainer.optimiser().init(value),
        rate=jnp.float32(trainer.ppo.learning_rate),
        actor_statistics=statistics[0],
        critic_statistics=statistics[1],
    )
    return PpoState(learner, env.reset(env_key, desynchronise=True), start_tally(env.worlds), key, jnp.int32(0))


@partial(jax.jit, static_argnums=0)
def _iterate(trainer: PpoTrainer, state: PpoState) -> tuple[PpoState, dict[str, jax.Array]]:
    act_key, learn_key, key = jax.random.split(state.key, 3)
    env, tally, unroll, finished = _unroll(trainer, state, act_key)
    learner = state.learner
    samples, figures = _samples(trainer, learner, unroll)
    progress = state.iteration / max(1, trainer.iterations)
    weights = Weights(
        imitation=jnp.float32(trainer.ppo.imitation * trainer.warm_started) * (1.0 - progress),
        entropy=jnp.float32(trainer.ppo.entropy),
    )
    acts = jnp.logical_or(not trainer.warm_started, progress >= VALUE_ONLY)
    learner, learned = _learn(trainer, learner, samples, weights, acts, learn_key)
    if not trainer.warm_started:
        # After the gradient steps, so that the first of them sees the distribution that acted. A policy that was
        # taught keeps its inputs' scale.
        learner = learner._replace(
            actor_statistics=normalise.update(learner.actor_statistics, unroll.actor, unroll.weight),
            critic_statistics=normalise.update(learner.critic_statistics, unroll.critic, unroll.weight),
        )
    figures |= learned | finished._asdict() | {"rate": learner.rate}
    return PpoState(learner, env, tally, key, state.iteration + 1), figures


def _unroll(trainer: PpoTrainer, state: PpoState, key: jax.Array) -> tuple[Any, Tally, Unroll, Finished]:
    """Act for ``unroll`` steps with the exploring policy."""
    draw = networks.distribution(trainer.env.action_size)
    learner = state.learner
    actor_scale = normalise.published(learner.actor_statistics)

    def step(carry: tuple[Any, Tally], step_key: jax.Array) -> tuple[tuple[Any, Tally], tuple[Unroll, Finished]]:
        env, tally = carry
        seen = env.observation
        normalised = normalise.normalise(actor_scale, normalise.cut(seen.actor))
        output = networks.apply_actor(learner.actor, trainer.settings, normalised)
        raw = draw.sample_no_postprocessing(output, step_key)
        env, result = trainer.env.step(env, draw.postprocess(raw))
        tally, finished = count(tally, result)
        unroll = Unroll(
            actor=seen.actor,
            critic=seen.critic,
            output=output,
            raw=raw,
            reward=result.reward,
            done=result.done,
            truncated=result.truncated,
            last=result.last.critic,
            weight=(result.acting & ~result.diverged).astype(jnp.float32),
        )
        return (env, tally), (unroll, finished)

    keys = jax.random.split(key, trainer.ppo.unroll)
    (env, tally), (unroll, finished) = jax.lax.scan(step, (state.env, state.tally), keys)
    return env, tally, unroll, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), finished)


def _samples(trainer: PpoTrainer, learner: Learner, unroll: Unroll) -> tuple[Samples, dict[str, jax.Array]]:
    """Return all steps as independent samples with advantages and value targets."""
    actor = normalise.normalise(normalise.published(learner.actor_statistics), normalise.cut(unroll.actor))
    critic_scale = normalise.published(learner.critic_statistics)
    critic = normalise.normalise(critic_scale, normalise.cut(unroll.critic))
    last = normalise.normalise(critic_scale, normalise.cut(unroll.last))
    value = networks.apply_value(learner.value, trainer.value_hidden, critic)
    next_value = networks.apply_value(learner.value, trainer.value_hidden, last)
    reward = jnp.where(jnp.isfinite(unroll.reward), unroll.reward, 0.0)
    advantage = ppo_loss.advantages(
        reward,
        value,
        next_value,
        unroll.done,
        unroll.truncated,
        unroll.weight,
        trainer.ppo.discount,
        trainer.ppo.gae_lambda,
    )
    draw = networks.distribution(trainer.env.action_size)
    warm = draw.mode(networks.apply_actor(learner.warm, trainer.settings, actor))
    target = advantage + value
    samples = Samples(
        actor=actor,
        critic=critic,
        output=unroll.output,
        raw=unroll.raw,
        advantage=ppo_loss.standardised(advantage, unroll.weight),
        target=target,
        warm=warm,
        weight=unroll.weight,
    )
    error = ppo_loss.weighted_mean((target - value) ** 2, unroll.weight)
    spread = ppo_loss.weighted_mean((target - ppo_loss.weighted_mean(target, unroll.weight)) ** 2, unroll.weight)
    figures = {
        "reward": ppo_loss.weighted_mean(reward, unroll.weight),
        "acting": jnp.mean(unroll.weight),
        "value_explained": 1.0 - error / (spread + 1e-8),
    }
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), samples), figures


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

    rows = jax.vmap(rows_of)(jax.random.split(shuffle_key, trainer.ppo.updates)).reshape(-1, size)

    def step(carry: Learner, now: tuple[jax.Array, jax.Array]) -> tuple[Learner, dict[str, jax.Array]]:
        batch = jax.tree.map(lambda leaf: leaf[now[0]], samples)
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
    value = optax.apply_updates(learner.value, jax.tree.map(lambda c: -trainer.ppo.learning_rate * c, change))

    factor = jnp.where(figures["kl"] > 2 * DESIRED_KL, 1 / 1.5, jnp.where(figures["kl"] < DESIRED_KL / 2, 1.5, 1.0))
    largest = max(trainer.ppo.learning_rate, SMALLEST_RATE)
    rate = jnp.clip(learner.rate * factor, SMALLEST_RATE, largest)
    learner = learner._replace(
        actor=actor, value=value, actor_optimiser=actor_optimiser, value_optimiser=value_optimiser, rate=rate
    )
    return learner, figures | {"value_loss": loss}
