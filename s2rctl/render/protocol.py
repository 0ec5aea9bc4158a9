"""What every batch renderer offers: frames of all worlds and cameras from poses and appearance."""

from typing import NamedTuple, Protocol

import jax

from s2rctl.scene.poses import Poses

PATTERNS = ("plain", "checker", "stripes", "noise", "gradient", "grain", "picture")
"""What a texture can show, by number: two colours mixed, or a picture of the renderer's."""
EXTRA_SHAPES = ("box", "capsule", "cylinder", "ellipsoid")
"""Extra geom i has shape i modulo 4."""


class Textures(NamedTuple):
    """What is on the surfaces. Leaves (B, n, ...): the model's geoms, then the extra ones.

    A pattern is a function of ``axes @ point + phase``, the point in the geom's frame.
    """

    pattern: jax.Array  # (B, n) int32, place in PATTERNS
    other: jax.Array  # (B, n, 3) second colour, in [0, 1]
    axes: jax.Array  # (B, n, 3, 3) 1/m
    phase: jax.Array  # (B, n, 3) periods
    picture: jax.Array  # (B, n) int32
    shine: jax.Array  # (B, n) highlight, as a share of the light; 0: matt


class Background(NamedTuple):
    """What rays see that meet nothing; it shines by itself. Leaves (B, ...).

    The pattern is a function of ``axes @ direction + phase``, a unit vector in the world's frame.
    """

    pattern: jax.Array  # (B,) int32
    colour: jax.Array  # (B, 3)
    other: jax.Array  # (B, 3)
    axes: jax.Array  # (B, 3, 3)
    phase: jax.Array  # (B, 3)
    picture: jax.Array  # (B,) int32


class Extras(NamedTuple):
    """Geoms that are drawn and have no part in physics. Leaves (B, E, ...)."""

    parent: jax.Array  # (B, E) int32: the geom that it hangs on; -1: the world
    pos: jax.Array  # (B, E, 3) m, in the parent's frame
    mat: jax.Array  # (B, E, 3, 3) in the parent's frame
    size: jax.Array  # (B, E, 3) MuJoCo half sizes, m
    rgba: jax.Array  # (B, E, 4)


class Lamps(NamedTuple):
    """Directional lights beside the model's; they cast no shadow. Leaves (B, L, 3)."""

    direction: jax.Array  # unit, world frame: where the light goes
    diffuse: jax.Array


class Appearance(NamedTuple):
    """What may look different in each world. Leaves (B, ...); built by ``Renderer.appearance``, randomised as data.

    The parts that are None are not drawn and cost nothing; a renderer that cannot draw one names it in ``fixed``.
    """

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
    textures: Textures | None = None
    background: Background | None = None
    extras: Extras | None = None
    lamps: Lamps | None = None


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


OPTIONAL = frozenset({"textures", "background", "extras", "lamps"})
"""Parts of an appearance that only the ray caster draws."""
