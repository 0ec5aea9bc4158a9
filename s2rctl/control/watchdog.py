"""The watchdog owns the stop: when the loop falls silent, it stops the robot from its own thread."""

import threading
from collections.abc import Callable
from types import TracebackType

from s2rctl.core.clock import WALL, Clock


class Watchdog:
    """Calls ``stop`` once when ``feed`` was not called for ``timeout`` s of the clock between start and close."""

    def __init__(self, stop: Callable[[], None], timeout: float, clock: Clock = WALL) -> None:
        self._stop = stop
        self._timeout = timeout
        self._clock = clock
        self._fed = clock.now()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.fired = False

    def feed(self) -> None:
        """Say that the loop is alive."""
        self._fed = self._clock.now()

    def __enter__(self) -> "Watchdog":
        self.feed()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        look = self._clock.now()
        while not self._closed.wait(self._clock.left(look)):
            now = self._clock.now()
            if now < look:
                continue
            look = now + self._timeout / 4
            if now - self._fed > self._timeout:
                self.fired = True
                self._stop()
                return
