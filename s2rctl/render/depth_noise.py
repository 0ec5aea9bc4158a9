"""Faults of a stereo depth camera, so that a policy meets them in training: each step is one function.

The order and amplitudes are those of the published Aloha sim-to-real set-up; the disparity model is that of Handa et
al., "A benchmark for RGB-D visual odometry, 3D reconstruction and SLAM", ICRA 2014, whose constant is for millimetres.
Depth is (N, H, W) in metres, 0 where there is nothing; every step keeps that meaning.
"""

import jax
import jax.numpy as jnp

from s2rctl.schema.simulation import DepthNoise

MM = 1000.0  # mm per m
SCRATCH_LENGTH = (2.0, 10.0)  # px
SCRATCH_DEPTH = (0.2, 0.85)  # of the camera's range
SCRATCH_HALF_WIDTH = 0.6  # px: a line about one pixel wide


def depth_faults(key: jax.Array, depth: jax.Array, noise: DepthNoise, far_m: float) -> jax.Array:
    """Return depth (N, H, W) m as a faulty camera with the range ``far_m`` would report it."""
    keys = jax.random.split(key, 5)
    depth = lose_edges(keys[0], depth, noise.edge_gradient, noise.edge_gain)
    depth = disparity_noise(keys[1], depth, noise.disparity_shift_px, noise.disparity_sigma, noise.disparity_constant)
    depth = lose_pixels(keys[2], depth, noise.loss)
    depth = scratch(keys[3], depth, noise.scratches, far_m)
    return blackout(keys[4], depth, noise.blackout)


def lose_edges(key: jax.Array, depth: jax.Array, gradient: float, gain: float) -> jax.Array:
    """Lose pixels where depth changes by more than ``gradient`` (m/px), with probability atan(gain * change).

    The mask of lost pixels of each frame is shifted by up to one pixel, as the shadow of an edge is.
    """
    where_key, shift_key = jax.random.split(key)
    rows = jnp.diff(depth, axis=1, append=depth[:, -1:])
    columns = jnp.diff(depth, axis=2, append=depth[:, :, -1:])
    change = jnp.sqrt(rows**2 + columns**2)
    probability = jnp.where(change > gradient, jnp.arctan(gain * change), 0.0)
    lost = jax.random.uniform(where_key, depth.shape) < probability
    shift = jax.random.randint(shift_key, (depth.shape[0], 2), -1, 2)
    lost = jax.vmap(lambda mask, by: jnp.roll(mask, by, axis=(0, 1)))(lost, shift)
    return jnp.where(lost, 0.0, depth)


def disparity_noise(key: jax.Array, depth: jax.Array, shift_px: float, sigma: float, constant: float) -> jax.Array:
    """Sample each pixel at a slightly shifted place, then add noise to its disparity and round it to whole steps."""
    shift_key, noise_key = jax.random.split(key)
    count, height, width = depth.shape
    shift = shift_px * jax.random.normal(shift_key, (2, count, height, width))
    rows = jnp.clip(jnp.arange(height)[:, None] + shift[0], 0, height - 1)
    columns = jnp.clip(jnp.arange(width) + shift[1], 0, width - 1)
    sampled = jax.vmap(_bilinear)(depth, rows, columns)
    disparity = constant / jnp.maximum(sampled * MM, 1.0) + sigma * jax.random.normal(noise_key, depth.shape)
    measured = constant / jnp.maximum(jnp.round(disparity), 1.0) / MM
    return jnp.where(sampled > 0, measured, 0.0)


def _bilinear(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Interpolate (H, W) at fractional places; a place next to a pixel without depth has none either."""
    top, left = jnp.floor(rows).astype(jnp.int32), jnp.floor(columns).astype(jnp.int32)
    bottom = jnp.minimum(top + 1, image.shape[0] - 1)
    right = jnp.minimum(left + 1, image.shape[1] - 1)
    down, across = rows - top, columns - left
    corners = (image[top, left], image[top, right], image[bottom, left], image[bottom, right])
    upper = corners[0] * (1 - across) + corners[1] * across
    lower = corners[2] * (1 - across) + corners[3] * across
    there = jnp.all(jnp.stack(corners) > 0, axis=0)
    return jnp.where(there, upper * (1 - down) + lower * down, 0.0)


def lose_pixels(key: jax.Array, depth: jax.Array, probability: float) -> jax.Array:
    """Lose single pixels at random."""
    return jnp.where(jax.random.bernoulli(key, probability, depth.shape), 0.0, depth)


def scratch(key: jax.Array, depth: jax.Array, most: int, far_m: float) -> jax.Array:
    """Draw 1 to ``most`` short lines of wrong depth into each frame; 0 draws none."""
    if most == 0:
        return depth
    count, height, width = depth.shape
    keys = jax.random.split(key, 5)
    wanted = jax.random.randint(keys[0], (count, 1), 1, most + 1)
    size = jnp.array([height, width], jnp.float32)
    middle = jax.random.uniform(keys[1], (count, most, 2)) * size
    angle = jax.random.uniform(keys[2], (count, most), maxval=jnp.pi)
    length = jax.random.uniform(keys[3], (count, most), minval=SCRATCH_LENGTH[0], maxval=SCRATCH_LENGTH[1])
    value = far_m * jax.random.uniform(keys[4], (count, most), minval=SCRATCH_DEPTH[0], maxval=SCRATCH_DEPTH[1])
    drawn = jnp.arange(most) < wanted
    rows, columns = jnp.mgrid[0:height, 0:width].astype(jnp.float32)

    def draw(index: jax.Array, image: jax.Array) -> jax.Array:
        along = jnp.stack([jnp.sin(angle[:, index]), jnp.cos(angle[:, index])])[:, :, None, None]
        dy = rows - middle[:, index, 0, None, None]
        dx = columns - middle[:, index, 1, None, None]
        beside = jnp.abs(dy * along[1] - dx * along[0])
        on = (beside < SCRATCH_HALF_WIDTH) & (jnp.abs(dy * along[0] + dx * along[1]) < length[:, index, None, None] / 2)
        return jnp.where(on & drawn[:, index, None, None], value[:, index, None, None], image)

    result: jax.Array = jax.lax.fori_loop(0, most, draw, depth)
    return result


def blackout(key: jax.Array, depth: jax.Array, probability: float) -> jax.Array:
    """Lose whole frames."""
    return jnp.where(jax.random.bernoulli(key, probability, (depth.shape[0], 1, 1)), 0.0, depth)
