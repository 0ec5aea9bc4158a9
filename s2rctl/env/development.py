"""What a camera does to its image before anybody sees it: colours, sharpness, framing, compression."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.depth_camera import DepthSettings, draw_depth_settings
from s2rctl.render.apart import apart
from s2rctl.schema.appearance import ImageRange
from s2rctl.schema.simulation import Appearance as Settings

BLOCK = 8
"""Side of the blocks of JPEG."""
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)  # NTSC


class Development(NamedTuple):
    """What goes beyond brightness; leaves (B, C, ...)."""

    colours: jax.Array  # (B, C, 3, 3) of values in [0, 1]
    lift: jax.Array  # (B, C, 1) added after it
    gamma: jax.Array  # (B, C)
    vignette: jax.Array  # (B, C)
    blur: jax.Array  # (B, C) share of the neighbours
    shift: jax.Array  # (B, C, 2) int32 px, down and right
    step: jax.Array  # (B, C) quantisation
    depth: DepthSettings


class ImageSettings(NamedTuple):
    """What a camera does to its image during one episode."""

    brightness: jax.Array  # (B, C) factor
    development: Development | None = None


def draw_image_settings(key: jax.Array, worlds: int, cameras: int, settings: Settings) -> ImageSettings:
    """Return the cameras' settings for one episode of each world."""
    low, high = settings.brightness
    brightness = jax.random.uniform(key, (worlds, cameras), minval=low, maxval=high)
    if settings.image is None:
        return ImageSettings(brightness)
    return ImageSettings(brightness, _draw(jax.random.fold_in(key, 1), (worlds, cameras), settings.image))


def _draw(key: jax.Array, shape: tuple[int, int], limits: ImageRange) -> Development:
    keys = jax.random.split(key, 11)

    def between(index: int, low: float, high: float, *more: int) -> jax.Array:
        return jax.random.uniform(keys[index], (*shape, *more), minval=low, maxval=high)

    gains = 1.0 + limits.white_balance * between(0, -1.0, 1.0, 3) * jnp.array([1.0, 0.0, 1.0])
    contrast = between(1, *limits.contrast)[..., None, None]
    turn = math.radians(limits.hue_deg) * between(2, -1.0, 1.0)
    colours = _hue_and_saturation(turn, between(3, *limits.saturation)) * gains[..., None, :]
    return Development(
        colours=contrast * colours,
        lift=0.5 * (1.0 - contrast[..., 0]),
        gamma=between(4, *limits.gamma),
        vignette=between(5, 0.0, limits.vignette),
        blur=between(6, 0.0, limits.blur),
        shift=jax.random.randint(keys[7], (*shape, 2), -limits.shift_px, limits.shift_px + 1),
        step=between(9, 0.0, limits.blocks),
        depth=draw_depth_settings(key, between(8, -1.0, 1.0), between(10, -1.0, 1.0), limits),
    )


def _hue_and_saturation(turn: jax.Array, saturation: jax.Array) -> jax.Array:
    """Return matrices (..., 3, 3): chrominance turned by ``turn`` rad and stretched, luminance kept."""
    c, s = saturation * jnp.cos(turn), saturation * jnp.sin(turn)
    one, zero = jnp.ones_like(c), jnp.zeros_like(c)
    rows = [jnp.stack(row, -1) for row in ((one, zero, zero), (zero, c, -s), (zero, s, c))]
    back = jnp.asarray(np.linalg.inv(_TO_YIQ).astype(np.float32))
    return back @ jnp.stack(rows, -2) @ jnp.asarray(_TO_YIQ)


def develop_colours(rgb: jax.Array, own: Development, limits: ImageRange) -> jax.Array:
    """Return values (B, C, H, W, 3) in about [0, 255] of images in [0, 255]; parts without a range cost nothing."""
    raw = [rgb[..., channel] * (1.0 / 255.0) for channel in range(3)]
    # Colours first: they mix the planes, and what is mixed late is computed three times.
    matrix, lift = own.colours[..., None, None], own.lift[..., None]
    planes = [
        sum((matrix[:, :, i, j] * raw[j] for j in range(1, 3)), matrix[:, :, i, 0] * raw[0] + lift) for i in range(3)
    ]
    if limits.shift_px:
        planes = [shifted(apart(plane), own.shift, limits.shift_px) for plane in planes]
    if limits.blur > 0:
        planes = [_blurred(apart(plane), own.blur) for plane in planes]
    if limits.vignette > 0:
        planes = [plane * _vignette(own.vignette, *rgb.shape[2:4]) for plane in planes]
    if limits.gamma != (1.0, 1.0):
        planes = [_toned(plane, own.gamma) for plane in planes]
    if limits.blocks > 0:
        planes = [_quantised(plane, own.step) for plane in planes]
    return 255.0 * jnp.stack(planes, -1)


def shifted(images: jax.Array, shift: jax.Array, most: int) -> jax.Array:
    """Return images (B, C, H, W) moved by ``shift`` (B, C, 2) px, at most ``most`` on each axis; edges are repeated.

    A choice among the fixed moves: gathering would cost ten times as much.
    """
    for axis in (2, 3):
        edge, size = [(0, 0)] * 4, images.shape[axis]
        edge[axis] = (most, most)
        wide = jnp.pad(images, edge, mode="edge")
        by = shift[..., axis - 2, None, None]
        for step in range(-most, most + 1):
            moved = jax.lax.slice_in_dim(wide, most - step, most - step + size, axis=axis)
            images = moved if step == -most else jnp.where(by == step, moved, images)
    return images


def _toned(plane: jax.Array, gamma: jax.Array) -> jax.Array:
    """Return values in [0, 1] on the parabola through black, white and 0.5 ** gamma at 0.5.

    It stands for the power itself, which costs as much as a tenth of the picture.
    """
    bend = (4.0 * (0.5**gamma - 0.5))[..., None, None]
    within = jnp.clip(plane, 0.0, 1.0)
    return within + bend * within * (1.0 - within)


def _blurred(plane: jax.Array, share: jax.Array) -> jax.Array:
    """Return (B, C, H, W) with ``share`` of each pixel taken from its neighbours, three by three."""
    side = (share / 3.0)[..., None, None]  # separable: two passes of (side, 1 - 2 side, side)
    for axis in (2, 3):
        edge = [(0, 0)] * 4
        edge[axis] = (1, 1)
        wide = jnp.pad(plane, edge, mode="edge")
        size = plane.shape[axis]
        before, after = (jax.lax.slice_in_dim(wide, at, at + size, axis=axis) for at in (0, 2))
        plane = plane + side * (before + after - 2.0 * plane)
    return plane


def _vignette(amount: jax.Array, height: int, width: int) -> jax.Array:
    """Return factors (B, C, H, W): 1 in the middle, 1 - amount in the corners."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return 1.0 - amount[..., None, None] * jnp.asarray((0.5 * (x * x + y * y)).astype(np.float32))


def _quantised(plane: jax.Array, step: jax.Array) -> jax.Array:
    """Return (B, C, H, W) with the cosine transform of its blocks rounded to multiples of a step.

    Steps grow with frequency about as in the table of the JPEG standard's annex K. The picture is filled up at its
    edges to whole blocks.
    """
    height, width = plane.shape[2:]
    down, right = -height % BLOCK, -width % BLOCK
    full = jnp.pad(plane, ((0, 0), (0, 0), (0, down), (0, right)), mode="edge") if down or right else plane
    tall, wide = height + down, width + right
    cosines = _cosines()
    frequency = (np.arange(tall) % BLOCK)[:, None] + (np.arange(wide) % BLOCK)[None]
    table = jnp.asarray((BLOCK * (0.35 + 0.25 * frequency)).astype(np.float32)) * (step + 1e-4)[..., None, None]
    parts = jnp.round(_both_ways(full, cosines) / table) * table
    return _both_ways(parts, cosines.T)[:, :, :height, :width]


def _both_ways(plane: jax.Array, matrix: np.ndarray) -> jax.Array:
    """Return (B, C, H, W) with each block's rows and columns multiplied by ``matrix`` (BLOCK, BLOCK)."""
    shape = plane.shape
    across = plane.reshape(-1, BLOCK) @ matrix.T
    blocks = across.reshape(-1, BLOCK, shape[3])
    down: jax.Array = jnp.einsum("ij,njw->niw", matrix, blocks)
    return down.reshape(shape)


def _cosines() -> np.ndarray:
    """Return the orthonormal cosine transform (BLOCK, BLOCK)."""
    k, n = np.meshgrid(np.arange(BLOCK), np.arange(BLOCK), indexing="ij")
    one = np.sqrt(2.0 / BLOCK) * np.cos(np.pi * (2 * n + 1) * k / (2 * BLOCK))
    one[0] = np.sqrt(1.0 / BLOCK)
    return one.astype(np.float32)
