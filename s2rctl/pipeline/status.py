"""What runs are doing, or were doing when they stopped: read from their folders, from any terminal."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from s2rctl.core.errors import ArtifactError, MissingEnvironmentError
from s2rctl.core.progress import duration, figures, quantity
from s2rctl.pipeline.plan import Step
from s2rctl.pipeline.progress_file import FAILURE, PROGRESS
from s2rctl.store.lock import holder, is_held
from s2rctl.store.place import entries, is_folder
from s2rctl.store.reading import read_json
from s2rctl.store.store import Store

State = Literal["done", "running", "failed", "interrupted", "open", "waiting"]
SILENT_S = 120.0
"""After so long without a word a run that is alive is said to be silent: a compile takes a minute or two."""


@dataclass(frozen=True)
class Run:
    """One run folder, as it stands."""

    key: str  # name of the folder
    stage: str
    profile: str
    state: State  # running, failed or interrupted
    process: int | None  # that holds it, if it is on this computer
    spent_s: float  # so far, earlier attempts included as far as known
    silent_s: float | None  # since it last said something
    part: str = ""  # what it is at
    done: float | None = None
    total: float = 0.0
    unit: str = ""
    rate_per_s: float | None = None
    eta_s: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    error: str = ""

    @property
    def share(self) -> float | None:
        """How much of the part is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.done is not None and self.total > 0 else None

    def text(self) -> str:
        """Return how far it is, on one line."""
        parts = []
        if self.share is not None:
            parts.append(f"{100 * self.share:.0f} %")
        if self.done is not None:
            parts.append(f"{quantity(self.done)}{f'/{quantity(self.total)}' if self.total else ''} {self.unit}".strip())
        if self.state == "running":
            parts += [f"eta {duration(self.eta_s)}"] if self.eta_s is not None else []
            silent = self.silent_s or 0.0
            parts += [f"silent for {duration(silent)}"] if silent > SILENT_S else []
        parts += figures(self.metrics)
        if self.error:
            parts.append(self.error)
        return "  ".join(parts)


@dataclass(frozen=True)
class StageStatus:
    """One stage of a profile's pipeline, and its run if there is one under way or left behind."""

    stage: str
    state: State
    artifact: str | None
    made: str | None  # UTC
    reason: str
    run: Run | None = None


def statuses(steps: Sequence[Step], store: Store, now: float | None = None) -> list[StageStatus]:
    """Return how each stage of a plan stands."""
    return [_status(step, store, time.time() if now is None else now) for step in steps]


def _status(step: Step, store: Store, now: float) -> StageStatus:
    if step.artifact is not None and step.action == "cached":
        made = step.artifact.manifest.origin.created_at[:19]
        return StageStatus(step.stage.name, "done", step.artifact.id, made, step.reason)
    run = run_of(store, step.key[:16], now) if step.key else None
    if run is not None:
        return StageStatus(step.stage.name, run.state, None, None, step.reason, run)
    return StageStatus(step.stage.name, "open" if step.key else "waiting", None, None, step.reason)


def all_runs(store: Store, now: float | None = None) -> list[Run]:
    """Return every run under way or left behind, those that run first."""
    moment = time.time() if now is None else now
    names = [path.name for path in entries(store.root / "runs") if is_folder(path)]
    runs = [run for name in names if (run := run_of(store, name, moment)) is not None]
    return sorted(runs, key=lambda run: (run.state != "running", run.profile, run.stage, run.key))


def run_of(store: Store, key: str, now: float) -> Run | None:
    """Return the run in the folder ``runs/<key>``; None if nothing has begun there. ``now`` in s since 1970."""
    folder = store.root / "runs" / key
    lock = folder.parent / f".{key}.lock"
    state, said, failed = (_read(folder / name) for name in ("state.json", PROGRESS, FAILURE))
    held = is_held(lock)
    if not state and not held:
        return None
    kind: State = "running" if held else "failed" if failed else "interrupted"
    total, done = _number(said.get("total")) or 0.0, _number(said.get("done"))
    if state.get("stage") == "sweep":
        done, total = _number(state.get("done")), _number(state.get("total")) or 0.0
    begun, updated = _number(said.get("begun")), _number(said.get("updated"))
    before = _number(state.get("seconds")) or 0.0
    rate = _rate(said)
    left = (total - done) / rate if rate and done is not None and total > done else None
    metrics = said.get("metrics")
    return Run(
        key,
        str(state.get("stage", "")),
        str(state.get("profile", "")),
        kind,
        holder(lock) if held else None,
        before + max(0.0, (now if held else updated or 0.0) - begun) if begun else before,
        max(0.0, now - updated) if updated else None,
        str(said.get("part", "")),
        done,
        total,
        str(said.get("unit", "")) if state.get("stage") != "sweep" else "cells",
        rate,
        max(0.0, left - max(0.0, now - updated)) if left is not None and updated else None,
        {str(name): value for name, item in metrics.items() if (value := _number(item)) is not None}
        if isinstance(metrics, dict)
        else {},
        str(said.get("note", "")),
        str(failed.get("error", "")) if kind == "failed" else "",
    )


def _rate(said: Mapping[str, Any]) -> float | None:
    """Return units per second since the first ones were done; before that, programs compiled."""
    done, first = _number(said.get("done")), _number(said.get("first_done"))
    begun, updated = _number(said.get("first_at")), _number(said.get("updated"))
    if None in (done, first, begun, updated):
        return None
    assert done is not None and first is not None and begun is not None and updated is not None
    return (done - first) / (updated - begun) if updated > begun and done > first else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, ArtifactError, MissingEnvironmentError):
        return {}


def _number(value: Any) -> float | None:
    """Return a finite number of a size that can be told, else None: run folders may hold anything."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e15 else None
