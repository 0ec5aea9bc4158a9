"""Ctrl-C as a request: long loops look at a flag between steps, checkpoint and leave; a second Ctrl-C is immediate.

A terminal that hangs up (SIGHUP) asks once and for all: shell, kernel and session manager each send it, often together,
so that a second one is no impatience. Where it is ignored (``nohup``), it stays ignored.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a command to stop in good order."""


class Interrupt:
    """A flag that the first SIGINT, SIGTERM or SIGHUP raises."""

    def __init__(self) -> None:
        self.requested = False


class _Handler:
    """Raises a flag, and those of the blocks around; a second request that somebody made on purpose is immediate."""

    def __init__(self, flag: Interrupt, around: object) -> None:
        self.flag = flag
        self._around = around  # the handler that was in force before
        self._people = [0]  # requests that somebody made on purpose, for all signals together

    def beside(self, around: object) -> "_Handler":
        """Return the handler of another signal that counts together with this one."""
        other = _Handler(self.flag, around)
        other._people = self._people
        return other

    def raise_flags(self) -> None:
        """Raise the flag of this block and of all around it: whoever waits there is asked to leave too."""
        self.flag.requested = True
        if isinstance(self._around, _Handler):
            self._around.raise_flags()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Heed a signal."""
        self.raise_flags()
        self._people[0] += number != signal.SIGHUP
        if self._people[0] > 1 and number != signal.SIGHUP:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Install the handlers for the length of the block (main thread only) and yield the flag.

    Blocks may stand in one another: a request raises all their flags.
    """
    flag = Interrupt()
    previous = {number: signal.getsignal(number) for number in REQUESTS}
    if previous[signal.SIGHUP] is signal.SIG_IGN:
        del previous[signal.SIGHUP]
    first = _Handler(flag, None)
    for number, around in previous.items():
        signal.signal(number, first.beside(around))
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def heed_requests() -> None:
    """Let every request end this process as Ctrl-C does, by KeyboardInterrupt in the main thread, unless it is ignored.

    Where ``interruptible`` is in force, its own handlers take precedence.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:  # the others who send it mean the same request
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in REQUESTS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def leave_to_parent() -> None:
    """Ignore the requests in a process that serves another: the other one parks and checkpoints first, then ends it."""
    for number in REQUESTS:
        signal.signal(number, signal.SIG_IGN)
