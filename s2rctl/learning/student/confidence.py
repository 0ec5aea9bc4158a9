"""How sure an image is of each number that it tells: a variance of its own for each (Nix and Weigend 1994).

An error of 3 mm between two parts that are about to meet is nothing beside one of 30 mm while they are far apart, so
what is fitted by plain squares learns the far ones. Divided by what it is unsure of, each error counts by what could be
told of it. Of the likelihood's gradient as much is taken as lies half way between the two (beta of 0.5: Seitzer et al.
2022), because all of it gives up images that are hard to read.
"""

import jax
import jax.numpy as jnp

_LOG_VARIANCE = (-9.0, 2.0)  # of numbers of order one: standard deviations of 0.011 to 2.7
_BETA = 0.5


def precision(log_variance: jax.Array) -> jax.Array:
    """Return one over the variance."""
    return jnp.exp(-jnp.clip(log_variance, *_LOG_VARIANCE))


def unlikely(told: jax.Array, log_variance: jax.Array, truth: jax.Array) -> jax.Array:
    """Return the loss () of numbers that were told with their variances, all of one shape."""
    bounded = jnp.clip(log_variance, *_LOG_VARIANCE)
    likelihood = 0.5 * ((told - truth) ** 2 * jnp.exp(-bounded) + bounded)
    return jnp.mean(jax.lax.stop_gradient(jnp.exp(_BETA * bounded)) * likelihood)
