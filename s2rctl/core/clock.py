"""Clocks: real time, and virtual time that a simulation advances."""

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds on a monotonic axis."""

    realtime: bool

    def now(self) -> float:
        """Return the time in s."""

    def sleep_until(self, deadline: float) -> None:
        """Return at ``deadline`` s, at once if it is past."""

    def left(self, deadline: float) -> float:
        """Return how long a thread may wait for something else before it looks at this clock again.

        Seconds of the wall, for ``Event.wait``, ``select`` and the like; 0 when ``deadline`` s is reached.
        """


class RealClock:
    """Real time, on the same axis as ``time.monotonic``."""

    realtime = True

    def now(self) -> float:
        """Return the monotonic time in s."""
        return time.monotonic()

    def sleep_until(self, deadline: float) -> None:
        """Sleep until the absolute deadline, so that lateness never adds up."""
        remaining = deadline - time.monotonic()
        if remaining > 0:
            time.sleep(remaining)

    def left(self, deadline: float) -> float:
        """Return the seconds to the deadline, at least 0."""
        return max(0.0, deadline - time.monotonic())


WALL = RealClock()
"""It has no state: one is enough."""


class VirtualClock:
    """Time that passes only when someone waits: simulation and loop advance in lockstep."""

    realtime = False

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the virtual time in s."""
        return self._now

    def sleep_until(self, deadline: float) -> None:
        """Jump to the deadline."""
        self._now = max(self._now, deadline)

    def left(self, deadline: float) -> float:
        """Jump to the deadline: who waits lets time pass."""
        self.sleep_until(deadline)
        return 0.0
