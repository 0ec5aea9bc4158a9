"""Waiting for something that another thread or process does."""

import time
from collections.abc import Callable

HANG_S = 120.0
"""More than ten times what anything takes that is waited for."""


def wait_for(check: Callable[[], bool], seconds: float = HANG_S) -> bool:
    """Return whether ``check`` comes true; ``seconds`` only catch a hang."""
    deadline = time.monotonic() + seconds
    while not check() and time.monotonic() < deadline:
        time.sleep(0.01)
    return check()
