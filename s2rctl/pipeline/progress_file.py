"""What a run says of itself while it works, in its run folder, for whoever looks from elsewhere or after a crash."""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from s2rctl.core.progress import Reporter
from s2rctl.core.text import one_line

PROGRESS, FAILURE = "progress.json", "failure.json"
_INTERVAL_S = 1.0
_LONGEST_NOTE = 500


class FileReporter:
    """Passes everything on and keeps the newest figures in a file; where that cannot be written, nothing is lost."""

    def __init__(self, inner: Reporter, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._inner = inner
        self._path = folder / PROGRESS
        self._clock = clock
        self._begun = clock()
        self._last = 0.0
        self._record: dict[str, Any] = {"begun": round(self._begun, 3)}

    def start(self, stage: str, total: float, unit: str) -> None:
        """Pass on, and write."""
        self._inner.start(stage, total, unit)
        about = {"part": stage, "total": total, "unit": unit, "done": None, "first_done": None, "metrics": {}}
        self._record |= about
        self._write()

    def update(self, done: float, metrics: Mapping[str, float]) -> None:
        """Pass on, and write if the last time is long enough ago."""
        self._inner.update(done, metrics)
        begun = self._record.get("first_done")
        first = begun is None or begun <= 0
        if first:
            self._record |= {"first_done": float(done), "first_at": round(self._clock(), 3)}
        # An update may bring no figures; the ones before still hold.
        kept = {name: float(value) for name, value in metrics.items()} or self._record.get("metrics", {})
        self._record |= {"done": float(done), "metrics": kept}
        if first or self._clock() - self._last >= _INTERVAL_S:
            self._write()

    def note(self, text: str) -> None:
        """Pass on, and write."""
        self._inner.note(text)
        self._record["note"] = one_line(text)[:_LONGEST_NOTE]
        self._write()

    def finish(self, summary: str) -> None:
        """Pass on, and write."""
        self._inner.finish(summary)
        self._record["note"] = one_line(summary)[:_LONGEST_NOTE]
        self._write()

    def _write(self) -> None:
        self._last = self._clock()
        self._record["updated"] = round(self._last, 3)
        # NaN is no JSON; it comes from figures such as a loss that is not known yet.
        text = json.dumps(_finite(self._record))
        with contextlib.suppress(OSError):
            write_quickly(self._path, text.encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not (-1e300 < value < 1e300) else value


def write_quickly(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, without waiting for the disk: after a power cut an older one may be there."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def note_failure(folder: Path, error: BaseException) -> None:
    """Leave behind why a run failed, if that can be written."""
    text = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
    record = {"error": one_line(str(text))[:_LONGEST_NOTE], "time": round(time.time(), 3)}
    with contextlib.suppress(OSError):
        write_quickly(folder / FAILURE, json.dumps(record).encode())
