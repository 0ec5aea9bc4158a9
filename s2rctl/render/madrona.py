"""Adapter for the legacy renderer madrona_mjx, for machines that still have its source build.

madrona_mjx has not been maintained since June 2025: it wants CUDA up to 12.5.1 and JAX below 0.6, so it cannot share an
environment with the versions that this project locks, and this adapter has not been run. It is written to the
renderer's published interface, with these limits:

- One renderer per process and one number of worlds: training and evaluation must use equal numbers.
- Appearance is read when a batch is initialised. Each frame is therefore an initialisation, as its environments do at
  every reset: right for any look, slower than its own incremental ``render``.
- Field of view, ambient and diffuse light are fixed for all worlds (``fixed``): a profile that varies them is refused.
- No shadow per light beyond on and off; colours only through geom_rgba; needs at least one camera.
- It wants ``MADRONA_MWGPU_KERNEL_CACHE`` and ``MADRONA_BVH_KERNEL_CACHE``, or compiles for minutes at each start.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.render.layout import DRAWN_GROUPS, camera_ids
from s2rctl.render.look import model_look
from s2rctl.render.protocol import OPTIONAL, Appearance, Frames
from s2rctl.render.view import rotation
from s2rctl.scene.poses import Poses

_BY_RGBA = -2
"""Material number by which madrona_mjx takes a geom's own colour."""


class MadronaRenderer:
    """madrona_mjx's BatchRenderer; MissingEnvironmentError where it is not installed."""

    fixed = OPTIONAL | {"camera_fovy", "ambient", "light_diffuse"}
    """Fields of Appearance that change nothing."""

    def __init__(self, model: Any, cameras: Sequence[str], width: int, height: int, *, shadows: bool = False) -> None:
        self.cameras = tuple(cameras)
        self.width = width
        self.height = height
        self._ids = camera_ids(model, cameras)
        if find_spec("madrona_mjx") is None:
            raise MissingEnvironmentError(
                "the renderer 'madrona' needs the legacy package madrona_mjx, built with CUDA 12.5 or older",
                "use vision.renderer=raycast, or warp on NVIDIA",
            )
        from mujoco import mjx

        self._host_model = model
        self._look = model_look(model)
        self._shadows = shadows
        self._model = mjx.put_model(model)
        self._data = mjx.make_data(model)
        self._renderer: Any = None
        self._worlds = 0

    def appearance(self, worlds: int) -> Appearance:
        """Return the model's own look, repeated for ``worlds`` worlds."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (worlds, *leaf.shape)), self._look)

    def render(self, poses: Poses, appearance: Appearance) -> Frames:
        """Return the frames of all worlds; MissingEnvironmentError for a second number of worlds."""
        renderer = self._open(poses.geom_xpos.shape[0])

        def draw(place: Poses, look: Appearance) -> tuple[jax.Array, jax.Array]:
            _, rgb, depth = renderer.init(self._place(place, look), self._dress(look))
            return rgb, depth

        rgb, depth = jax.vmap(draw)(poses, appearance)
        # The order of its images is the model's, not ours.
        order = np.argsort(np.argsort(self._ids))
        return Frames(rgb[:, order, ..., :3], depth[:, order, ..., 0])

    def _open(self, worlds: int) -> Any:
        if self._renderer is None:
            from madrona_mjx.renderer import BatchRenderer

            self._renderer = BatchRenderer(
                self._model,
                0,
                worlds,
                self.width,
                self.height,
                np.asarray(DRAWN_GROUPS),
                np.sort(self._ids),
                False,  # no debug geoms on cameras
                False,  # ray tracer, not rasteriser: the same geometry as the other renderers
            )
            self._worlds = worlds
        if worlds != self._worlds:
            raise MissingEnvironmentError(
                f"madrona_mjx can draw only one number of worlds per process: {self._worlds}, not {worlds}",
                "give all stages equal numbers of worlds, or use vision.renderer=raycast",
            )
        return self._renderer

    def _dress(self, look: Appearance) -> Any:
        model, lights = self._host_model, self._host_model.nlight
        return self._model.tree_replace(
            {
                "geom_rgba": look.geom_rgba,
                "geom_size": look.geom_size,
                "geom_matid": jnp.full((model.ngeom,), _BY_RGBA, jnp.int32),
                "light_pos": look.light_pos,
                "light_dir": look.light_dir,
                "light_type": jnp.asarray(model.light_type),
                "light_cutoff": jnp.asarray(model.light_cutoff, jnp.float32),
                "light_castshadow": jnp.full((lights,), self._shadows) & look.shadows,
            }
        )

    def _place(self, poses: Poses, look: Appearance) -> Any:
        offset = jnp.einsum("cij,cj->ci", poses.cam_xmat, look.camera_pos_offset)
        return self._data.replace(
            geom_xpos=poses.geom_xpos,
            geom_xmat=poses.geom_xmat,
            cam_xpos=poses.cam_xpos + offset,
            cam_xmat=poses.cam_xmat @ jax.vmap(rotation)(look.camera_rot_offset),
        )
