"""Calling the host from inside compiled code without ever waiting for oneself."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

INLINE_BYTES = 64 * 1024
"""Largest argument of a callback. JAX hands a callback copies of its arguments: small ones are copied at once, those of
100 KiB and more by a thread of the pool that also runs computations. When the callback itself is what keeps that pool
busy, as it does on one core, it would wait for its own argument for ever."""


def call_host(function: Callable[..., Any], result: Any, *arguments: Any) -> Any:
    """Call ``function`` on the host with pytrees of numpy arrays and return arrays of the shapes ``result``.

    As ``jax.pure_callback``, for arguments whose leaves have a leading axis. Inside ``function`` use numpy only.
    """
    leaves, structure = jax.tree.flatten(arguments)

    def joined(*pieces: list[jax.Array]) -> Any:
        whole = [np.concatenate([np.asarray(piece) for piece in parts]) for parts in pieces]
        return function(*jax.tree.unflatten(structure, whole))

    return jax.pure_callback(joined, result, *(_pieces(leaf) for leaf in leaves))


def _pieces(array: jax.Array) -> list[jax.Array]:
    """Cut (B, ...) along its first axis into pieces below ``INLINE_BYTES``."""
    row = max(1, array.nbytes // max(1, array.shape[0]))
    rows = max(1, INLINE_BYTES // row)
    return [array[start : start + rows] for start in range(0, max(1, array.shape[0]), rows)]
