"""Progress for people: live bars on a terminal, plain lines elsewhere."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from s2rctl.cli.output import Sink
from s2rctl.core.progress import (
    EventReporter,
    LineReporter,
    MultiReporter,
    NullReporter,
    Pace,
    Reporter,
    describe,
    duration,
)
from s2rctl.core.text import one_line, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def make_reporter(
    quiet: bool, events: Path | None, lost: Callable[[OSError], None] | None = None, stream: IO[str] | None = None
) -> Reporter:
    """Return the reporter for this terminal (or pipe), which also writes ``events`` if a file is given.

    ``lost`` is told when the file takes no more; ``stream`` is stderr where it is not given.
    """
    sink = Sink(stream or sys.stderr)
    reporter: Reporter
    if quiet:
        reporter = NullReporter()
    elif sink.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb":
        reporter = RichReporter()
    else:
        reporter = LineReporter(cast("IO[str]", sink))
    if events is None:
        return reporter

    def gone(error: OSError) -> None:
        reporter.note(f"{events} can no longer be written, so events are no longer logged: {error.strerror}")
        if lost is not None:
            lost(error)

    return MultiReporter([reporter, EventReporter(events, gone)])


class RichReporter:
    """One live line per stage, on stderr."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage, self._total, self._unit = "", 0.0, ""
        self._pace = Pace()

    def start(self, stage: str, total: float, unit: str) -> None:
        """Begin a line for the stage."""
        from rich.progress import BarColumn, SpinnerColumn, TextColumn

        self.close()
        self._stage, self._total, self._unit, self._pace = stage, total, unit, Pace()
        bar = BarColumn(bar_width=24) if total else SpinnerColumn()
        columns = (TextColumn("{task.description}", markup=False), bar, TextColumn("{task.fields[text]}", markup=False))
        self._progress = _progress(*columns)
        self._progress.start()
        self._task = self._progress.add_task(one_line(stage), total=total or None, text="")

    def update(self, done: float, metrics: Mapping[str, float]) -> None:
        """Move the bar and renew the figures."""
        if self._progress is None or self._task is None:
            return
        self._pace.note(done, self._progress.tasks[0].elapsed or 0.0)
        text = describe(done, self._total, self._unit, self._pace.rate, metrics)
        self._progress.update(self._task, completed=done, text=one_line(text))

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        if self._progress is None:
            _say(text)
        else:
            self._progress.console.print(printable(text), markup=False, highlight=False)

    def finish(self, summary: str) -> None:
        """Replace the bar by one line."""
        elapsed = (self._progress.tasks[0].elapsed or 0.0) if self._progress else 0.0
        self.close()
        _say(f"{self._stage}: {summary} ({duration(elapsed)})")

    def close(self) -> None:
        """Take the live line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _say(text: str) -> None:
    Sink(sys.stderr).write(text + "\n")


def _progress(*columns: object) -> "Progress":
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=cast("IO[str]", Sink(sys.stderr, raw=True)))
    return Progress(*columns, console=console, transient=True, refresh_per_second=4)  # type: ignore[arg-type]
