"""From rendered frames to the raw tensors of the deployed policy's cameras."""

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.env.appearance import Palette, draw_appearance, palette, stand_out
from s2rctl.env.depth_camera import develop_depth, lose_patches
from s2rctl.env.development import Development, ImageSettings, develop_colours, draw_image_settings, shifted
from s2rctl.env.finish import finish, wardrobe
from s2rctl.env.pictures import Pictures
from s2rctl.env.rows import tiled
from s2rctl.render.apart import apart
from s2rctl.render.pixel_noise import pixel_bits, signed_bytes
from s2rctl.render.protocol import Appearance, Frames, Renderer
from s2rctl.scene.poses import Poses
from s2rctl.schema.appearance import ImageRange
from s2rctl.schema.simulation import CameraSettings, ColourRange, Vision
from s2rctl.schema.tensors import depth_name, rgb_name


class DepthFaults(Protocol):
    """The faults of a real depth camera."""

    def __call__(self, key: jax.Array, depth: jax.Array, *, strength: jax.Array | None) -> jax.Array:
        """Return depth (N, H, W) m with the faults, 0 for no measurement; ``strength`` (N, 5) scales them per frame."""


class Imaging(Protocol):
    """Cameras of an environment: what an episode looks like, and what is seen of it."""

    @property
    def cameras(self) -> tuple[CameraSettings, ...]:
        """The policy cameras, of one size."""

    def with_geom_size(self, geom_size: np.ndarray) -> "Imaging":
        """Return the same cameras looking at worlds whose geoms have the half sizes (B, ngeom, 3)."""

    def draw(self, key: jax.Array, worlds: int, repeat: int = 1) -> tuple[Any, Any]:
        """Return the look of one episode in each world and what the cameras do to it: pytrees with leaves (B, ...).

        With ``repeat``, world w looks like world w % (worlds // repeat), which looks as without it among so many.
        """

    def take(self, key: jax.Array, poses: Poses, appearance: Any, settings: Any) -> dict[str, jax.Array]:
        """Return the image tensors of all worlds by input name."""


class Images:
    """The policy cameras of one scene: draws their look per episode, renders, and spoils images as cameras do.

    All ``cameras`` have one resolution, that of ``renderer``. Tensors are ``rgb_<camera>`` uint8 (B, H, W, 3) and,
    where the camera has depth, ``depth_<camera>`` uint16 (B, H, W) in counts of the camera's depth unit, 0 for nothing.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        renderer: Renderer,
        vision: Vision,
        *,
        colours: Sequence[ColourRange] = (),
        depth_faults: DepthFaults | None = None,
        geom_size: np.ndarray | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self.cameras: tuple[CameraSettings, ...] = vision.cameras
        self._renderer = renderer
        self._settings = vision.appearance
        self._colours: Palette = palette(model, colours)
        self._wardrobe = wardrobe(model, vision.appearance, pictures)
        self._depth_faults = depth_faults
        self._geom_size = geom_size
        names = tuple(camera.name for camera in self.cameras)
        if names != tuple(renderer.cameras):
            raise RunError(f"the renderer draws {', '.join(renderer.cameras)}, the profile asks for {', '.join(names)}")

    def with_geom_size(self, geom_size: np.ndarray) -> "Images":
        """Return the same cameras looking at worlds whose geoms have the half sizes (B, ngeom, 3)."""
        other = copy.copy(self)
        other._geom_size = geom_size
        return other

    def draw(self, key: jax.Array, worlds: int, repeat: int = 1) -> tuple[Appearance, ImageSettings]:
        """Return the look of one episode in each world; see ``Imaging.draw``."""
        base = self._renderer.appearance(worlds // repeat)
        look_key, image_key = jax.random.split(key)
        look = draw_appearance(look_key, base, self._colours, self._settings)
        look = finish(jax.random.fold_in(look_key, 1), look, self._wardrobe)
        look = stand_out(jax.random.fold_in(look_key, 2), look, self._colours, self._settings.colour)
        apparent = jnp.where(base.geom_size > 0, look.geom_size / base.geom_size, 1.0)
        settings = draw_image_settings(image_key, worlds // repeat, len(self.cameras), self._settings)
        look, settings, apparent = tiled((look, settings, apparent), repeat)
        if self._geom_size is not None:
            size = jnp.asarray(self._geom_size, jnp.float32)
            look = look._replace(geom_size=size * apparent if self._settings.sizes else size)
        return look, settings

    def take(
        self, key: jax.Array, poses: Poses, appearance: Appearance, settings: ImageSettings
    ) -> dict[str, jax.Array]:
        """Render all worlds and return the image tensors by input name."""
        return self._develop(key, self._renderer.render(poses, appearance), settings)

    def _develop(self, key: jax.Array, frames: Frames, settings: ImageSettings) -> dict[str, jax.Array]:
        """Turn frames into image tensors."""
        rgb_key, depth_key = jax.random.split(key)
        limits, own = self._settings.image, settings.development
        rgb = spoil_colours(rgb_key, frames.rgb, settings.brightness, self._settings.pixel_noise, own, limits)
        depth = self._measured(depth_key, frames.depth, own)
        out: dict[str, jax.Array] = {}
        for index, camera in enumerate(self.cameras):
            out[rgb_name(camera.name)] = rgb[:, index]
            if camera.depth:
                out[depth_name(camera.name)] = depth_counts(depth[:, index], camera)
        return out

    def _measured(self, key: jax.Array, depth: jax.Array, own: Development | None) -> jax.Array:
        """Return depth (B, C, H, W) m as the cameras measure it."""
        limits, strength = self._settings.image, None
        if limits is not None and own is not None:
            if limits.shift_px:
                depth = shifted(depth, own.shift, limits.shift_px)
            depth = develop_depth(jax.random.fold_in(key, 1), depth, own.depth, limits)
            if limits.depth_faults != (1.0, 1.0):
                strength = own.depth.faults.reshape(-1, own.depth.faults.shape[-1])
        if self._depth_faults is not None and any(camera.depth for camera in self.cameras):
            flat = apart(depth).reshape(-1, *depth.shape[2:])
            depth = self._depth_faults(key, flat, strength=strength).reshape(depth.shape)
        if limits is not None and own is not None and limits.depth_holes > 0:
            depth = lose_patches(jax.random.fold_in(key, 2), depth, own.depth.hole)
        return depth


def depth_counts(depth: jax.Array, camera: CameraSettings) -> jax.Array:
    """Return depth in m as uint16 counts of the camera's unit; outside its range, or not finite, is 0: nothing."""
    low, high = camera.depth_range_m
    usable = jnp.isfinite(depth) & (depth > 0) & (depth >= low) & (depth <= high)
    counts = jnp.round(jnp.where(usable, depth, 0.0) / camera.depth_unit_m)
    return jnp.clip(counts, 0, 65535).astype(jnp.uint16)


def spoil_colours(
    key: jax.Array,
    rgb: jax.Array,
    brightness: jax.Array,
    noise: float,
    own: Development | None = None,
    limits: ImageRange | None = None,
) -> jax.Array:
    """Scale uint8 images (B, C, H, W, 3) by ``brightness`` (B, C), add uniform ± ``noise`` (of 1), clip, round.

    Between the two comes what the camera does besides, ``own`` as far as it has ``limits``.
    """
    values = rgb.astype(jnp.float32) * brightness[:, :, None, None, None]
    if own is not None and limits is not None:
        values = develop_colours(values, own, limits)
    if noise > 0:
        bits = pixel_bits(key, rgb.shape[:-1], rgb.shape[0] * rgb.shape[1])
        values = values + (255.0 * noise) * signed_bytes(bits)
    return jnp.clip(jnp.round(values), 0, 255).astype(jnp.uint8)
