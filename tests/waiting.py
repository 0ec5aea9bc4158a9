"""Waiting for something that another thread or process does."""

import time
from collections.abc import Callable


def wait_for(check: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Return whether ``check`` comes true in time."""
    deadline = time.monotonic() + seconds
    while not check() and time.monotonic() < deadline:
        time.sleep(0.01)
    return check()
