"""The watchdog owns the stop: when the loop falls silent, it stops the robot from its own thread."""

import threading
import time
from collections.abc import Callable
from types import TracebackType


class Watchdog:
    """Calls ``stop`` once when ``feed`` was not called for ``timeout`` s of wall time between start and close."""

    def __init__(self, stop: Callable[[], None], timeout: float) -> None:
        self._stop = stop
        self._timeout = timeout
        self._fed = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.fired = False

    def feed(self) -> None:
        """Say that the loop is alive."""
        self._fed = time.monotonic()

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
        while not self._closed.wait(self._timeout / 4):
            if time.monotonic() - self._fed > self._timeout:
                self.fired = True
                self._stop()
                return
