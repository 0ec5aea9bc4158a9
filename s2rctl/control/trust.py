"""Consistency check of an image-based policy: its estimate of the tool's position against forward kinematics.

The published xArm7 system failed where its extractor no longer knew where the gripper was (out of the picture, or the
arm pointing at the lens) and moved on all the same. The joints always know; so the two are compared at every step, and
the motion slows down with the gap and ends at a limit.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrustLimits:
    """When to slow down and when to stop. Trained extractors are off by 1 to 3 cm in the median."""

    slow_m: float = 0.06  # gap from which on the motion is slowed
    stop_m: float = 0.15  # gap at which nothing moves
    memory: float = 0.7  # share of the last gap in the smoothed one: one bad frame slows, several in a row stop
    patience: int = 20  # steps without motion after which the loop should end

    def __post_init__(self) -> None:
        """Raise ValueError for limits that cannot be."""
        if not 0 < self.slow_m < self.stop_m or not 0 <= self.memory < 1 or self.patience < 1:
            raise ValueError("trust needs 0 < slow_m < stop_m, memory in [0, 1) and a patience of at least 1")


@dataclass(frozen=True)
class Trust:
    """What is carried from step to step, and what follows for this one."""

    gap_m: float = 0.0  # smoothed distance of the seen from the measured tool
    factor: float = 1.0  # in [0, 1]: multiply the displacement with it
    stopped: int = 0  # steps in a row with factor 0

    def lost(self, limits: TrustLimits) -> bool:
        """Return whether the policy has not known for so long where the tool is that the loop should end."""
        return self.stopped >= limits.patience


def follow(trust: Trust, seen: np.ndarray, measured: np.ndarray, limits: TrustLimits) -> Trust:
    """Return the trust after one step, from the policy's ``position`` (3,) and the kinematics' tool (3,), both m.

    A position that is not finite counts as one at the stop limit; the first step has no memory.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        gap = float(np.linalg.norm(np.asarray(seen, float) - np.asarray(measured, float)))
    if not np.isfinite(gap):
        gap = 2.0 * limits.stop_m
    # A lens that is covered for an hour must not take an hour to be believed again.
    gap = min(gap, 2.0 * limits.stop_m)
    smooth = gap if trust == Trust() else limits.memory * trust.gap_m + (1.0 - limits.memory) * gap
    factor = float(np.clip((limits.stop_m - smooth) / (limits.stop_m - limits.slow_m), 0.0, 1.0))
    return Trust(smooth, factor, trust.stopped + 1 if factor == 0.0 else 0)
