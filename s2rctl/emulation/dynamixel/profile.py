"""How a motor's set-point travels to its goal: at most as fast, and as fast in changing that, as two registers say.

Source: ROBOTIS e-Manual, "Profile Acceleration" and "Profile Velocity": 0 means without that limit; without a limit of
velocity the set-point is at its goal at once.
"""

import math


class Profile:
    """The set-point of one motor, rad."""

    def __init__(self) -> None:
        self.position, self.speed = 0.0, 0.0

    def stand(self, position: float) -> None:
        """Be at a place, at rest."""
        self.position, self.speed = position, 0.0

    def move(self, goal: float, fastest: float, acceleration: float, dt: float) -> None:
        """Travel towards ``goal`` rad for ``dt`` s, at most at ``fastest`` rad/s, gaining ``acceleration`` rad/s²."""
        if fastest == 0.0:
            self.stand(goal)
            return
        way = goal - self.position
        # What can still be braked for, in steps of dt: from there each step takes its own way off.
        braked = math.sqrt(2.0 * acceleration * abs(way)) if acceleration else math.inf
        wanted = math.copysign(min(fastest, braked, abs(way) / dt), way)
        if acceleration:
            change = acceleration * dt
            wanted = self.speed + max(-change, min(change, wanted - self.speed))
        self.speed = wanted
        self.position += wanted * dt
