"""Procedural textures: what a surface or the background shows at a place, as functions of three coordinates.

Mixing patterns give the share of the second colour, in [0, 1]. Value noise is the classic one: random numbers at the
corners of a grid, blended smoothly (K. Perlin's s-curve 3t² - 2t³).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from s2rctl.render.primitives import Components
from s2rctl.render.protocol import PATTERNS

_STEP = (0x8DA6B343, 0xD8163841)  # odd numbers that spread a grid's corners over 32 bits (M. Teschner et al., 2003)


def checker(at: Components) -> jax.Array:
    """Return 0 or 1 in cubes of half a period."""
    x, y, z = (jnp.floor(2.0 * c).astype(jnp.int32) for c in at)
    return (x + y + z & 1).astype(jnp.float32)


def stripes(at: Components) -> jax.Array:
    """Return 0 or 1 in slabs of half a period."""
    return (jnp.floor(2.0 * at[0]).astype(jnp.int32) & 1).astype(jnp.float32)


def noise(at: Components) -> jax.Array:
    """Return two octaves of value noise over the first two coordinates, stretched to fill [0, 1]."""
    rough = _value(at[0], at[1]) + 0.5 * _value(2.0 * at[0] + 17.0, 2.0 * at[1] + 5.0)
    return jnp.clip(1.6 * (rough / 1.5 - 0.5) + 0.5, 0.0, 1.0)


def gradient(at: Components) -> jax.Array:
    """Return a wave along the first coordinate."""
    return _wave(at[0])


def grain(at: Components) -> jax.Array:
    """Return the growth rings of sawn wood: a wave that noise bends, stretched along the second coordinate."""
    bent = at[0] + 0.7 * _value(0.5 * at[0], 0.12 * at[1])
    return _wave(bent)


MIXES: tuple[Callable[[Components], jax.Array], ...] = (
    lambda at: jnp.zeros_like(at[0]),
    checker,
    stripes,
    noise,
    gradient,
    grain,
)
"""In the order of PATTERNS, which a picture ends."""


def painted(
    pattern: jax.Array, own: jax.Array, other: jax.Array, at: Components, number: jax.Array, pictures: jax.Array | None
) -> jax.Array:
    """Return colours (P,) int32, red in the lowest byte, of a pattern () at the coordinates.

    ``own`` and ``other`` are (3,) in [0, 1]; ``pictures`` (T, S, S) int32 are packed likewise. Without any, a picture
    is plain. Packed, each pattern is one loop over the pixels.
    """

    def mixed(mix: Callable[[Components], jax.Array]) -> Callable[[Components], jax.Array]:
        def of(at: Components) -> jax.Array:
            share = mix(at)
            red, green, blue = (own[i] + share * (other[i] - own[i]) for i in range(3))
            return packed(red, green, blue)

        return of

    branches = [mixed(mix) for mix in MIXES]
    branches.append(branches[0] if pictures is None else lambda at: _picture(pictures, number, at))
    assert len(branches) == len(PATTERNS)
    colour: jax.Array = lax.switch(pattern, branches, at)
    return colour


def packed(red: jax.Array, green: jax.Array, blue: jax.Array) -> jax.Array:
    """Return int32 colours of values in [0, 1]."""
    r, g, b = (jnp.clip(255.0 * value + 0.5, 0.0, 255.0).astype(jnp.int32) for value in (red, green, blue))
    return r | (g << 8) | (b << 16)


def unpacked(colour: jax.Array) -> Components:
    """Return red, green, blue in [0, 1]."""
    red, green, blue = ((colour >> shift & 0xFF).astype(jnp.float32) * (1.0 / 255.0) for shift in range(0, 24, 8))
    return red, green, blue


def _picture(pictures: jax.Array, number: jax.Array, at: Components) -> jax.Array:
    """Return the picture's colours, once per period and mirrored at its edges, so that it has no seam."""
    side = pictures.shape[1]
    row, column = (
        jnp.minimum((jnp.abs(c - 2.0 * jnp.round(0.5 * c)) * side).astype(jnp.int32), side - 1) for c in (at[1], at[0])
    )
    # Its own copy of 16 kB: with all pictures in the loop, XLA would count it as large and split it over threads.
    mine = lax.optimization_barrier(lax.dynamic_index_in_dim(pictures, number, keepdims=False))
    return mine.reshape(-1)[row * side + column]


def _wave(x: jax.Array) -> jax.Array:
    """Return something like (1 - cos 2 pi x) / 2 from products alone: sines are slow here."""
    t = jnp.abs(2.0 * (x - jnp.floor(x)) - 1.0)
    return 1.0 - t * t * (3.0 - 2.0 * t)


def _value(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return smooth noise in [0, 1] with one random number per unit square's corner."""
    left, low = jnp.floor(x), jnp.floor(y)
    across, up = (t * t * (3.0 - 2.0 * t) for t in (x - left, y - low))
    i, j = left.astype(jnp.int32).astype(jnp.uint32), low.astype(jnp.int32).astype(jnp.uint32)
    one = jnp.uint32(1)
    bottom = _corner(i, j) + across * (_corner(i + one, j) - _corner(i, j))
    top = _corner(i, j + one) + across * (_corner(i + one, j + one) - _corner(i, j + one))
    return bottom + up * (top - bottom)


def _corner(i: jax.Array, j: jax.Array) -> jax.Array:
    bits = i * jnp.uint32(_STEP[0]) ^ j * jnp.uint32(_STEP[1])
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    return ((bits ^ (bits >> 16)) >> 8).astype(jnp.float32) * (1.0 / (1 << 24))
