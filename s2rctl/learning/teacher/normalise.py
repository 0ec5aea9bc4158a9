"""Running mean and standard deviation of observations, which no single diverged world can corrupt."""

from typing import Any

import jax
import jax.numpy as jnp
from brax.training.acme import running_statistics

Statistics = Any
"""brax RunningStatisticsState over one array of shape (n,)."""

LARGEST = 1e3
"""Observations are metres, radians, newtons: a larger number is an error, and is clipped before any statistic."""
LARGEST_NORMALISED = 10.0
SMALLEST_STD = 1e-3
"""Keeps entries that hardly vary (unused contacts, fixed targets) from being scaled up."""


def start(size: int) -> Statistics:
    """Return statistics of ``size`` entries that have seen nothing: mean 0, standard deviation 1."""
    empty = running_statistics.init_state(jnp.zeros((size,), jnp.float32))
    return jax.tree.map(jnp.asarray, empty)


def update(statistics: Statistics, batch: jax.Array, weights: jax.Array) -> Statistics:
    """Return the statistics after a batch (..., n) with weights (...), 0 where a row must not count.

    Rows with a non-finite number are left out; the rest is clipped to ± LARGEST. If nothing counts, nothing changes.
    """
    rows, counts = batch.reshape(-1, batch.shape[-1]), weights.reshape(-1).astype(jnp.float32)
    counts = jnp.where(jnp.all(jnp.isfinite(rows), axis=-1), counts, 0.0)
    updated = running_statistics.update(statistics, clip(rows), weights=counts, std_min_value=SMALLEST_STD)
    return jax.tree.map(lambda new, old: jnp.where(jnp.sum(counts) > 0, new, old), updated, statistics)


def clip(batch: jax.Array) -> jax.Array:
    """Return the batch with non-finite numbers as 0 and the rest within ± LARGEST."""
    return jnp.clip(jnp.where(jnp.isfinite(batch), batch, 0.0), -LARGEST, LARGEST)


def published(statistics: Statistics) -> dict[str, jax.Array]:
    """Return what a policy file keeps: ``mean`` (n,) and ``std`` (n,)."""
    return {"mean": statistics.mean, "std": statistics.std}


def normalise(statistics: dict[str, jax.Array], batch: jax.Array) -> jax.Array:
    """Return (batch - mean) / std within ± LARGEST_NORMALISED, of the same shape; NaN stays NaN and is seen."""
    return jnp.clip((batch - statistics["mean"]) / statistics["std"], -LARGEST_NORMALISED, LARGEST_NORMALISED)
