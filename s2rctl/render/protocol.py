"""What every batch renderer offers: frames of all worlds and cameras from poses and appearance."""

from typing import NamedTuple, Protocol

import jax

from s2rctl.scene.poses import Poses


class Appearance(NamedTuple):
    """What may look different in each world. Leaves (B, ...); built by ``Renderer.appearance``, randomised as data."""

    geom_rgba: jax.Array  # (B, ngeom, 4) in [0, 1]; alpha 0 hides the geom
    geom_size: jax.Array  # (B, ngeom, 3) MuJoCo half sizes, m
    light_pos: jax.Array  # (B, nlight, 3) m, world frame
    light_dir: jax.Array  # (B, nlight, 3) unit, world frame
    light_diffuse: jax.Array  # (B, nlight, 3)
    ambient: jax.Array  # (B, 3): sum of all ambient light
    camera_pos_offset: jax.Array  # (B, ncam, 3) m, in the camera's own frame
    camera_rot_offset: jax.Array  # (B, ncam, 3) rotation vector rad, in the camera's own frame
    camera_fovy: jax.Array  # (B, ncam) degrees, vertical
    shadows: jax.Array  # (B,) bool: whether lights cast shadows; only a renderer made with shadows draws them


class Frames(NamedTuple):
    """Images of the rendered cameras, first row on top."""

    rgb: jax.Array  # (B, C, H, W, 3) uint8
    depth: jax.Array  # (B, C, H, W) float32 m along the optical axis; 0 where nothing was hit


class Renderer(Protocol):
    """Renders ``cameras`` of one model at one resolution for any number of worlds."""

    cameras: tuple[str, ...]
    width: int
    height: int

    def appearance(self, worlds: int) -> Appearance:
        """Return the model's own look, repeated for ``worlds`` worlds."""

    def render(self, poses: Poses, appearance: Appearance) -> Frames:
        """Return the frames. Poses hold all geoms and cameras of the model; only ``cameras`` are drawn."""
