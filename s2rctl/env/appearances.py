"""Resampled appearances within an episode, for policies that see single images.

An episode has one appearance: colours, lights, camera poses. Where learning needs many appearances more than lasting
ones, worlds can be given a new one at any time; the next image shows it.
"""

from functools import partial
from typing import Any

import jax

from s2rctl.env.keys import make_key
from s2rctl.env.rows import where
from s2rctl.env.types import EnvState

_WHO = 0  # the key of which worlds: always the same ones, so that the others keep their appearance for whole episodes


@partial(jax.jit, static_argnums=0)
def refresh(env: Any, state: EnvState, key: jax.Array, share: float | jax.Array = 1.0) -> EnvState:
    """Return the state with a new appearance in about ``share`` of the worlds, the same ones in every call.

    ``env`` is an environment with a renderer, compared by identity.
    """
    chosen = jax.random.uniform(make_key(_WHO), (env.worlds,)) < share
    appearance, image = env.images.draw(key, env.worlds)
    return state._replace(
        appearance=where(chosen, appearance, state.appearance), image=where(chosen, image, state.image)
    )
