"""Output to a terminal that may hang up: what nobody can read any more is dropped, and the work goes on.

After an ssh session has dropped, every write to its terminal fails. An arm is still to be parked then, and a checkpoint
to be written: a progress line must not come in between.
"""

import contextlib
import io
import os
from typing import IO

_GONE = (OSError, ValueError)
"""What a stream raises whose other end is gone, or that is closed."""


def to_nowhere(stream: IO[str]) -> None:
    """Let what is in a stream's buffer, and all that follows, go nowhere.

    Otherwise the interpreter tries to write it when it ends, fails, and ends with 120.
    """
    with contextlib.suppress(*_GONE):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class SteadyStream(io.TextIOBase):
    """A text stream that never raises."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write as far as that is possible; the text counts as written."""
        try:
            if self._stream is not None:
                self._stream.write(text)
        except _GONE:
            self._drop()
        return len(text)

    def flush(self) -> None:
        """Flush as far as that is possible."""
        try:
            if self._stream is not None:
                self._stream.flush()
        except _GONE:
            self._drop()

    def fileno(self) -> int:
        """Return the descriptor; OSError when there is none."""
        if self._stream is None:
            raise OSError("the stream is gone")
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return whether it is a terminal that is still there."""
        try:
            return self._stream is not None and self._stream.isatty()
        except _GONE:
            return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        """Return that it takes text."""
        return True

    def _drop(self) -> None:
        if self._stream is not None:
            to_nowhere(self._stream)
        self._stream = None
