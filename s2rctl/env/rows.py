"""Operations on pytrees whose leaves have a row per world."""

from typing import Any

import jax
import jax.numpy as jnp


def where(mask: jax.Array, new: Any, old: Any) -> Any:
    """Choose by world between two pytrees with leaves (B, ...)."""
    return jax.tree.map(lambda n, o: jnp.where(mask.reshape((-1,) + (1,) * (n.ndim - 1)), n, o), new, old)


def cut(values: jax.Array, limit: float) -> jax.Array:
    """Replace what is not finite by 0 and cut to ± limit, so that one broken world cannot poison any statistic."""
    if not jnp.issubdtype(values.dtype, jnp.floating):
        return values
    return jnp.clip(jnp.where(jnp.isfinite(values), values, 0.0), -limit, limit)
