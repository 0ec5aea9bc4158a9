"""Ctrl-C as a request: long loops look at a flag between steps, checkpoint and leave; a second Ctrl-C is immediate."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """A flag that the first SIGINT or SIGTERM raises."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Install the handlers for the length of the block (main thread only) and yield the flag."""
    flag = Interrupt()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        if flag.requested:
            raise KeyboardInterrupt
        flag.requested = True

    for number in previous:
        signal.signal(number, ask)
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
