"""The one progress protocol that every long-running stage speaks."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from s2rctl.core.steady import SteadyStream
from s2rctl.core.text import one_line


class Reporter(Protocol):
    """Receives progress. Stages know only this; terminals, plain lines and event files implement it."""

    def start(self, stage: str, total: float, unit: str) -> None:
        """Begin a stage of ``total`` units (0: unknown)."""

    def update(self, done: float, metrics: Mapping[str, float]) -> None:
        """Say how many units are done, and the figures that matter now."""

    def note(self, text: str) -> None:
        """Say one line of plain text."""

    def finish(self, summary: str) -> None:
        """End the stage with one line."""


class NullReporter:
    """Reports nothing."""

    def start(self, stage: str, total: float, unit: str) -> None:
        """Ignore."""

    def update(self, done: float, metrics: Mapping[str, float]) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def finish(self, summary: str) -> None:
        """Ignore."""


def duration(seconds: float) -> str:
    """Return seconds as ``42s``, ``6m05s`` or ``2h03m``."""
    total = max(0, round(seconds))
    if total < 60:
        return f"{total}s"
    return f"{total // 60}m{total % 60:02d}s" if total < 3600 else f"{total // 3600}h{total % 3600 // 60:02d}m"


def quantity(value: float) -> str:
    """Return a count as ``950``, ``1.2k`` or ``20M``; small numbers keep three significant digits."""
    for limit, divisor, suffix in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / divisor:.3g}{suffix}"
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"


class LineReporter:
    """One plain line per interval, for logs and pipes."""

    def __init__(
        self, stream: IO[str] | None = None, interval: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = SteadyStream(stream or sys.stderr)
        self._interval = interval
        self._clock = clock
        self._stage, self._total, self._unit = "", 0.0, ""
        self._begun = self._last = clock()
        self._pace = Pace()

    def start(self, stage: str, total: float, unit: str) -> None:
        """Print that the stage begins."""
        self._stage, self._total, self._unit = stage, total, unit
        self._begun, self._last, self._pace = self._clock(), -1e9, Pace()
        self._print("started")

    def update(self, done: float, metrics: Mapping[str, float]) -> None:
        """Print a line if the last one is older than the interval."""
        now = self._clock()
        self._pace.note(done, now)
        if now - self._last < self._interval:
            return
        self._last = now
        self._print(describe(done, self._total, self._unit, self._pace.rate, metrics))

    def note(self, text: str) -> None:
        """Print the text."""
        self._print(text)

    def finish(self, summary: str) -> None:
        """Print the summary with the time the stage took."""
        self._print(f"{summary} ({duration(self._clock() - self._begun)})")
        self._stage = ""

    def _print(self, text: str) -> None:
        print(one_line(f"{self._stage}: {text}" if self._stage else text), file=self._stream, flush=True)


class Pace:
    """Units per second since the first ones were done: what came before them was mostly compiling."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self.rate = 0.0

    def note(self, done: float, now: float) -> None:
        """Take in that so many units are done at a time in s."""
        if self._first is None or self._first[0] <= 0:
            self._first = (done, now)
        first, begun = self._first
        self.rate = (done - first) / (now - begun) if now > begun else 0.0


def describe(done: float, total: float, unit: str, rate: float, metrics: Mapping[str, float]) -> str:
    """Return ``1.2M/20M steps 9.9k/s eta 6m reward=3.1`` for one progress line; ``rate`` in units/s, 0: unknown."""
    whole = float(math.floor(done + 1e-6)) if total >= 2 else done  # no third of an episode
    parts = [f"{quantity(whole)}/{quantity(total)} {unit}" if total else f"{quantity(whole)} {unit}"]
    if rate > 0:
        parts.append(f"{quantity(float(f'{rate:.3g}'))}/s")
        if total > done:
            parts.append(f"eta {duration((total - done) / rate)}")
    return "  ".join(parts + figures(metrics))


def figures(metrics: Mapping[str, float]) -> list[str]:
    """Return ``name=value`` for each figure; ``x_low`` and ``x_high`` join ``x``, seconds (``x_s``) are a duration."""
    shown = []
    for name, value in metrics.items():
        base, _, end = name.rpartition("_")
        if end in ("low", "high") and base in metrics:
            continue
        if f"{name}_low" in metrics and f"{name}_high" in metrics:
            shown.append(f"{name}={value:.3g} [{metrics[f'{name}_low']:.3g}, {metrics[f'{name}_high']:.3g}]")
        elif end == "s" and base:
            shown.append(f"{base}={duration(value)}")
        else:
            shown.append(f"{name}={value:.3g}")
    return shown


class EventReporter:
    """Appends one JSON object per event to a file, for programs that watch a run.

    A file that cannot take them any more does not end the work: it gets no further events, and ``lost`` is told once.
    """

    def __init__(self, path: Path, lost: Callable[[OSError], None] | None = None) -> None:
        from s2rctl.core.atomic import open_to_append  # here, for not every command needs it

        self._file = open_to_append(path, "--events FILE", "write events to")
        self._stage = ""
        self._lost = lost
        self._broken = False

    def start(self, stage: str, total: float, unit: str) -> None:
        """Write a start event."""
        self._stage = stage
        self._write({"event": "start", "total": total, "unit": unit})

    def update(self, done: float, metrics: Mapping[str, float]) -> None:
        """Write an update event."""
        self._write({"event": "update", "done": done, "metrics": {k: float(v) for k, v in metrics.items()}})

    def note(self, text: str) -> None:
        """Write a note event."""
        self._write({"event": "note", "text": text})

    def finish(self, summary: str) -> None:
        """Write a finish event."""
        self._write({"event": "finish", "summary": summary})

    def _write(self, event: dict[str, object]) -> None:
        line = {"time": round(time.time(), 3), "stage": self._stage, **event}
        if self._broken:
            return
        rest = json.dumps(line, default=str).encode("ascii") + b"\n"
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._broken = True
            if self._lost is not None:
                self._lost(error)


class MultiReporter:
    """Passes everything on to several reporters."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def start(self, stage: str, total: float, unit: str) -> None:
        """Pass on."""
        for reporter in self._reporters:
            reporter.start(stage, total, unit)

    def update(self, done: float, metrics: Mapping[str, float]) -> None:
        """Pass on."""
        for reporter in self._reporters:
            reporter.update(done, metrics)

    def note(self, text: str) -> None:
        """Pass on."""
        for reporter in self._reporters:
            reporter.note(text)

    def finish(self, summary: str) -> None:
        """Pass on."""
        for reporter in self._reporters:
            reporter.finish(summary)
