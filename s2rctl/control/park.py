"""Parking: a slow straight path from the last command (never from the measurement: a sagging arm would dip)."""

import numpy as np

from s2rctl.core.clock import Clock
from s2rctl.robots.protocol import Robot, Target

SLOWNESS = 0.5
"""Parking moves at this part of the speed that commands may have."""


def parking_path(last: np.ndarray, goal: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return targets (steps, m) from ``last`` to ``goal``, no step above ``rate * SLOWNESS`` in any entry."""
    steps = max(1, int(np.ceil(np.max(np.abs(goal - last) / (np.maximum(rate, 1e-9) * SLOWNESS)))))
    return last + np.linspace(0.0, 1.0, steps + 1)[1:, None] * (goal - last)


def park(robot: Robot, clock: Clock, last: np.ndarray, rate: np.ndarray, period: float) -> np.ndarray:
    """Move the robot along the path, one target per period, hold it there, and return the last target."""
    goal = robot.parking()
    deadline = clock.now()
    for values in parking_path(last, goal.values, rate):
        robot.send(Target(values))
        deadline += period
        clock.sleep_until(deadline)
        last = values
    robot.hold()
    return last
