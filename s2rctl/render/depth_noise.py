"""Faults of a stereo depth camera, so that a policy meets them in training: each step is one function.

The order and amplitudes are those of the published Aloha sim-to-real set-up; the disparity model is that of Handa et
al., "A benchmark for RGB-D visual odometry, 3D reconstruction and SLAM", ICRA 2014, whose constant is for millimetres.
Depth is (N, H, W) in metres, 0 where there is nothing; every step keeps that meaning.
"""

import math

import jax
import jax.numpy as jnp

from s2rctl.render.apart import apart
from s2rctl.render.pixel_noise import GAUSSIAN_REACH, gaussian, pixel_bits, uniform
from s2rctl.schema.simulation import DepthNoise

MM = 1000.0  # mm per m
SCRATCH_LENGTH = (2.0, 10.0)  # px
SCRATCH_DEPTH = (0.2, 0.85)  # of the camera's range
SCRATCH_HALF_WIDTH = 0.6  # px: a line about one pixel wide


Strength = float | jax.Array
"""How strong a fault is, in [0, 1]: one number, or one for each frame (N,)."""


def depth_faults(
    key: jax.Array, depth: jax.Array, noise: DepthNoise, far_m: float, strength: jax.Array | None = None
) -> jax.Array:
    """Return depth (N, H, W) m as a faulty camera with the range ``far_m`` would report it.

    ``strength`` (N, 5) in [0, 1] weakens each frame's faults, in the order of their application; None: as they are.
    """
    keys = jax.random.split(key, 5)
    edges, steps, loss, lines, frames = [1.0] * 5 if strength is None else [strength[:, part] for part in range(5)]
    depth = apart(lose_edges(keys[0], depth, noise.edge_gradient, noise.edge_gain, edges))
    constant = noise.disparity_constant
    depth = disparity_noise(keys[1], depth, noise.disparity_shift_px, noise.disparity_sigma, constant, steps)
    depth = lose_pixels(keys[2], depth, noise.loss * _per_pixel(loss))
    depth = scratch(keys[3], depth, noise.scratches, far_m, lines)
    return blackout(keys[4], depth, noise.blackout * _per_pixel(frames))


def _per_pixel(strength: Strength) -> Strength:
    """Return a strength per frame (N,) as (N, 1, 1)."""
    return strength[:, None, None] if isinstance(strength, jax.Array) else strength


def lose_edges(key: jax.Array, depth: jax.Array, gradient: float, gain: float, strength: Strength = 1.0) -> jax.Array:
    """Lose pixels where depth changes by more than ``gradient`` (m/px), with probability atan(gain * change).

    ``strength`` multiplies that probability, 1 at most. The mask of lost pixels of each frame is shifted by up to one
    pixel, as the shadow of an edge is.
    """
    where_key, shift_key = jax.random.split(key)
    rows = jnp.diff(depth, axis=1, append=depth[:, -1:])
    columns = jnp.diff(depth, axis=2, append=depth[:, :, -1:])
    change = jnp.sqrt(rows**2 + columns**2)
    # A draw below atan(gain * change) is one whose tangent is below gain * change; the arctangent itself is slow here.
    draw = uniform(pixel_bits(where_key, depth.shape, len(depth)))
    if isinstance(strength, jax.Array):  # a draw from [0, strength) is as good as one from [0, 1); others lose nothing
        draw = draw / jnp.maximum(_per_pixel(strength), 1e-6)
    lost = (change > gradient) & (draw < 1.0) & (_tangent(jnp.minimum(draw, 1.0)) < gain * change)
    shift = jax.random.randint(shift_key, (depth.shape[0], 2), -1, 2)
    for axis in (1, 2):
        by = shift[:, axis - 1, None, None]
        # Selecting among three rolls by constants is several times faster than one roll by a number per frame.
        lost = jnp.where(by > 0, jnp.roll(lost, 1, axis), jnp.where(by < 0, jnp.roll(lost, -1, axis), lost))
    return jnp.where(lost, 0.0, depth)


def _tangent(angle: jax.Array) -> jax.Array:
    """Return the tangent of angles in [0, 1], by its continued fraction to the fourth order (error 1e-6)."""
    square = angle * angle
    return angle * (945.0 + square * (square - 105.0)) / (945.0 + square * (15.0 * square - 420.0))


def disparity_noise(
    key: jax.Array, depth: jax.Array, shift_px: float, sigma: float, constant: float, strength: Strength = 1.0
) -> jax.Array:
    """Sample each pixel at a slightly shifted place, then add noise to its disparity and round it to whole steps.

    ``strength`` scales shift, noise and steps alike.
    """
    keys = jax.random.split(key, 3)
    part = jnp.maximum(_per_pixel(strength), 1e-3)
    noise = [part * gaussian(pixel_bits(k, depth.shape, len(depth))) for k in keys]
    sampled = resample(depth, shift_px * noise[0], shift_px * noise[1], math.ceil(GAUSSIAN_REACH * shift_px))
    disparity = constant / jnp.maximum(sampled * MM, 1.0) + sigma * noise[2]
    measured = constant / jnp.maximum(part * jnp.round(disparity / part), 1.0) / MM
    return jnp.where(sampled > 0, measured, 0.0)


def resample(depth: jax.Array, down: jax.Array, across: jax.Array, reach: int) -> jax.Array:
    """Interpolate (N, H, W) bilinearly at places ``down`` and ``across`` (N, H, W) px away, at most ``reach``.

    Beyond the edge lies what is at the edge. A place next to a pixel without depth has none either. Sums over all
    neighbours, most with weight 0: on a CPU several times faster than gathering the four that count.
    """
    height, width = depth.shape[1:]
    wide = jnp.pad(depth, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    total, holes = jnp.zeros_like(depth), jnp.zeros_like(depth)
    for i in range(-reach, reach + 1):
        row_weight = jnp.maximum(1.0 - jnp.abs(down - i), 0.0)
        for j in range(-reach, reach + 1):
            weight = row_weight * jnp.maximum(1.0 - jnp.abs(across - j), 0.0)
            there = wide[:, reach + i : reach + i + height, reach + j : reach + j + width]
            total += weight * there
            holes += jnp.where(there > 0, 0.0, weight)
    return jnp.where(holes > 0, 0.0, total)


def lose_pixels(key: jax.Array, depth: jax.Array, probability: Strength) -> jax.Array:
    """Lose single pixels at random."""
    return jnp.where(uniform(pixel_bits(key, depth.shape, len(depth))) < probability, 0.0, depth)


def scratch(key: jax.Array, depth: jax.Array, most: int, far_m: float, strength: Strength = 1.0) -> jax.Array:
    """Draw 1 to ``most`` short lines of wrong depth into each frame, ``strength`` times as many; 0 draws none."""
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
    if isinstance(strength, jax.Array):
        wanted = jnp.floor(wanted * strength[:, None])
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


def blackout(key: jax.Array, depth: jax.Array, probability: Strength) -> jax.Array:
    """Lose whole frames."""
    return jnp.where(jax.random.bernoulli(key, probability, (depth.shape[0], 1, 1)), 0.0, depth)
