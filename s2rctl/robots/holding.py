"""Whether a gripper holds something: its fingers rest short of where they were sent."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from s2rctl.robots.protocol import RobotSpecification

SHORT_M = 0.004
"""Fingers that are this far from their target rest against something, once they rest."""
REST_M_S = 0.01
"""The emulated and the simulated fingers close on nothing at 25 mm/s or more until they are within ``SHORT_M``."""


def holds(position: Any, speed: Any, target: Any) -> Any:
    """Return whether fingers hold something: place m, speed m/s and target m of each, numbers or arrays."""
    return (position - target > SHORT_M) & (abs(speed) < REST_M_S)


@dataclass(frozen=True)
class Fingers:
    """Where to find the fingers of one gripper."""

    joint: int  # index of the measured finger
    entry: int  # index of its command

    def hold(self, position: np.ndarray, speed: np.ndarray, command: np.ndarray) -> bool:
        """Return whether they hold something; joints (n,) in m and m/s and the command (m,)."""
        return bool(holds(position[self.joint], speed[self.joint], command[self.entry]))


def fingers_of(specification: RobotSpecification, tool: str) -> Fingers | None:
    """Return the fingers at a tool; None for a robot that has not one gripper on each arm."""
    entries = [(number, entry) for number, entry in enumerate(specification.command) if entry.kind == "gripper"]
    if len(entries) != len(specification.tools):
        return None
    number, entry = entries[specification.tools.index(tool)]
    return None if entry.joint is None else Fingers(entry.joint, number)
