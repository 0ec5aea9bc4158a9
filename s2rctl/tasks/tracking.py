"""A tracker in front of the teacher: where the object is, from all that was measured of it so far.

Measurements err independently at every step, by up to a known bound, and velocities are measured well. So a filter
with a fixed gain that predicts with the velocity (steady-state Kalman filter, e.g. Bar-Shalom et al., Estimation with
Applications to Tracking and Navigation, ch. 6) estimates the position to a few millimetres where a single measurement
is off by 15 to 30. It begins as the plain mean of the first measurements, and never leaves the bound around the newest
one. The grip point is a fixed point of the object, so its measurement is another one of the object's position.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.schema.simulation import Noise
from s2rctl.tasks import rotation
from s2rctl.tasks.arm import ArmView

STEP = 0.05  # s between measurements: one control step
GAINS = {"position": 0.05, "rotation": 0.15}
"""Shares of a late innovation that count: about the ratio of the errors per step of prediction and of measurement."""


class Track(NamedTuple):
    """What is known of one object, in its arm's base frame."""

    position: jax.Array  # (3,) m
    rotation: jax.Array  # (3, 3)
    linvel: jax.Array  # (3,) m/s, measured last
    angvel: jax.Array  # (3,) rad/s
    updates: jax.Array  # () float, measurements so far; with 0 the rest is undefined


def start() -> Track:
    """Return the track of an object that nobody has looked at."""
    zero = jnp.zeros(3)
    return Track(zero, jnp.eye(3), zero, zero, jnp.zeros(()))


def follow(track: Track, seen: ArmView, noise: Noise, offset: np.ndarray) -> Track:
    """Return the track after a look: ``seen`` is the view with measurement errors as large as ``noise`` says.

    ``offset`` (3,) m is where the object's grip point is, in its own frame.
    """
    first = track.updates == 0
    linvel, angvel = (track.linvel + seen.linvel) / 2, (track.angvel + seen.angvel) / 2
    # No single turn of a step is larger than this, whatever a collision makes of the velocity.
    turned = _turn(_shortened(STEP * angvel, 0.5)) @ track.rotation

    def gain(name: str) -> jax.Array:
        return jnp.where(first, 1.0, jnp.maximum(1.0 / (track.updates + 1), GAINS[name]))

    error = rotation.rotation_vector(seen.rotation @ turned.T)
    left = _shortened((1 - gain("rotation")) * error, float(np.radians(noise.object_angle_deg)))
    turned = _turn(-left) @ seen.rotation
    share = _share_of_position(noise)
    place = share * seen.position + (1 - share) * (seen.grip - turned @ offset)
    predicted = track.position + STEP * linvel
    position = predicted + gain("position") * (place - predicted)
    position = seen.position + jnp.clip(position - seen.position, -noise.object_pos, noise.object_pos)
    return Track(position, turned, seen.linvel, seen.angvel, track.updates + 1)


def tracked(track: Track, seen: ArmView, offset: np.ndarray) -> ArmView:
    """Return the view with the object where the track has it; unchanged before the first measurement."""
    known = track.updates > 0
    return seen._replace(
        position=jnp.where(known, track.position, seen.position),
        grip=jnp.where(known, track.position + track.rotation @ offset, seen.grip),
        rotation=jnp.where(known, track.rotation, seen.rotation),
    )


def _share_of_position(noise: Noise) -> float:
    """Return the weight of the position's measurement beside the grip point's: by the inverse of their variances.

    The former's error is uniform, ± a: a^2 / 3. The latter's is triangular, ± b: b^2 / 6.
    """
    position, grip = noise.object_pos**2 / 3 + 1e-12, noise.gripper_offset**2 / 6 + 1e-12
    return grip / (position + grip)


def _shortened(vector: jax.Array, largest: float) -> jax.Array:
    length = jnp.sqrt(jnp.sum(vector**2) + 1e-14)
    return vector * jnp.minimum(1.0, largest / length)


def _turn(vector: jax.Array) -> jax.Array:
    angle = jnp.sqrt(jnp.sum(vector**2) + 1e-14)
    return rotation.matrix_about(vector / angle, angle)
