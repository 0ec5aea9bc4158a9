"""Set-points of joints that follow commands at a limited speed, as servos with a velocity profile move theirs."""

from collections import deque

import numpy as np


class SetPoints:
    """The set-points of some actuators over time; ``tick`` is called once per time step."""

    def __init__(self, entries: np.ndarray, actuators: np.ndarray, speed: float) -> None:
        """``entries`` (k,) of a command move ``actuators`` (k,) at most at ``speed`` rad/s."""
        self._entries, self._actuators, self._speed = entries, actuators, speed
        self._goals: deque[tuple[float, np.ndarray]] = deque()
        self._goal = self._now = np.zeros(len(actuators))

    def reset(self, ctrl: np.ndarray) -> None:
        """Stand where the control inputs (nu,) are, and forget all goals."""
        self._goals.clear()
        self._goal = self._now = np.array(ctrl[self._actuators], float)

    def aim(self, values: np.ndarray, effective: float) -> None:
        """Let a command (m,) be the goal from time ``effective`` s on; a later one never overtakes."""
        if self._goals:
            effective = max(effective, self._goals[-1][0])
        self._goals.append((effective, np.array(values[self._entries], float)))

    def tick(self, ctrl: np.ndarray, now: float, dt: float) -> None:
        """Write the set-points after the next ``dt`` s into the control inputs (nu,)."""
        while self._goals and self._goals[0][0] <= now + 1e-9:
            self._goal = self._goals.popleft()[1]
        most = self._speed * dt
        self._now = self._now + np.clip(self._goal - self._now, -most, most)
        ctrl[self._actuators] = self._now
