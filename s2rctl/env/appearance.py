"""Visual domain randomisation: what may look different in each episode, drawn as data for the renderer."""

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.render.protocol import Appearance
from s2rctl.schema.simulation import Appearance as Settings
from s2rctl.schema.simulation import ColourRange
from s2rctl.tasks import rotation


class ImageSettings(NamedTuple):
    """What a camera does to its image during one episode."""

    brightness: jax.Array  # (B, C) factor


class Palette(NamedTuple):
    """Colour ranges resolved on a model: range r paints the geoms where ``member[r]``."""

    member: np.ndarray  # (R, ngeom) bool
    low: np.ndarray  # (R, 3)
    high: np.ndarray  # (R, 3)
    grey: np.ndarray  # (R,) bool


def palette(model: mujoco.MjModel, ranges: Sequence[ColourRange]) -> Palette:
    """Resolve the geom name patterns of ``ranges`` on ``model``; a range that matches nothing has no effect."""
    names = [model.geom(i).name for i in range(model.ngeom)]
    member = np.array([[any(fnmatchcase(n, p) for p in r.geoms) for n in names] for r in ranges], bool)
    return Palette(
        member.reshape(len(ranges), model.ngeom),
        np.array([r.low for r in ranges], np.float32).reshape(-1, 3),
        np.array([r.high for r in ranges], np.float32).reshape(-1, 3),
        np.array([r.grey for r in ranges], bool),
    )


def draw_appearance(key: jax.Array, base: Appearance, colours: Palette, settings: Settings) -> Appearance:
    """Return ``base`` (leaves (B, ...)) varied independently in each world within ``settings``."""
    keys = jax.random.split(key, 8)
    cameras = base.camera_pos_offset.shape
    limits = jnp.asarray(settings.camera_position_m, jnp.float32)
    turn = math.radians(settings.camera_rotation_deg)
    intensity = 1.0 + settings.light_intensity * _symmetric(keys[4], base.light_diffuse.shape[:2])
    return base._replace(
        geom_rgba=_paint(keys[0], base.geom_rgba, colours, settings.colour),
        camera_pos_offset=base.camera_pos_offset + limits * _symmetric(keys[1], cameras),
        camera_rot_offset=base.camera_rot_offset + _rotation_vectors(keys[2], cameras[:2], turn),
        camera_fovy=base.camera_fovy + settings.camera_fovy_deg * _symmetric(keys[3], cameras[:2]),
        light_pos=base.light_pos + settings.light_position_m * _symmetric(keys[5], base.light_pos.shape),
        light_dir=_turned(keys[6], base.light_dir, math.radians(settings.light_direction_deg)),
        light_diffuse=jnp.clip(base.light_diffuse * intensity[..., None], 0.0, 1.0),
        shadows=base.shadows & jax.random.bernoulli(keys[7], settings.shadow_probability, base.shadows.shape),
    )


def draw_image_settings(key: jax.Array, worlds: int, cameras: int, settings: Settings) -> ImageSettings:
    """Return the cameras' settings for one episode of each world."""
    low, high = settings.brightness
    return ImageSettings(jax.random.uniform(key, (worlds, cameras), minval=low, maxval=high))


def _symmetric(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return draws from [-1, 1]."""
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def _paint(key: jax.Array, rgba: jax.Array, colours: Palette, strength: float) -> jax.Array:
    """Move each geom (B, ngeom, 4) by ``strength`` towards a colour drawn for its range; one draw per range."""
    if strength == 0 or not len(colours.member):
        return rgba
    low, high = jnp.asarray(colours.low), jnp.asarray(colours.high)
    shares = jax.random.uniform(key, (rgba.shape[0], *low.shape))
    shares = jnp.where(jnp.asarray(colours.grey)[:, None], shares[..., :1], shares)
    drawn = low + (high - low) * shares
    rgb = rgba[..., :3]
    for index, members in enumerate(colours.member):
        moved = rgb + strength * (drawn[:, None, index] - rgb)
        rgb = jnp.where(jnp.asarray(members)[:, None], moved, rgb)
    return rgba.at[..., :3].set(rgb)


def _rotation_vectors(key: jax.Array, shape: tuple[int, ...], limit: float) -> jax.Array:
    """Return rotation vectors (*shape, 3): angle uniform in ± limit rad about an axis uniform on the sphere."""
    axis_key, angle_key = jax.random.split(key)
    axis = jax.random.normal(axis_key, (*shape, 3))
    axis = axis / jnp.maximum(jnp.linalg.norm(axis, axis=-1, keepdims=True), 1e-6)
    return axis * (limit * _symmetric(angle_key, shape))[..., None]


def _turned(key: jax.Array, directions: jax.Array, limit: float) -> jax.Array:
    """Turn unit vectors (B, n, 3) by up to ``limit`` rad about random axes."""
    if limit == 0:
        return directions
    vectors = _rotation_vectors(key, directions.shape[:2], limit)
    angle = jnp.linalg.norm(vectors, axis=-1)
    axis = vectors / jnp.maximum(angle, 1e-9)[..., None]
    matrices = jax.vmap(jax.vmap(rotation.matrix_about))(axis, angle)
    return jnp.einsum("bnij,bnj->bni", matrices, directions)
