"""Cameras at the edge: as far from where the policy was trained with them as placing and calibration leave them."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.env.images import Imaging
from s2rctl.env.rows import tiled, where
from s2rctl.render.protocol import Appearance
from s2rctl.schema.laboratory import LookRanges
from s2rctl.schema.profile import Profile
from s2rctl.schema.simulation import CameraSettings

_EDGE, _WHICH = 4, 5
"""Numbers folded into the key of an episode's look, so that the rest of the look is drawn as without us."""


class Edge:
    """How far off every camera is, for each episode in another direction.

    As far as training's cameras go, and ``beyond`` that by what calibration leaves.
    """

    def __init__(self, profile: Profile, *, beyond: bool = True) -> None:
        look, tiers, calibration = profile.vision.appearance, profile.evaluate.tiers.camera, profile.calibration
        position = calibration.max_position_error_m if tiers.position_m is None else tiers.position_m
        rotation = calibration.max_rotation_error_deg if tiers.rotation_deg is None else tiers.rotation_deg
        self.position_m = tuple(value + beyond * position for value in look.camera_position_m)
        self.rotation_deg = look.camera_rotation_deg + beyond * rotation
        self.fovy_deg = max(look.camera_fovy_deg, beyond * tiers.fovy_deg)

    def of(self, look: LookRanges) -> LookRanges:
        """Return the ranges of a laboratory whose cameras are as far off, in any direction."""
        return look.at(
            camera_share=0.0,
            camera_offset=float(np.linalg.norm(self.position_m)),
            camera_rotation=self.rotation_deg,
            camera_fovy=self.fovy_deg,
        )

    def moved(self, key: jax.Array, look: Appearance, fovy: np.ndarray) -> Appearance:
        """Return the look with all cameras (B, ncam) at the edge; ``fovy`` (ncam,) deg is the model's."""
        position_key, axis_key, fovy_key = jax.random.split(key, 3)
        shape = look.camera_pos_offset.shape
        axis = jax.random.normal(axis_key, shape)
        axis = axis / jnp.maximum(jnp.linalg.norm(axis, axis=-1, keepdims=True), 1e-6)
        return look._replace(
            camera_pos_offset=jnp.asarray(self.position_m, jnp.float32) * jax.random.rademacher(position_key, shape),
            camera_rot_offset=axis * math.radians(self.rotation_deg),
            camera_fovy=jnp.asarray(fovy, jnp.float32)
            + self.fovy_deg * jax.random.rademacher(fovy_key, look.camera_fovy.shape),
        )


class EdgeCameras:
    """The profile's own pictures, in a ``share`` of the episodes taken by cameras at the edge."""

    def __init__(self, images: Imaging, model: mujoco.MjModel, edge: Edge, share: float = 1.0) -> None:
        self._images, self._fovy, self._edge, self._share = images, np.array(model.cam_fovy), edge, share

    @property
    def cameras(self) -> tuple[CameraSettings, ...]:
        """The policy cameras."""
        return self._images.cameras

    def with_geom_size(self, geom_size: np.ndarray) -> "EdgeCameras":
        """Return the same cameras looking at worlds whose geoms have the half sizes (B, ngeom, 3) m."""
        other = object.__new__(EdgeCameras)
        other._images, other._share = self._images.with_geom_size(geom_size), self._share
        other._fovy, other._edge = self._fovy, self._edge
        return other

    def draw(self, key: jax.Array, worlds: int, repeat: int = 1) -> tuple[Appearance, Any]:
        """Return the look of one episode in each world: the one of the same key, but for cameras at the edge."""
        look, settings = self._images.draw(key, worlds, repeat)
        first = jax.tree.map(lambda leaf: leaf[: worlds // repeat], look)
        moved = self._edge.moved(jax.random.fold_in(key, _EDGE), first, self._fovy)
        if self._share < 1.0:
            there = jax.random.uniform(jax.random.fold_in(key, _WHICH), (worlds // repeat,)) < self._share
            moved = where(there, moved, first)
        cameras = ("camera_pos_offset", "camera_rot_offset", "camera_fovy")
        return look._replace(**{name: tiled(getattr(moved, name), repeat) for name in cameras}), settings

    def take(self, key: jax.Array, poses: Any, appearance: Any, settings: Any) -> dict[str, jax.Array]:
        """Render all worlds and return the image tensors by input name."""
        return self._images.take(key, poses, appearance, settings)
