"""The gripper's crank: one motor moves both fingers on a rail.

A horn of radius r turns with the motor and pushes a rod of length L to a carriage on the rail. With the motor at angle
θ (0: horn across the rail) the carriage stands at d(θ) = r sin θ + sqrt(L² - r² cos² θ) from the motor's axis. Finger
travel in metres, as the scene's joint has it, is d brought to the travel at two known angles: closed and open.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

CLOSED_M, OPEN_M = 0.002, 0.037
"""Finger travel commanded for closed and open: the range of the scene's gripper actuator."""


@dataclass(frozen=True)
class Gripper:
    """One kind of gripper: crank and the two angles between which it works."""

    horn_m: float  # radius of the horn
    rod_m: float  # length of the rod
    closed_rad: float  # motor angle at which the fingers are closed
    open_rad: float
    closed_m: float = CLOSED_M
    open_m: float = OPEN_M

    def travel(self, angle: float | np.ndarray) -> float | np.ndarray:
        """Return the finger travel in m for a motor angle in rad; defined for every angle."""
        return self.closed_m + (self._carriage(angle) - self._near) * self._scale

    def rate(self, angle: float, speed: float) -> float:
        """Return the finger speed in m/s for a motor angle in rad and a motor speed in rad/s."""
        sine, cosine = math.sin(angle), math.cos(angle)
        rod = math.sqrt(self.rod_m**2 - (self.horn_m * cosine) ** 2)
        return speed * self._scale * (self.horn_m * cosine + self.horn_m**2 * cosine * sine / rod)

    def angle(self, travel: float) -> float:
        """Return the motor angle in rad, within ±π/2, for a finger travel in m; beyond the crank's reach its end."""
        carriage = self._near + (travel - self.closed_m) / self._scale
        r, rod = self.horn_m, self.rod_m
        sine = (r**2 + carriage**2 - rod**2) / (2.0 * r * carriage)
        return math.asin(min(1.0, max(-1.0, sine)))

    def opening(self, travel: float) -> float:
        """Return how far the gripper is open: 0 closed, 1 open."""
        return (travel - self.closed_m) / (self.open_m - self.closed_m)

    def between(self, closed_rad: float, open_rad: float) -> "Gripper":
        """Return the same crank with the end angles that were measured on one arm."""
        return replace(self, closed_rad=closed_rad, open_rad=open_rad)

    def _carriage(self, angle: float | np.ndarray) -> float | np.ndarray:
        across = self.horn_m * np.cos(angle)
        return self.horn_m * np.sin(angle) + np.sqrt(self.rod_m**2 - across * across)

    @cached_property
    def _near(self) -> float:
        return float(self._carriage(self.closed_rad))

    @cached_property
    def _scale(self) -> float:
        return (self.open_m - self.closed_m) / (float(self._carriage(self.open_rad)) - self._near)


def joints(
    gripper: Gripper, angles: Sequence[float] | np.ndarray, speeds: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and velocities (8,) of an arm's joints from its motors' angles and speeds (7,) rad, rad/s.

    The joints are six hinges, then both fingers (m), which move alike; the last motor is the gripper's.
    """
    angle, speed = float(angles[-1]), float(speeds[-1])
    finger, rate = float(gripper.travel(angle)), gripper.rate(angle, speed)
    return np.array([*angles[:-1], finger, finger]), np.array([*speeds[:-1], rate, rate])


def follow(leader: Gripper, follower: Gripper, angle: float) -> float:
    """Return the follower's motor angle with the same opening as the leader's at ``angle`` (rad)."""
    opening = leader.opening(float(leader.travel(angle)))
    return follower.angle(follower.closed_m + opening * (follower.open_m - follower.closed_m))


GRIPPERS = {
    # tonyzhaozh/aloha, also in openpi's examples/aloha_real: crank 22/36 mm
    "aloha1": Gripper(0.022, 0.036, -0.6213, 1.4910),
    # Interbotix's aloha_vx300s (crank 27.5/35 mm); end angles of google-deepmind/aloha_sim, which uses the same scene
    "aloha2": Gripper(0.0275, 0.035, -0.06135, 1.5155),
}
"""Grippers of the follower arms by preset. The two generations differ: the wrong preset grips at the wrong width."""
LEADER_GRIPPERS = {
    "aloha1": Gripper(0.022, 0.036, -0.6842, 0.3083),
    "aloha2": Gripper(0.0275, 0.035, -0.04, 0.78),
}
"""Grippers of the leader arms that people hold when they demonstrate: same sources."""
