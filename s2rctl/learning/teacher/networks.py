"""Teacher networks: a perceptron that gives a tanh-normal action, and one that gives a value.

The spread of the action is a parameter of its own, not a function of the state: a policy that was fitted to labels
then keeps one known exploration noise, however its hidden layers turned out.
"""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from brax.training.distribution import NormalTanhDistribution
from brax.training.networks import MLP
from flax import linen as nn

from s2rctl.learning.teacher.normalise import normalise
from s2rctl.schema.base import Model, quantity
from s2rctl.schema.learning import Network

Params = Any
"""Nested dictionary of arrays."""

MIN_STD = 0.01
"""Of the action before tanh: exploration never dies out completely."""


class TeacherSettings(Model):
    """Shape of a teacher; the ``config`` of its policy.json."""

    observation_size: int = quantity(..., "", "entries of the actor's observation", ge=1)
    action_size: int = quantity(..., "", "entries of the action", ge=1)
    hidden: tuple[int, ...] = quantity(..., "", "hidden layers")


def teacher_settings(observation_size: int, action_size: int, network: Network) -> TeacherSettings:
    """Return the settings of a profile's policy network for an environment's sizes."""
    return TeacherSettings(observation_size=observation_size, action_size=action_size, hidden=network.policy)


class Actor(nn.Module):
    """Normalised observations (..., n) -> parameters (..., 2 * actions) of the action's distribution."""

    hidden: tuple[int, ...]
    actions: int

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        """Return mean and raw spread before tanh; the mean starts near zero, so that an untrained arm stands still."""
        small = nn.initializers.normal(1e-2)
        mean = MLP((*self.hidden, self.actions), activation=nn.swish, output_kernel_init=small, name="mean")(
            observation
        )
        raw = self.param("spread", nn.initializers.constant(raw_spread(0.5)), (self.actions,))
        return jnp.concatenate([mean, jnp.broadcast_to(raw, mean.shape)], axis=-1)


class Value(nn.Module):
    """Normalised observations (..., n) -> value (...)."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        """Apply the layers."""
        return MLP((*self.hidden, 1), activation=nn.swish, name="value")(observation)[..., 0]


def init_actor(key: jax.Array, settings: TeacherSettings) -> Params:
    """Return random parameters of the actor."""
    return Actor(settings.hidden, settings.action_size).init(key, jnp.zeros((1, settings.observation_size)))["params"]


def init_value(key: jax.Array, hidden: tuple[int, ...], critic_size: int) -> Params:
    """Return random parameters of the value network."""
    return Value(hidden).init(key, jnp.zeros((1, critic_size)))["params"]


def apply_actor(actor: Params, settings: TeacherSettings, normalised: jax.Array) -> jax.Array:
    """Return the parameters (..., 2 * actions) of the action's distribution for normalised observations (..., n)."""
    return cast(jax.Array, Actor(settings.hidden, settings.action_size).apply({"params": actor}, normalised))


def apply_value(value: Params, hidden: tuple[int, ...], normalised: jax.Array) -> jax.Array:
    """Return the value (...) of normalised critic observations (..., m)."""
    return cast(jax.Array, Value(hidden).apply({"params": value}, normalised))


def distribution(actions: int) -> NormalTanhDistribution:
    """Return the action distribution that reads the actor's output."""
    return NormalTanhDistribution(event_size=actions, min_std=MIN_STD)


def raw_spread(std: float) -> float:
    """Return the raw parameter that gives a standard deviation before tanh, the inverse of softplus plus MIN_STD."""
    return float(np.log(np.expm1(std - MIN_STD)))


def with_spread(actor: Params, std: float) -> Params:
    """Return the actor's parameters with another standard deviation (before tanh) of every action."""
    return {**actor, "spread": jnp.full_like(actor["spread"], raw_spread(std))}


def teacher_action(params: Params, settings: TeacherSettings, observation: jax.Array) -> jax.Array:
    """Return the deterministic action (B, n) in [-1, 1] for observations (B, m).

    ``params`` has ``actor`` and ``normaliser`` (mean, std), as published.
    """
    output = apply_actor(params["actor"], settings, normalise(params["normaliser"], observation))
    return jnp.tanh(output[..., : settings.action_size])
