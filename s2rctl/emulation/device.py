"""What every emulated device offers beside its wire: a world that can be set, watched and disturbed."""

import contextlib
from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any, Protocol, Self

from s2rctl.emulation.plant import Plant, PlantStart

LONGEST_LAG_S = 0.1
"""An emulator that was kept from running longer than this forgets the lost time."""


class Device(contextlib.AbstractContextManager[Any], Protocol):
    """A running emulator; ``on_tick`` is called under ``lock`` after every physics step."""

    on_tick: Callable[[], None]

    @property
    def lock(self) -> RLock:
        """What guards the plant."""

    @property
    def plant(self) -> Plant:
        """The body and its world."""

    @property
    def faults(self) -> Mapping[str, Callable[[], None]]:
        """What can be done to it, by name."""

    def __enter__(self) -> Self:
        """Start."""

    def now(self) -> float:
        """Return the plant's time in s: the monotonic clock less what was forgotten."""

    def lost(self) -> float:
        """Return the forgotten seconds."""

    def reset(self, start: PlantStart) -> None:
        """Put the body where an episode begins, now, holding its targets; errors and faults are gone."""

    def set_latency(self, latency: Callable[[], float]) -> None:
        """Draw the time between a command on the wire and its effect, s, from a function."""

    def settings(self) -> list[str]:
        """Return the profile values with which a driver finds it: ``robot.address=127.0.0.1``."""

    def figures(self) -> dict[str, Any]:
        """Return what happened."""
