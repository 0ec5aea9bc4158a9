"""What is identified: per joint armature, damping, dry friction, gain and zero, and one delay; with its prior.

A parameter is handled as its distance from the prior's mean in units of the prior's deviation: all of them are then of
one size, and what the recording cannot tell is 0 by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KINDS = ("armature", "damping", "friction_loss", "gain", "zero")
"""Of each joint, in this order; the delay comes last."""
DELAY = "delay"
UNITS = {
    "armature": "kg m²",
    "damping": "N m s/rad",
    "friction_loss": "N m",
    "gain": "N m/rad",
    "zero": "rad",
    DELAY: "s",
}
_SPREAD = 0.5
"""Deviation of the prior as a part of the nominal value: what a simulator's figures for a hobbyist's arm are worth."""
_LEAST_INERTIA = 0.1
"""The same for an armature that is nominally (nearly) 0, as a part of what the joint moves at home."""
_LEAST_FRICTION_RAD = 0.005
"""Dry friction that is nominally 0 may stop a joint this far from its target: the deviation is that times the gain."""
ZERO_SIGMA_RAD = float(np.deg2rad(2.0))
"""Deviation of a joint's zero: one degree is what zeroing by eye leaves, and some are worse."""
DELAY_S, DELAY_SIGMA_S = 0.04, 0.04
LONGEST_DELAY_S = 0.3
_LARGEST = 4.0
"""Deviations from the prior's mean at which a parameter is stopped."""


@dataclass(frozen=True)
class Space:
    """All parameters: P of them, ``KINDS`` joint by joint, then the delay."""

    names: tuple[str, ...]  # "left/elbow damping", ..., "delay"
    joints: tuple[str, ...]
    mean: np.ndarray  # (P,) in SI units
    sigma: np.ndarray  # (P,) deviation of the prior
    least: np.ndarray  # (P,) smallest value that makes sense

    def __len__(self) -> int:
        return len(self.names)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounds (P,) of the scaled vector."""
        return np.maximum((self.least - self.mean) / self.sigma, -_LARGEST), np.full(len(self), _LARGEST)

    def values(self, scaled: np.ndarray) -> np.ndarray:
        """Return values (P, …) in SI units for scaled ones (P, …)."""
        shape = (-1,) + (1,) * (np.ndim(scaled) - 1)
        return self.mean.reshape(shape) + self.sigma.reshape(shape) * scaled

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return the scaled vector (P,) of values in SI units."""
        return (np.asarray(values, float) - self.mean) / self.sigma

    def kind(self, number: int) -> str:
        """Return what a parameter is."""
        return DELAY if number == len(self) - 1 else KINDS[number % len(KINDS)]

    def rows(self, kind: str) -> np.ndarray:
        """Return the indices of one kind, joint by joint."""
        return np.array([number for number in range(len(self)) if self.kind(number) == kind])

    def part(self, values: np.ndarray, kind: str) -> np.ndarray:
        """Return the values of one kind (j, …), joint by joint."""
        return np.asarray(values)[self.rows(kind)]


def space_of(
    joints: Sequence[str],
    armature: np.ndarray,
    damping: np.ndarray,
    friction_loss: np.ndarray,
    gain: np.ndarray,
    moved: np.ndarray,
) -> Space:
    """Return the parameters of joints whose nominal figures (j,) are given; ``moved`` is their inertia at home."""
    count = len(joints)
    mean = np.zeros((count, len(KINDS)))
    sigma = np.zeros_like(mean)
    mean[:, :4] = np.stack([armature, damping, friction_loss, gain], axis=1)
    sigma[:, :4] = _SPREAD * mean[:, :4]
    sigma[:, 0] = np.maximum(sigma[:, 0], _LEAST_INERTIA * moved)
    sigma[:, 1] = np.maximum(sigma[:, 1], 0.01 * gain)
    sigma[:, 2] = np.maximum(sigma[:, 2], _LEAST_FRICTION_RAD * gain)
    sigma[:, 4] = ZERO_SIGMA_RAD
    least = np.zeros_like(mean)
    least[:, 3], least[:, 4] = 0.1 * gain, -1.0
    return Space(
        (*(f"{joint} {kind}" for joint in joints for kind in KINDS), DELAY),
        tuple(joints),
        np.append(mean, DELAY_S),
        np.append(sigma, DELAY_SIGMA_S),
        np.append(least, 0.0),
    )
