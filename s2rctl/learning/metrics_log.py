"""Figures of a run as JSON lines and TensorBoard events (to Weights & Biases when asked); resumed without overlaps."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.progress import Reporter

Record = Mapping[str, Any]
EVENTS = "events"
"""Folder of the TensorBoard event files."""


class MetricsLog:
    """Appends records to ``metrics.jsonl`` and to ``events/``; each has a ``step`` and ``minutes``, axes of the curves.

    ``upto`` is the step of the checkpoint that the run goes on from (0: it begins): later records came from work that
    was lost, and are dropped. Minutes count the time of all attempts, but not the time between them. ``wandb`` names
    the Weights & Biases project that gets every record too (None: none); MissingEnvironmentError if it is not
    installed.
    """

    def __init__(self, folder: Path, upto: int, wandb: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        kept = [record for record in read(self.path) if record["step"] <= upto] if upto > 0 else []
        write_atomic(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())
        self._minutes = max((float(record.get("minutes", 0.0)) for record in kept), default=0.0)
        self._begun = time.monotonic()
        self._file = self.path.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(folder / EVENTS), purge_step=upto + 1)
        self._wandb = _open_wandb(wandb, folder) if wandb else None

    def record(self, step: int, figures: Record, kind: str = "train") -> None:
        """Append one record: ``kind`` names the part of the training, ``figures`` are numbers."""
        minutes = round(self._minutes + (time.monotonic() - self._begun) / 60, 4)
        self._file.write(json.dumps({"kind": kind, "step": step, "minutes": minutes, **figures}) + "\n")
        self._file.flush()
        for name, value in figures.items():
            self._events.add_scalar(f"{kind}/{name}", value, step)
        if self._wandb is not None:
            named = {f"{kind}/{name}": value for name, value in figures.items()}
            self._wandb.log({"step": step, "minutes": minutes, **named})

    def files(self, panels: Sequence[Sequence[str]]) -> dict[str, Path]:
        """Draw ``curve.png``, one panel per group of figures against the step; return the files to publish by name."""
        from s2rctl.learning.curves import Panel, draw, series

        self._events.flush()
        records = read(self.path)
        curve = self.path.with_name("curve.png")
        draw(curve, [[Panel("step", ", ".join(names), series(records, "step", names)) for names in panels]])
        return {self.path.name: self.path, curve.name: curve, **event_files(self.path.parent)}

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._events.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if kind is None else 1)


class LoggedProgress:
    """A reporter that also logs the figures it is told, for loops that only report: the step is what is done."""

    def __init__(self, reporter: Reporter, log: MetricsLog, kind: str = "train") -> None:
        self._reporter, self._log, self._kind = reporter, log, kind

    def start(self, stage: str, total: float, unit: str) -> None:
        """Pass on."""
        self._reporter.start(stage, total, unit)

    def update(self, done: float, metrics: Mapping[str, float]) -> None:
        """Pass on, and log the figures, if there are any."""
        if metrics:
            self._log.record(int(done), metrics, self._kind)
        self._reporter.update(done, metrics)

    def note(self, text: str) -> None:
        """Pass on."""
        self._reporter.note(text)

    def finish(self, summary: str) -> None:
        """Pass on."""
        self._reporter.finish(summary)


def event_files(folder: Path) -> dict[str, Path]:
    """Return the TensorBoard event files of a run folder by the names to publish them under, oldest first.

    The names that the writer gives hold the computer's name; artifacts are passed on, so they get numbers instead.
    """
    # A run that was killed at once leaves an empty file.
    written = (path for path in (folder / EVENTS).glob("events.out.tfevents.*") if path.stat().st_size)
    found = sorted(written, key=lambda path: path.name)
    return {f"{EVENTS}/events.out.tfevents.{number}": path for number, path in enumerate(found)}


def _open_wandb(project: str, folder: Path) -> Any:
    """Return the run of this folder at Weights & Biases: a resumed training carries on with the same one."""
    try:
        import wandb
    except ImportError as error:
        raise MissingEnvironmentError(
            "the profile asks for Weights & Biases (wandb), which is not installed",
            "pip install wandb, or --set wandb=null",
        ) from error
    run = wandb.init(project=project, id=folder.name, resume="allow", dir=str(folder))
    # Several parts of a training log at their own steps: the axis is a figure, not the number of the call.
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    return run


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a log; a last line that a kill cut off is left out. Empty if there is no file."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
