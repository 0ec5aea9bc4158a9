"""Visual domain randomisation: what may look different in each episode, drawn as data for the renderer."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.env.geoms import members
from s2rctl.render.protocol import Appearance
from s2rctl.schema.simulation import Appearance as Settings
from s2rctl.schema.simulation import ColourRange
from s2rctl.tasks import rotation

TRIES = 16
"""Further draws of a colour that is too like what lies behind it."""


class Palette(NamedTuple):
    """Colour ranges resolved on a model: range r paints the geoms where ``member[r]``."""

    member: np.ndarray  # (R, ngeom) bool
    low: np.ndarray  # (R, 3)
    high: np.ndarray  # (R, 3)
    grey: np.ndarray  # (R,) bool
    tint: np.ndarray  # (R,)
    each: np.ndarray  # (R,) bool
    against: np.ndarray  # (R, ngeom) bool: what the colour must stand out from
    contrast: np.ndarray  # (R,)


def palette(model: mujoco.MjModel, ranges: Sequence[ColourRange]) -> Palette:
    """Resolve the geom name patterns of ``ranges`` on ``model``; a range that matches nothing has no effect."""
    member = np.array([members(model, r.geoms) for r in ranges], bool)
    against = np.array([members(model, r.against) for r in ranges], bool)
    return Palette(
        member.reshape(len(ranges), model.ngeom),
        np.array([r.low for r in ranges], np.float32).reshape(-1, 3),
        np.array([r.high for r in ranges], np.float32).reshape(-1, 3),
        np.array([r.grey for r in ranges], bool),
        np.array([r.tint for r in ranges], np.float32),
        np.array([r.each for r in ranges], bool),
        against.reshape(len(ranges), model.ngeom),
        np.array([r.contrast for r in ranges], np.float32),
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


def _symmetric(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return draws from [-1, 1]."""
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def _paint(key: jax.Array, rgba: jax.Array, colours: Palette, strength: float) -> jax.Array:
    """Move each geom (B, ngeom, 4) by ``strength`` towards a colour drawn for its range; one draw per range."""
    if strength == 0 or not len(colours.member):
        return rgba
    drawn = _drawn(key, colours, rgba.shape[0])
    rgb = rgba[..., :3]
    for index, mine in enumerate(colours.member):
        goal = drawn[:, None, index]
        if colours.each[index]:
            goal = _drawn(jax.random.fold_in(key, index), colours, (rgba.shape[0], rgba.shape[1]))[..., index, :]
        moved = rgb + strength * (goal - rgb)
        rgb = jnp.where(jnp.asarray(mine)[:, None], moved, rgb)
    return rgba.at[..., :3].set(rgb)


def _drawn(key: jax.Array, colours: Palette, shape: int | tuple[int, ...]) -> jax.Array:
    """Return colours (*shape, R, 3) from the ranges."""
    low, high = jnp.asarray(colours.low), jnp.asarray(colours.high)
    wide = (shape,) if isinstance(shape, int) else shape
    shares = jax.random.uniform(key, (*wide, *low.shape))
    shares = jnp.where(jnp.asarray(colours.grey)[:, None], shares[..., :1], shares)
    drawn = low + (high - low) * shares
    if not colours.tint.any():
        return drawn
    tint = jnp.asarray(colours.tint)[:, None] * _symmetric(jax.random.fold_in(key, 1), shares.shape)
    return jnp.clip(drawn + tint, 0.0, 1.0)


def stand_out(key: jax.Array, look: Appearance, colours: Palette, strength: float) -> Appearance:
    """Draw colours again that are too like what they shall stand out from; the best of TRIES where none is enough.

    What counts is the distance of colours without their grey parts: brightness changes with the light, hue does not.
    A texture's second colour counts like the first.
    """
    rgb = look.geom_rgba[..., :3]
    if strength == 0:
        return look
    for index in np.flatnonzero(colours.against.any(axis=1) & colours.member.any(axis=1)):
        behind = rgb[:, colours.against[index]]
        if look.textures is not None:
            second = look.textures.other[:, : rgb.shape[1]][:, colours.against[index]]
            has = look.textures.pattern[:, : rgb.shape[1]][:, colours.against[index]] > 0
            behind = jnp.concatenate([behind, jnp.where(has[..., None], second, behind)], axis=1)
        mine = np.flatnonzero(colours.member[index])
        keys = jax.random.split(jax.random.fold_in(key, index), TRIES)
        fresh = jnp.stack([_drawn(each, colours, rgb.shape[0])[:, index] for each in keys], axis=1)
        nominal = rgb[:, mine[:1]]
        tried = jnp.concatenate([nominal, nominal + strength * (fresh - nominal)], axis=1)  # (B, 1 + TRIES, 3)
        apart = jnp.linalg.norm(_hue(tried)[:, :, None] - _hue(behind)[:, None], axis=-1).min(-1)
        enough = apart >= colours.contrast[index]
        choice = jnp.where(enough.any(1), jnp.argmax(enough, axis=1), jnp.argmax(apart, axis=1))
        chosen = jnp.take_along_axis(tried, choice[:, None, None], 1)
        again = (choice > 0)[:, None, None] & jnp.asarray(colours.member[index])[:, None]
        rgb = jnp.where(again, chosen, rgb)
    return look._replace(geom_rgba=look.geom_rgba.at[..., :3].set(rgb))


def _hue(colour: jax.Array) -> jax.Array:
    """Return a colour (..., 3) without its grey part."""
    return colour - colour.mean(-1, keepdims=True)


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
