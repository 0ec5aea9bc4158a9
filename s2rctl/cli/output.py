"""The one place where the command line writes: data to stdout, everything else to stderr.

What is written last must not fail: a full disk, a reader that has gone, a terminal that hung up and letters that the
terminal does not know are no reason for a traceback, and none of them takes the exit code of an error away.
"""

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

from s2rctl.core.errors import MissingEnvironmentError, ProfileError, S2rError
from s2rctl.core.exits import ExitCode
from s2rctl.core.steady import to_nowhere
from s2rctl.core.text import one_line, printable

SCHEMA = 1


@dataclass(frozen=True)
class Answer:
    """What a command found: data for programs, text for people, and a fault that sets the exit code all the same."""

    data: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    fault: S2rError | None = None
    stdout_taken: bool = False  # the command itself wrote to stdout, so the answer goes to stderr


class Sink(io.TextIOBase):
    """A stream that escapes what could steer the terminal and never raises; ``failure`` is what went wrong first.

    ``raw`` lets control characters through, for a library that draws with them and escapes what it draws.
    """

    def __init__(self, stream: IO[str] | None, raw: bool = False) -> None:
        self._stream = stream.stream if isinstance(stream, Sink) else stream
        self._raw = raw
        self.failure: OSError | None = None

    @property
    def stream(self) -> IO[str] | None:
        """What is written to."""
        return self._stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What happens to letters that the encoding lacks."""
        return "backslashreplace"

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether a terminal is written to."""
        with contextlib.suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """Return the stream's descriptor; OSError if it has none."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write at once, or note the failure."""
        if self._stream is not None and self.failure is None:
            shown = text if self._raw else printable(text)
            try:
                self._stream.write(shown.encode(self.encoding, "backslashreplace").decode(self.encoding))
                self._stream.flush()
            except OSError as error:
                self._lost(error)
            except ValueError:  # it was closed
                self._lost(OSError(errno.EBADF, os.strerror(errno.EBADF)))
        return len(text)

    def flush(self) -> None:
        """Do nothing: everything has been flushed."""

    def settle(self) -> None:
        """Flush what others left in the stream, so that nothing fails when the interpreter ends."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lost(error)
            except ValueError:
                pass

    def _lost(self, error: OSError) -> None:
        """Let what is in the buffer, and all that follows, go nowhere."""
        self.failure = self.failure or error
        if self._stream is not None:
            to_nowhere(self._stream)


def unwritten(failure: OSError | None) -> S2rError | None:
    """Return what to say of a result that could not be written; a reader that has gone needs no words."""
    if failure is None:
        return None
    if isinstance(failure, BrokenPipeError):
        return S2rError("")
    return MissingEnvironmentError(
        f"cannot write: {failure.strerror}", "free space or write to another place, then run the command again"
    )


class Output:
    """Writes answers and errors in the chosen form."""

    def __init__(
        self, as_json: bool, stdout: IO[str] | Sink | None = None, stderr: IO[str] | Sink | None = None
    ) -> None:
        self._json = as_json
        self._stdout = stdout if isinstance(stdout, Sink) else Sink(stdout or sys.stdout)
        self._stderr = stderr if isinstance(stderr, Sink) else Sink(stderr or sys.stderr)

    def answer(self, command: str, answer: Answer) -> int:
        """Write an answer, one JSON object or its text, and return the exit code."""
        if answer.stdout_taken:
            other = Output(self._json, self._stderr, self._stderr)
            return other.answer(command, replace(answer, stdout_taken=False))
        if answer.fault is not None:
            if not self._json and answer.text:
                self._write(answer.text)
            return self.error(command, answer.fault, answer.data)
        if self._json:
            self._object({"schema": SCHEMA, "command": command, "ok": True, "data": answer.data})
        elif answer.text:
            self._write(answer.text)
        fault = unwritten(self._stdout.failure)
        if fault is None:
            return int(ExitCode.OK)
        self._say(fault)
        return int(fault.exit_code)

    def error(self, command: str, error: S2rError, data: Mapping[str, Any] | None = None) -> int:
        """Write the error and its hint to stderr and, for programs, one object to stdout; return the exit code."""
        self._say(error)
        if self._json:
            fault = {"code": int(error.exit_code), "message": error.message, "hint": error.hint}
            value: dict[str, Any] = {"schema": SCHEMA, "command": command, "ok": False, "error": fault}
            self._object(value | ({"data": data} if data else {}))
        return int(error.exit_code)

    def _say(self, error: S2rError) -> None:
        if error.message:
            # Only profiles have a line for each of their faults, and what these quote cannot pretend to be a hint.
            many = isinstance(error, ProfileError)
            first, *more = error.message.split("\n") if many else [one_line(error.message)]
            said = [f"error: {first}", *(_continued(line) for line in more)]
            said += [f"hint: {one_line(error.hint)}"] if error.hint else []
            self._stderr.write("".join(f"{line}\n" for line in said))

    def _object(self, value: Mapping[str, Any]) -> None:
        # ASCII whatever the locale is; JSON escapes no DEL.
        self._write(json.dumps(value, default=str).replace("\x7f", "\\u007f"))

    def _write(self, text: str) -> None:
        self._stdout.write(f"{text}\n")


def _continued(line: str) -> str:
    return f"  {line}" if line.lstrip().lower().startswith(("error", "hint")) else line


def say(text: str) -> None:
    """Write to stderr without ending the line, for questions."""
    Sink(sys.stderr).write(text)


def lines(texts: Iterable[str]) -> str:
    """Return texts one below the other, each on one line whatever is in it."""
    return "\n".join(one_line(text) for text in texts)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns under a header; numbers are not special, empty tables give only the header."""
    cells = [[one_line(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in shown)


def facts(values: Mapping[str, object]) -> str:
    """Return ``name  value`` lines, aligned."""
    shown = {one_line(name): one_line(str(value)) for name, value in values.items()}
    width = max((len(name) for name in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown.items())
