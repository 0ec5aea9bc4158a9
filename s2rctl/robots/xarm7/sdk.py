"""What keeps the vendor's SDK from changing the rest of the process."""

import contextlib
import io
import logging
import socket
import sys
from collections.abc import Iterator
from typing import Any

from s2rctl.core.text import printable


class Sockets:
    """The socket module as the SDK sees it: without its time-out for every socket of the process.

    The SDK sets that time-out whenever one of its threads connects, also long after ``connect`` has returned. On its
    own sockets it sets the same one again, so that nothing is lost.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def setdefaulttimeout(self, timeout: float | None) -> None:
        """Do nothing."""


class ToStderr(logging.Handler):
    """Logs to whatever stderr is when something is logged: one that was bound earlier may be closed by then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            sys.stderr.write(f"xArm SDK: {printable(self.format(record))}\n")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the SDK's prints out of stdout, where results go."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
