"""What a stereo depth camera does to depth, drawn once per episode: errors of scale, limits, edges and holes.

The faults of ``render/depth_noise.py`` come between its edges and its holes; how strong they are is drawn here too.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.render.apart import apart
from s2rctl.render.pixel_noise import pixel_bits, uniform
from s2rctl.schema.appearance import ImageRange

SHADOW_PX = 6
"""Widest hole beside a near edge."""
STEP_M = 0.01
"""What lies less than this behind its neighbour is no edge that spreads."""
HOLE_RADIUS = (0.04, 0.16)
"""Radius of the part that loses most, of the image's height: a black gripper, or the reflection of a lamp."""
ELSEWHERE = 0.1
"""Share of the loss outside that part."""
FAULTS = 5
"""Number of faults in ``depth_noise`` whose strengths are drawn."""


class DepthSettings(NamedTuple):
    """What a depth camera does to its image during one episode; leaves (B, C, ...)."""

    scale: jax.Array  # (B, C) factor
    bias: jax.Array  # (B, C) m
    near: jax.Array  # (B, C) m, nearest depth
    shadow: jax.Array  # (B, C) px m, disparity times depth
    fattening: jax.Array  # (B, C) px
    hole: jax.Array  # (B, C, 4) share that is lost; row, column and radius of the part, of the height
    faults: jax.Array  # (B, C, FAULTS) strengths of the faults of vision.depth_noise


def draw_depth_settings(key: jax.Array, scale: jax.Array, bias: jax.Array, limits: ImageRange) -> DepthSettings:
    """Return the settings of one episode; ``scale`` and ``bias`` (B, C) are draws from [-1, 1]."""
    shape = scale.shape
    # Keys of their own, so that the draws of what was there before stay what they were.
    near_key, shadow_key = jax.random.split(jax.random.fold_in(key, 1))
    edge_key, hole_key, fault_key = jax.random.split(jax.random.fold_in(key, 2), 3)
    lost = jax.random.uniform(hole_key, (*shape, 4))
    low, high = HOLE_RADIUS
    return DepthSettings(
        scale=1.0 + limits.depth_scale * scale,
        bias=limits.depth_bias_m * bias,
        near=jax.random.uniform(near_key, shape, minval=limits.depth_near_m[0], maxval=limits.depth_near_m[1]),
        shadow=limits.depth_shadow * jax.random.uniform(shadow_key, shape),
        fattening=limits.depth_fattening_px * jax.random.uniform(edge_key, shape),
        hole=lost * jnp.array([limits.depth_holes, 1.0, 1.0, high - low]) + jnp.array([0.0, 0.0, 0.0, low]),
        faults=jax.random.uniform(
            fault_key, (*shape, FAULTS), minval=limits.depth_faults[0], maxval=limits.depth_faults[1]
        ),
    )


def develop_depth(key: jax.Array, depth: jax.Array, own: DepthSettings, limits: ImageRange) -> jax.Array:
    """Return depth (B, C, H, W) m as a stereo camera has it; 0 is nothing, and stays nothing.

    Parts without a range cost nothing.
    """
    if limits.depth_fattening_px > 0:
        depth = _fattened(key, depth, own.fattening, limits.depth_fattening_px)
    if limits.depth_shadow > 0:
        depth = apart(depth)
        depth = jnp.where(_hidden(depth, own.shadow), 0.0, depth)
    if limits.depth_near_m[1] > 0:
        depth = jnp.where(depth < own.near[..., None, None], 0.0, depth)
    if not limits.depth_bias_m and not limits.depth_scale:
        return depth
    scale, bias = own.scale[..., None, None], own.bias[..., None, None]
    return jnp.where(depth > 0, jnp.maximum(scale * depth + bias, 0.0), 0.0)


def lose_patches(key: jax.Array, depth: jax.Array, hole: jax.Array) -> jax.Array:
    """Return depth (B, C, H, W) without the patches that are lost, most in the round part of ``hole`` (B, C, 4).

    It comes after all other faults: the edges of a hole are no edges of anything.
    """
    height, width = depth.shape[2:]
    down, across = (np.arange(size, dtype=np.float32) / height for size in (height, width))
    share, row, column, radius = (hole[..., part, None, None] for part in range(4))
    apart = (down[:, None] - row) ** 2 + (across[None, :] - column * (width / height)) ** 2
    lost = _patches(key, depth.shape) < share * jnp.where(apart < radius**2, 1.0, ELSEWHERE)
    return jnp.where(lost, 0.0, depth)


def _fattened(key: jax.Array, depth: jax.Array, reach: jax.Array, most: float) -> jax.Array:
    """Spread near surfaces over what is behind by ``reach`` (B, C) px, ring by ring; of the last ring only a share."""
    for ring in range(math.ceil(most)):
        far = jnp.where(depth > 0, depth, jnp.inf)
        near = far
        for window in ((1, 1, 3, 1), (1, 1, 1, 3)):
            near = jax.lax.reduce_window(near, jnp.inf, jax.lax.min, window, (1, 1, 1, 1), "SAME")
        share = jnp.clip(reach - ring, 0.0, 1.0)[..., None, None]
        spread = (_patches(jax.random.fold_in(key, ring), depth.shape) < share) & (near < far - STEP_M)
        depth = jnp.where(spread, near, depth)
    return depth


def _patches(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return uniform numbers (B, C, H, W) that are alike in patches of two by two: a camera has more pixels than we."""
    worlds, cameras, height, width = shape
    half = (worlds, cameras, (height + 1) // 2, (width + 1) // 2)
    coarse = uniform(pixel_bits(key, half, worlds * cameras))
    return jnp.repeat(jnp.repeat(coarse, 2, axis=2), 2, axis=3)[:, :, :height, :width]


def _hidden(depth: jax.Array, constant: jax.Array) -> jax.Array:
    """Return (B, C, H, W) bool: what the second imager, to the right of the first, does not see for something nearer.

    A point in column i stands in column i - d of the second picture, with the disparity d = ``constant`` (B, C) px m
    over depth. It is hidden behind one k columns further right whose disparity is larger by k or more.
    """
    disparity = jnp.where(depth > 0, constant[..., None, None] / jnp.maximum(depth, 1e-3), 0.0)
    width = depth.shape[3]
    wide = jnp.pad(disparity, ((0, 0), (0, 0), (0, 0), (0, SHADOW_PX)))
    hidden = jnp.zeros(depth.shape, bool)
    for k in range(1, SHADOW_PX + 1):
        hidden = hidden | (jax.lax.slice_in_dim(wide, k, k + width, axis=3) - disparity >= k)
    return hidden
