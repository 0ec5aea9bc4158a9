"""The mathematics of proximal policy optimisation (Schulman et al. 2017) on arrays."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from brax.training.distribution import NormalTanhDistribution

from s2rctl.schema.learning import Ppo


class Samples(NamedTuple):
    """Steps to learn from, leaves (N, ...)."""

    actor: jax.Array  # normalised observation
    critic: jax.Array  # normalised true state
    output: jax.Array  # distribution parameters when the action was drawn
    raw: jax.Array  # action before tanh
    advantage: jax.Array  # of mean 0 and standard deviation 1
    target: jax.Array  # of the value
    warm: jax.Array  # action of the warm-start policy in [-1, 1]
    weight: jax.Array  # 1: counts, 0: does not


class Weights(NamedTuple):
    """Factors that change while training, ()."""

    imitation: jax.Array
    entropy: jax.Array
    rate: jax.Array  # largest learning rate of the actor


def advantages(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    done: jax.Array,
    truncated: jax.Array,
    weight: jax.Array,
    discount: float,
    gae_lambda: float,
) -> jax.Array:
    """Return generalised advantages (T, B) (Schulman et al. 2016, equation 16).

    ``next_value`` is the value of the state at the end of the step, before any reset: it stands in for the rest of the
    episode where time ran out (``truncated``), and is left out where the episode really ended. Where ``weight`` is 0
    the step gives nothing, and nothing passes through it.
    """
    ended = done & ~truncated
    delta = (reward + discount * jnp.where(ended, 0.0, next_value) - value) * weight
    keep = discount * gae_lambda * (1.0 - done.astype(jnp.float32)) * weight

    def back(later: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        advantage = now[0] + now[1] * later
        return advantage, advantage

    _, result = jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, keep), reverse=True)
    return result


def standardised(values: jax.Array, weight: jax.Array) -> jax.Array:
    """Return the values with mean 0 and standard deviation 1 over the entries that count."""
    mean = weighted_mean(values, weight)
    spread = jnp.sqrt(weighted_mean((values - mean) ** 2, weight))
    return (values - mean) / (spread + 1e-8)


def weighted_mean(values: jax.Array, weight: jax.Array) -> jax.Array:
    """Return the mean over the entries that count; 0 if none does."""
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def policy_loss(
    output: jax.Array,
    samples: Samples,
    distribution: NormalTanhDistribution,
    ppo: Ppo,
    weights: Weights,
    key: jax.Array,
) -> tuple[jax.Array, dict[str, Any]]:
    """Return the clipped surrogate with entropy and imitation terms for distribution parameters (N, 2n), and figures.

    ``kl`` is the mean divergence of the new distribution from the one that drew the actions.
    """
    old = distribution.log_prob(samples.output, samples.raw)
    ratio = jnp.exp(jnp.clip(distribution.log_prob(output, samples.raw) - old, -20.0, 20.0))
    clipped = jnp.clip(ratio, 1 - ppo.clip, 1 + ppo.clip)
    surrogate = jnp.minimum(ratio * samples.advantage, clipped * samples.advantage)
    entropy = distribution.entropy(output, key)
    imitation = jnp.sum((distribution.mode(output) - samples.warm) ** 2, axis=-1)
    per_sample = -surrogate - weights.entropy * entropy + weights.imitation * imitation
    divergence = distribution.create_dist(output).kl_divergence(distribution.create_dist(samples.output))
    figures = {
        "kl": weighted_mean(divergence, samples.weight),
        "entropy": weighted_mean(entropy, samples.weight),
        "clipped": weighted_mean((jnp.abs(ratio - 1) > ppo.clip).astype(jnp.float32), samples.weight),
        "imitation": weighted_mean(imitation, samples.weight),
    }
    return weighted_mean(per_sample, samples.weight), figures


def value_loss(value: jax.Array, samples: Samples) -> jax.Array:
    """Return half the mean squared error of values (N,)."""
    return 0.5 * weighted_mean((value - samples.target) ** 2, samples.weight)
