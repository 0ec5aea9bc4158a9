"""Keeps two passes over an image apart: XLA would compute the first anew for each neighbour that the second reads.

On a CPU, XLA puts whatever reads a value into one loop with what makes it. Between a pass that looks at a pixel's
neighbours and another one before it, that multiplies the work by the number of neighbours, and along a chain of such
passes again and again: what a depth camera does to its pictures took five times as long. ``lax.optimization_barrier``
is gone before loops are joined; a loop that never runs is not.
"""

import jax
import jax.numpy as jnp
from jax import lax

_NEVER = -1e30  # no picture contains less


def apart(values: jax.Array) -> jax.Array:
    """Return floats unchanged, computed by then on a CPU; elsewhere nothing is done."""
    return lax.platform_dependent(values, cpu=_computed, default=lambda same: same)


def _computed(values: jax.Array) -> jax.Array:
    first = values.reshape(-1)[0]
    # What the loop would do to them has to be something, or they would not be part of it.
    computed: jax.Array = lax.while_loop(
        lambda state: state[0], lambda state: (jnp.array(False), 2.0 * state[1]), (first < _NEVER, values)
    )[1]
    return computed
