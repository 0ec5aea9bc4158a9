"""How a controller follows a moving target on straight lines within a speed and an acceleration.

One formula for training (jax.numpy) and for the emulated controller and the twin (numpy): a policy that was trained
with an arm that is where it was told to be overshoots on one that is still on its way.
"""

from typing import Any, NamedTuple


class PlannerState(NamedTuple):
    """Where the commanded point is on its way."""

    position: Any  # (3,) m
    velocity: Any  # (3,) m/s


def follow(xp: Any, going: PlannerState, goal: Any, speed: Any, acceleration: Any, dt: float) -> PlannerState:
    """Return the point after ``dt`` s towards ``goal`` (3,) m; ``xp`` is numpy or jax.numpy.

    The speed is at most ``speed`` m/s and what ``acceleration`` m/s² can still brake: v² = 2 a d; the velocity changes
    by at most ``acceleration * dt``, in any direction.
    """
    way = goal - going.position
    distance = xp.sqrt(xp.sum(way**2)) + 1e-12
    braking = xp.sqrt(2.0 * acceleration * distance)
    wanted = way / distance * xp.minimum(xp.minimum(speed, braking), distance / dt)
    change = wanted - going.velocity
    size = xp.sqrt(xp.sum(change**2)) + 1e-12
    velocity = going.velocity + change * xp.minimum(1.0, acceleration * dt / size)
    return PlannerState(going.position + velocity * dt, velocity)
