"""A clock that a test drives: everything else on it stands still until the test lets time pass."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.waiting import HANG_S, wait_for

TICK_S = 0.005
LOOK_S = 0.0005
"""How long a thread that waits for something else, too, stays away from the clock."""


class DrivenClock:
    """Time passes when the thread that made the clock waits on it, tick by tick, in lockstep with all others.

    After each tick the driver waits until every other thread that uses the clock has said what it waits for next. So a
    busy machine makes a test slower and changes nothing of what it sees.
    """

    realtime = True

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._driver = threading.get_ident()
        self._moved = threading.Condition()
        self._waits: dict[threading.Thread, float] = {}

    def now(self) -> float:
        return self._now

    def sleep_until(self, deadline: float) -> None:
        if threading.get_ident() == self._driver:
            while self._now < deadline:
                self._tick(deadline)
            return
        with self._moved:
            while self._left(deadline):
                self._moved.wait()

    def left(self, deadline: float) -> float:
        if threading.get_ident() == self._driver and self._now < deadline:
            self._tick(deadline)
        with self._moved:
            return self._left(deadline)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.sleep_until(self._now + seconds)

    def until(self, check: Callable[[], bool], seconds: float) -> float:
        """Let time pass until ``check`` comes true; return how long that took, and fail where it never does."""
        begun = self._now
        while not check():
            assert self._now < begun + seconds, f"not within {seconds} s"
            self._tick()
        return self._now - begun

    def has_users(self, count: int) -> None:
        """Return when so many threads use this clock; one that has just been started would miss what passes."""
        assert wait_for(lambda: sum(thread.is_alive() for thread in list(self._waits)) >= count)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Let time pass by itself in the block, for what other processes wait for; who made the clock must not wait."""
        ended, driver = threading.Event(), self._driver

        def drive() -> None:
            self._driver = threading.get_ident()
            while not ended.wait(TICK_S):
                self._tick()

        thread = threading.Thread(target=drive)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._driver = driver

    def _left(self, deadline: float) -> float:
        """Note what this thread waits for; return the wall's time until it should look again."""
        if threading.get_ident() != self._driver:
            self._waits[threading.current_thread()] = deadline
            self._moved.notify_all()
        return LOOK_S if self._now < deadline else 0.0

    def _tick(self, end: float = math.inf) -> None:
        """Let one tick pass, or what is left of it until ``end``."""
        begun = time.monotonic()
        with self._moved:
            later = self._now + TICK_S
            self._now = later if later < end - 1e-9 else end
            self._moved.notify_all()
            while busy := [thread for thread in self._waits if self._is_busy(thread)]:
                self._moved.wait(0.01)
                assert time.monotonic() - begun < HANG_S, f"hang: {busy}"

    def _is_busy(self, thread: threading.Thread) -> bool:
        if not thread.is_alive():
            return False
        return self._waits[thread] <= self._now
