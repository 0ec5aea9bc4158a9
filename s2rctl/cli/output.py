"""The one place where the command line writes: data to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

from s2rctl.core.errors import S2rError

SCHEMA = 1


@dataclass(frozen=True)
class Answer:
    """What a command found: data for programs, text for people, and a fault that sets the exit code all the same."""

    data: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    fault: S2rError | None = None
    stdout_taken: bool = False  # the command itself wrote to stdout, so the answer goes to stderr


class Output:
    """Writes answers and errors in the chosen form."""

    def __init__(self, as_json: bool, stdout: IO[str] | None = None, stderr: IO[str] | None = None) -> None:
        self._json = as_json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    def answer(self, command: str, answer: Answer) -> None:
        """Write an answer: one JSON object, or its text."""
        if answer.stdout_taken:
            Output(self._json, self._stderr, self._stderr).answer(command, replace(answer, stdout_taken=False))
            return
        if answer.fault is not None:
            if not self._json and answer.text:
                self._write(answer.text)
            self.error(command, answer.fault, answer.data)
        elif self._json:
            self._object({"schema": SCHEMA, "command": command, "ok": True, "data": answer.data})
        elif answer.text:
            self._write(answer.text)

    def error(self, command: str, error: S2rError, data: Mapping[str, Any] | None = None) -> None:
        """Write ``error: …`` and ``hint: …`` to stderr and, for programs, one object to stdout."""
        print(f"error: {error.message}", file=self._stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=self._stderr)
        self._stderr.flush()
        if self._json:
            fault = {"code": int(error.exit_code), "message": error.message, "hint": error.hint}
            value: dict[str, Any] = {"schema": SCHEMA, "command": command, "ok": False, "error": fault}
            self._object(value | ({"data": data} if data else {}))

    def _object(self, value: Mapping[str, Any]) -> None:
        self._write(json.dumps(value, ensure_ascii=False, default=str))

    def _write(self, text: str) -> None:
        print(text, file=self._stdout, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns under a header; numbers are not special, empty tables give only the header."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def facts(values: Mapping[str, object]) -> str:
    """Return ``name  value`` lines, aligned."""
    width = max((len(name) for name in values), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in values.items())
