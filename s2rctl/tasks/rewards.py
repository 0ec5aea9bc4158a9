"""Shapes of reward terms, all in [0, 1]."""

import jax
import jax.numpy as jnp


def closeness(error: jax.Array, steepness: float) -> jax.Array:
    """Return 1 at no error, falling as 1 - tanh(steepness * error)."""
    return 1.0 - jnp.tanh(steepness * error)


def within(value: jax.Array, limit: float, margin: float) -> jax.Array:
    """Return 1 up to ``limit``, then falling linearly to 0 over ``margin``; ``value`` is not negative."""
    return jnp.clip(1.0 - (value - limit) / margin, 0.0, 1.0)


def reciprocal(value: jax.Array, limit: float, margin: float) -> jax.Array:
    """Return 1 up to ``limit``, then 1 / (1 + 9 d), d the excess in margins: 0.1 at one margin (dm_control's shape)."""
    excess = jnp.maximum(value - limit, 0.0) / margin
    return 1.0 / (1.0 + 9.0 * excess)


def finite(value: jax.Array, limit: float = 1e3) -> jax.Array:
    """Replace non-finite numbers by 0 and clip huge ones, so that a diverging world cannot corrupt a sum."""
    return jnp.clip(jnp.nan_to_num(value, nan=0.0, posinf=limit, neginf=-limit), -limit, limit)
