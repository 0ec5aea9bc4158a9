"""Two ways to visit the geoms of a frame.

On a CPU a frame is drawn alone: only the geoms whose bit is set are visited. XLA's CPU runtime may spread a sequence of
more than eight kernels over its threads, which does not pay for kernels of a microsecond, so groups are taken in turn
by a loop with a switch and every sequence stays short.
On an accelerator all frames are drawn side by side and every geom is visited.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import lax

from s2rctl.render.layout import Group

Body = Callable[[Group, jax.Array, jax.Array], jax.Array]
"""(group, number of the geom, state) -> state."""


Words = Callable[[Group, jax.Array | int], jax.Array]
"""(group, its place in the list of groups) -> word () uint32 whose bit i stands for geom i of the group."""


class Visit(Protocol):
    """Fold ``body`` over the geoms whose bits are set."""

    def __call__(self, groups: Sequence[Group], words: Words, body: Body, state: jax.Array) -> jax.Array:
        """Return the last state."""


def visit_set_bits(groups: Sequence[Group], words: Words, body: Body, state: jax.Array) -> jax.Array:
    """Visit the set bits only, lowest first."""

    def of_group(group: Group) -> Callable[[jax.Array, jax.Array], jax.Array]:
        def step(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            left, inner = carry
            below = ~left & (left - jnp.uint32(1))  # ones below the lowest set bit
            index = group.first + lax.population_count(below).astype(jnp.int32)
            return left & (left - jnp.uint32(1)), body(group, index, inner)

        def loop(place: jax.Array, inner: jax.Array) -> jax.Array:
            return lax.while_loop(lambda carry: carry[0] != 0, step, (words(group, place), inner))[1]

        return loop

    branches = [of_group(group) for group in groups]
    return lax.fori_loop(0, len(groups), lambda place, inner: lax.switch(place, branches, place, inner), state)


def visit_all(groups: Sequence[Group], words: Words, body: Body, state: jax.Array) -> jax.Array:
    """Visit every geom and keep the state where its bit is not set."""
    for place, group in enumerate(groups):
        word = words(group, place)

        def step(local: jax.Array, inner: jax.Array, word: jax.Array = word, group: Group = group) -> jax.Array:
            shown = (word >> local.astype(jnp.uint32)) & 1 != 0
            return jnp.where(shown, body(group, group.first + local, inner), inner)

        state = lax.fori_loop(0, len(group.geoms), step, state)
    return state
