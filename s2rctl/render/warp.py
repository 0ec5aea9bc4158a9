"""MuJoCo Warp's batch renderer behind the protocol: meshes and textures, on NVIDIA and, slowly, on Warp's CPU device.

Physics may be any backend: the poses are put into a scratch ``mjx.Data`` of Warp, which is never stepped. Warp keeps
its buffers per number of worlds, so there is one context for each number that is drawn.
"""

import copy
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.render.layout import DRAWN_GROUPS, camera_ids
from s2rctl.render.look import model_look
from s2rctl.render.protocol import OPTIONAL, Appearance, Frames
from s2rctl.render.view import rotation
from s2rctl.scene.libraries import load_mjx
from s2rctl.scene.poses import Poses

_UNSET = (0.5, 0.5, 0.5, 1.0)
"""Warp, as MuJoCo, takes exactly this colour for "not given" and draws the material's instead."""


class WarpRenderer:
    """Single-hit ray casting with Lambert shading. Raises MissingEnvironmentError where Warp is not installed.

    Warp has no ambient light per world; it is carried by the first active light, so the model must have one
    (UsageError otherwise).
    """

    fixed = OPTIONAL

    def __init__(self, model: Any, cameras: Sequence[str], width: int, height: int, *, shadows: bool = False) -> None:
        self.cameras = tuple(cameras)
        self.width = width
        self.height = height
        self._ids = camera_ids(model, cameras)
        self._mjx = load_mjx("the renderer 'warp'")
        self._look = model_look(model)
        self._shadows = shadows
        self._far = float(model.vis.map.zfar * model.stat.extent)
        self._model = _prepared(model)
        active = np.flatnonzero(np.asarray(model.light_active, bool))
        if not len(active):
            raise UsageError(
                "the renderer 'warp' needs a light in the scene, it carries the ambient light",
                "use vision.renderer=raycast",
            )
        self._carrier = int(active[0])
        self._device_model = self._mjx.put_model(self._model, impl="warp")
        self._template = self._mjx.make_data(self._model, impl="warp", naconmax=1, njmax=1)
        self._contexts: dict[int, Any] = {}

    def appearance(self, worlds: int) -> Appearance:
        """Return the model's own look, repeated for ``worlds`` worlds."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (worlds, *leaf.shape)), self._look)

    def render(self, poses: Poses, appearance: Appearance) -> Frames:
        """Return the frames of all worlds."""
        worlds = poses.geom_xpos.shape[0]
        context = self._context(worlds).pytree()

        def draw(place: Poses, look: Appearance) -> tuple[jax.Array, jax.Array]:
            model, data = self._dress(look), self._place(place, look)
            data = self._mjx.refit_bvh(model, data, context)
            rgb, depth, _ = self._mjx.render(model, data, context)
            return rgb, depth

        packed, depth = jax.vmap(draw)(poses, appearance)
        shape = (worlds, len(self.cameras), self.height, self.width)
        packed, depth = packed.reshape(shape), depth.reshape(shape)
        hit = (depth > 0) & (depth < self._far)
        channels = [(packed >> shift) & 0xFF for shift in (16, 8, 0)]
        rgb = jnp.where(hit[..., None], jnp.stack(channels, -1), 0).astype(jnp.uint8)
        return Frames(rgb, jnp.where(hit, depth, 0.0))

    def _context(self, worlds: int) -> Any:
        """Return the buffers for a number of worlds. They live as long as the renderer: Warp forgets dropped ones."""
        if worlds not in self._contexts:
            self._contexts[worlds] = self._mjx.create_render_context(
                self._model,
                worlds,
                cam_res=(self.width, self.height),
                cam_active=[int(camera) for camera in self._ids],
                render_rgb=True,
                render_depth=True,
                use_shadows=self._shadows,
                shadow_light_fraction=0.0,
                enabled_geom_groups=list(DRAWN_GROUPS),
                use_precomputed_rays=False,  # precomputed rays would silently ignore the field of view per world
                enable_specular=False,
            )
        return self._contexts[worlds]

    def _dress(self, look: Appearance) -> Any:
        """Return the model of one world with its colours, sizes, lights and fields of view."""
        rgba = look.geom_rgba
        unset = jnp.all(rgba == jnp.array(_UNSET), axis=1) & (jnp.asarray(self._model.geom_matid) >= 0)
        rgba = rgba.at[:, 0].add(jnp.where(unset, 1e-4, 0.0))
        zoom = jnp.tan(jnp.deg2rad(jnp.asarray(self._model.cam_fovy)) / 2) / jnp.tan(jnp.deg2rad(look.camera_fovy) / 2)
        intrinsic = jnp.asarray(self._model.cam_intrinsic, jnp.float32)
        ambient = jnp.zeros_like(look.light_diffuse).at[self._carrier].set(look.ambient)
        return self._device_model.tree_replace(
            {
                "geom_rgba": rgba,
                "geom_size": look.geom_size,
                "light_diffuse": look.light_diffuse,
                "light_ambient": ambient,
                "light_castshadow": jnp.asarray(self._model.light_castshadow, bool) & look.shadows,
                "cam_fovy": look.camera_fovy,
                "cam_intrinsic": jnp.concatenate([intrinsic[:, :2] * zoom[:, None], intrinsic[:, 2:]], axis=1),
            }
        )

    def _place(self, poses: Poses, look: Appearance) -> Any:
        """Return the data of one world with everything where it is."""
        offset = jnp.einsum("cij,cj->ci", poses.cam_xmat, look.camera_pos_offset)
        data = self._template.replace(
            geom_xpos=poses.geom_xpos,
            geom_xmat=poses.geom_xmat,
            cam_xpos=poses.cam_xpos + offset,
            cam_xmat=poses.cam_xmat @ jax.vmap(rotation)(look.camera_rot_offset),
        )
        return data.tree_replace({"_impl.light_xpos": look.light_pos, "_impl.light_xdir": look.light_dir})


def _prepared(model: Any) -> Any:
    """Return a copy without the light that Warp would bake in for all worlds."""
    prepared = copy.deepcopy(model)
    headlight = prepared.vis.headlight
    headlight.ambient[:] = 0
    headlight.specular[:] = 0
    prepared.light_ambient[:] = 0
    return prepared
