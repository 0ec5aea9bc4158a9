"""Resampled appearances within an episode, for policies that see single images.

An episode has one appearance: colours, lights, camera poses. Where learning needs many appearances more than lasting
ones, worlds can be given a new one at any time; the next image shows it.

Who remembers means over several images must not be taught by cameras that stand elsewhere in each of them: their errors
cancel there, and nowhere else. One that had been succeeded in 250 of 256 episodes of such worlds, and in 207 of 256
whose cameras stayed where they were.
"""

from functools import partial
from typing import Any

import jax

from s2rctl.env.keys import make_key
from s2rctl.env.rows import where
from s2rctl.env.types import EnvState

_WHO = 0  # the key of which worlds: always the same ones, so that the others keep their appearance for whole episodes

_OF_CAMERAS = ("camera_pos_offset", "camera_rot_offset", "camera_fovy")


@partial(jax.jit, static_argnums=0, static_argnames="cameras")
def refresh(
    env: Any, state: EnvState, key: jax.Array, share: float | jax.Array = 1.0, *, cameras: bool = True
) -> EnvState:
    """Return the state with a new appearance in about ``share`` of the worlds, the same ones in every call.

    ``env`` is an environment with a renderer, compared by identity. Without ``cameras``, they stay what and where they
    were: place, field of view, framing, and what is wrong with their depth.
    """
    chosen = jax.random.uniform(make_key(_WHO), (env.worlds,)) < share
    appearance, image = env.images.draw(key, env.worlds)
    if not cameras:
        appearance, image = _with_cameras_of(state, appearance, image)
    return state._replace(
        appearance=where(chosen, appearance, state.appearance), image=where(chosen, image, state.image)
    )


def _with_cameras_of(state: EnvState, appearance: Any, image: Any) -> tuple[Any, Any]:
    """Return a look (``render.protocol.Appearance``, ``development.ImageSettings``) seen by the cameras of a state."""
    lasting = {name: getattr(state.appearance, name) for name in _OF_CAMERAS}
    appearance = appearance._replace(**lasting)
    if image.development is None:
        return appearance, image
    before = state.image.development
    return appearance, image._replace(development=image.development._replace(shift=before.shift, depth=before.depth))
