"""Random keys: one place decides the generator."""

import jax


def make_key(seed: int) -> jax.Array:
    """Return a typed JAX key for ``seed``.

    The generator is Philox through XLA's own operation (``unsafe_rbg``). JAX's default, Threefry written out in HLO,
    makes programs with many draws, which environments are, take three times as long to compile on a CPU, and compile
    time is what a small run waits for. Same seed, same numbers; but under ``vmap`` all draws of a batch come from its
    first key, so what world i draws also depends on how many worlds there are: paired runs need equal numbers of them.
    """
    key: jax.Array = jax.random.key(seed, impl="unsafe_rbg")
    return key
