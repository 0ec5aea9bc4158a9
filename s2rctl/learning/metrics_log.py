"""Figures of a run as JSON lines and as TensorBoard events; a resumed run continues both without overlaps."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter

from s2rctl.core.atomic import write_atomic

Record = Mapping[str, Any]


class MetricsLog:
    """Appends records to ``metrics.jsonl`` and to ``events/``; each has a ``step``, the axis of the curves.

    ``upto`` is the step of the checkpoint that the run goes on from (0: it begins): later records came from work that
    was lost, and are dropped.
    """

    def __init__(self, folder: Path, upto: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        kept = [record for record in read(self.path) if record["step"] <= upto] if upto > 0 else []
        write_atomic(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())
        self._file = self.path.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(folder / "events"), purge_step=upto + 1)

    def add(self, kind: str, step: int, figures: Record) -> None:
        """Append one record: ``kind`` names the part of the training, ``figures`` are numbers."""
        self._file.write(json.dumps({"kind": kind, "step": step, **figures}) + "\n")
        self._file.flush()
        for name, value in figures.items():
            self._events.add_scalar(f"{kind}/{name}", value, step)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._events.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a log; a last line that a kill cut off is left out. Empty if there is no file."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
