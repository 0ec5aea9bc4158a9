"""Operations on pytrees whose leaves have a row per world."""

from typing import Any

import jax
import jax.numpy as jnp

from s2rctl.env.types import EnvState


def where(mask: jax.Array, new: Any, old: Any) -> Any:
    """Choose by world between two pytrees with leaves (B, ...)."""
    return jax.tree.map(lambda n, o: jnp.where(mask.reshape((-1,) + (1,) * (n.ndim - 1)), n, o), new, old)


def tiled(values: Any, repeat: int) -> Any:
    """Return a pytree with leaves (B, ...) as one with (repeat * B, ...): all rows, then all again."""
    if repeat == 1:
        return values
    return jax.tree.map(lambda leaf: jnp.tile(leaf, (repeat,) + (1,) * (leaf.ndim - 1)), values)


def cut(values: jax.Array, limit: float) -> jax.Array:
    """Replace what is not finite by 0 and cut to ± limit, so that one broken world cannot poison any statistic."""
    if not jnp.issubdtype(values.dtype, jnp.floating):
        return values
    return jnp.clip(jnp.where(jnp.isfinite(values), values, 0.0), -limit, limit)


def own_key(state: EnvState) -> tuple[jax.Array, EnvState]:
    """Split a key off the state's."""
    other, key = jax.random.split(state.key)
    return other, state._replace(key=key)


def apart(state: EnvState) -> EnvState:
    """Return the part of the state that has a row per world."""
    return state._replace(physics=None, key=None)  # type: ignore[arg-type]
