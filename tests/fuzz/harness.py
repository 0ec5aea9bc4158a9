"""What every fuzzing target shares: the property, and the table of targets.

A target is a function from bytes to nothing, a few valid inputs, and a way to change them that knows their structure.
The property: whatever comes, the library succeeds or raises an error for the user with a fixed exit code, the command
line ends with a fixed exit code and two lines, nothing raw reaches the terminal, time and memory are bounded, and no
file outside the sandbox is made, changed or removed.
"""

import contextlib
import importlib
import importlib.util
import io
import json
import re
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from s2rctl.core.errors import S2rError
from s2rctl.core.exits import ExitCode
from tests.fuzz.box import Box, Finding, Hang, bounded
from tests.fuzz.mutate import Chooser, mutate_bytes, pick

CODES = frozenset(ExitCode) - {ExitCode.BUG, ExitCode.INTERRUPTED}
"""Exit codes with which anything may end here."""
_RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters: none may reach the terminal (tabulators and ends of lines are ours)."""
_MADE: dict[str, Any] = {}
Run = Callable[[bytes, "Box"], Any]
Shape = Callable[[Chooser, bytes], bytes]

NAMES = (
    "profile",
    "sets",
    "archive",
    "manifest",
    "refs",
    "store",
    "onnx",
    "recording",
    "policy_server",
    "channel",
    "xarm",
    "dynamixel",
    "dynamixel_driver",
    "calibration",
)
"""Modules of ``tests/fuzz/targets``, each with a ``TARGET``."""


@dataclass(frozen=True)
class Target:
    """One kind of input from outside. ``run`` uses the library, ``command`` (if there is one) the command line."""

    name: str
    run: Run
    seeds: Callable[[], Sequence[bytes]]
    shape: Shape | None = None
    command: Run | None = None
    command_every: int = 8  # the command line is slower: only one in so many inputs goes through it as well
    examples: int = 100  # in the short run
    words: tuple[str, ...] = ()
    pure: bool = False  # it has nothing to do with files, so that comparing folders would only take time
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def known(self) -> dict[str, bytes]:
        """Return inputs that once broke the property, or are of the kind that does (``tests/fuzz/known``)."""
        if importlib.util.find_spec(f"tests.fuzz.known.{self.name}") is None:
            return {}
        return importlib.import_module(f"tests.fuzz.known.{self.name}").cases()

    def inputs(self) -> Sequence[bytes]:
        """Return what the changes begin with: the valid inputs and the known ones."""
        if "inputs" not in self.cache:
            self.cache["inputs"] = [*self.seeds(), *self.known().values()]
        return self.cache["inputs"]

    def mutated(self, choose: Chooser, data: bytes) -> bytes:
        """Return an input with a few changes."""
        for _ in range(1 + choose.below(4)):
            if self.shape is not None and choose.below(3):
                data = self.shape(choose, data)
            else:
                data = mutate_bytes(choose, data, self.inputs(), *([self.words] if self.words else []))
        return data

    def drawn(self, choose: Chooser) -> bytes:
        """Return a valid input (now and then a known one) with a few changes."""
        return self.mutated(choose, pick(choose, self.inputs() if choose.below(4) == 0 else self.seeds()))


def load(name: str) -> Target:
    """Return a target by its name."""
    return importlib.import_module(f"tests.fuzz.targets.{name}").TARGET


def check(target: Target, data: bytes, box: Box, command: bool | None = None) -> str:
    """Run one input and return what kind of outcome it had; raise Finding when the property does not hold.

    ``command`` says whether it goes through the command line as well; None: one in ``command_every`` inputs does.
    """
    outcome = _guarded(target, target.run, data, box)
    if target.command is not None:
        chosen = zlib.crc32(data) % target.command_every == 0 if command is None else command
        if chosen:
            outcome += " | " + _guarded(target, target.command, data, box)
    return outcome


def minimised(target: Target, data: bytes, box: Box, key: str, tries: int = 400, patience_s: float = 10.0) -> bytes:
    """Return a shorter input with the same finding, found by leaving parts out while tries and patience last."""
    end = time.monotonic() + patience_s
    step = max(1, len(data) // 2)
    while step and tries > 0 and time.monotonic() < end:
        at, shorter = 0, False
        while at < len(data) and tries > 0 and time.monotonic() < end:
            tries -= 1
            less = data[:at] + data[at + step :]
            if _key(target, less, box) == key:
                data, shorter = less, True
            else:
                at += step
        step = step if shorter and step == 1 else step // 2
    return data


def _key(target: Target, data: bytes, box: Box) -> str:
    try:
        check(target, data, box, command=True)
    except Finding as finding:
        return finding.key
    return ""


def _guarded(target: Target, run: Run, data: bytes, box: Box) -> str:
    try:
        with bounded() if target.pure else box.entered():
            return f"fine {run(data, box)}"
    except Finding:
        raise
    except S2rError as error:
        place = _place(error)
        if error.exit_code not in CODES:
            raise Finding(f"exit code {error.exit_code}: {error.message}", f"code {error.exit_code} {place}") from error
        if not error.message.strip():
            raise Finding("an error without a word", f"silent {place}") from error
        return f"{type(error).__name__} {_cause(error.message)} {place}"
    except (Exception, Hang) as error:
        raise Finding(f"unexpected {error!r:.300}", f"{type(error).__name__} {_place(error)}") from error


def _place(error: BaseException) -> str:
    """Return where an error comes from: the last lines of this project that were on the way."""
    trace, places = error.__traceback__, []
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/s2rctl/" in code.co_filename or "/fuzz/targets/" in code.co_filename:
            places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(places[-2:])


def call(*words: str) -> tuple[int, str]:
    """Run a command line, judge how it ended and what it wrote, and return its exit code and its standard output."""
    import typer.main

    from s2rctl.cli.main import main

    if "tree" not in _MADE:  # building the tree of commands takes longer than most commands
        from s2rctl.cli.app import app

        _MADE["tree"] = typer.main.get_command(app)
    streams = [
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)
        for errors in ("strict", "backslashreplace")  # as Python opens them on a UTF-8 terminal
    ]
    with mock.patch.object(sys, "argv", ["s2rctl", *words]):
        with (
            mock.patch.object(typer.main, "get_command", lambda app: _MADE["tree"]),
            contextlib.redirect_stdout(streams[0]),
            contextlib.redirect_stderr(streams[1]),
        ):
            code = main(words)
    said, complained = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in streams)  # type: ignore
    shown = f"s2rctl {' '.join(words)!r:.200}: {code}\n{said[-500:]}\n{complained[-1000:]}"
    first = next((line for line in complained.splitlines() if line.startswith("error: ")), "")
    if code not in CODES:
        raise Finding(f"exit code: {shown}", f"code {code} {_cause(first)}")
    if "Traceback" in complained + said:
        raise Finding(f"a traceback: {shown}", f"traceback {words[0]}")
    if code and (not first or "hint: " not in complained):
        raise Finding(f"no error and hint: {shown}", f"form {words[:2]}")
    if raw := _RAW.search(said + complained):
        raise Finding(f"raw {raw[0]!r} reaches the terminal: {shown}", f"raw {words[:2]} {code}")
    if "--json" in words[: words.index("--") if "--" in words else None]:
        try:
            answer = json.loads(said)
        except ValueError as error:
            raise Finding(f"not one JSON object: {shown}", f"json {words[:2]} {code}") from error
        if answer["ok"] != (code == 0):
            raise Finding(f"'ok' does not fit: {shown}", f"ok {words[:2]}")
    return code, said


def _cause(line: str) -> str:
    """Return an error without what differs from input to input."""
    return re.sub(r"\S*/er\b|'[^']*'|\d+|[0-9a-f]{8,}", "#", line)[:60]
