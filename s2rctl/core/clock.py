"""Clocks: the wall's, and one that a simulation owns."""

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds on a monotonic axis."""

    realtime: bool

    def now(self) -> float:
        """Return the time in s."""

    def sleep_until(self, deadline: float) -> None:
        """Return at ``deadline`` s, at once if it is past."""


class RealClock:
    """The wall's clock; the same axis as ``time.monotonic``."""

    realtime = True

    def now(self) -> float:
        """Return the monotonic time in s."""
        return time.monotonic()

    def sleep_until(self, deadline: float) -> None:
        """Sleep until the absolute deadline, so that lateness never adds up."""
        remaining = deadline - time.monotonic()
        if remaining > 0:
            time.sleep(remaining)


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
