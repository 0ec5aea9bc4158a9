"""Keeps garbage collection and slow log handlers out of the control loop."""

import gc
import logging
import logging.handlers
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_INTERVAL_S = 0.0005
"""How long another thread (camera, recorder) may keep the interpreter when the loop wants it; Python's own is 5 ms."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the garbage collector, logging's output and long turns of other threads out of the block."""
    with _no_collector(), _logging_elsewhere(), _short_turns():
        yield


@contextmanager
def _no_collector() -> Iterator[None]:
    """Collect once, set aside what is left, and do not collect in the block.

    What a caller had set aside before stays so: looking through a heap with a learning framework in it holds every
    thread for half a second, long enough to trip a device's watchdog.
    """
    enabled, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()
        if enabled:
            gc.enable()


@contextmanager
def _logging_elsewhere() -> Iterator[None]:
    """Let a thread of its own write what the block logs."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    if not handlers:
        yield
        return
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(records, *handlers, respect_handler_level=True)
    listener.start()
    root.handlers[:] = [logging.handlers.QueueHandler(records)]  # type: ignore[arg-type]
    try:
        yield
    finally:
        root.handlers[:] = handlers
        listener.stop()


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_INTERVAL_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
