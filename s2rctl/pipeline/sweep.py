"""A sweep: the cells of a grid run by a launcher, then one artifact with table, plot and every cell's result."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError, RunError
from s2rctl.core.progress import Reporter
from s2rctl.evaluation.sweep_plot import draw
from s2rctl.pipeline.cells import Result, Task
from s2rctl.pipeline.grid import Grid
from s2rctl.pipeline.sweep_table import CellFigures, chosen_metric, csv_text, table_of
from s2rctl.schema.manifest import InputRef, StageRef
from s2rctl.schema.profile import Profile
from s2rctl.stages.work import Launcher
from s2rctl.store.canonical import canonical, digest
from s2rctl.store.faults import translated
from s2rctl.store.lock import locked
from s2rctl.store.reading import read_json
from s2rctl.store.store import Artifact, Store

VERSION = 1
TABLE, CSV, PLOT = "sweep.json", "sweep.csv", "sweep.png"


@dataclass(frozen=True)
class Sweep:
    """What is to be swept."""

    grid: Grid
    base: Profile  # the profile without what varies
    profiles: tuple[Profile, ...]  # one for each cell, in the grid's order
    stage: str | None  # whose figures are compared; None: the pipeline's evaluation, after a whole run
    metric: str | None  # dotted path in its metrics; None: its success rate
    name: str  # of the artifact
    resume: str  # the command that carries on
    fresh: bool = False

    @property
    def key(self) -> str:
        """What tells this sweep from others, whatever has been done of it (64 hex digits)."""
        return digest(
            {
                "sweep": VERSION,
                "name": self.name,
                "grid": asdict(self.grid),
                "profiles": [profile.model_dump(mode="json") for profile in self.profiles],
                "stage": self.stage,
            }
        )

    def tasks(self, store: Store) -> list[Task]:
        """Return the cells as plain data."""
        return [
            Task(
                index,
                cell.name,
                str(store.root.absolute()),
                self.resume,
                profile.model_dump(mode="json"),
                self.stage,
                self.fresh,
            )
            for index, (cell, profile) in enumerate(zip(self.grid.cells, self.profiles, strict=True))
        ]


@dataclass(frozen=True)
class Swept:
    """How a sweep ended."""

    figures: Mapping[str, Any]  # what ``sweep.json`` holds
    artifact: Artifact
    cached: int  # cells of which everything was there already


def run_sweep(sweep: Sweep, store: Store, launcher: Launcher, reporter: Reporter) -> Swept:
    """Run all cells and publish what they gave; a cell that fails is named and ends no other.

    RunError if all cells failed, UsageError for a metric that the results do not have. Stopped at any point, the same
    sweep goes on with the cells that are missing.
    """
    folder = store.run_folder(sweep.key)
    with locked(folder.parent / f".{folder.name}.lock", "this sweep", timeout=1.0):
        results = _collect(sweep, store, launcher, reporter, folder)
        failed = [result for result in results if not result.artifact]
        if len(failed) == len(results):
            first = sweep.grid.cells[failed[0].index].name
            raise RunError(f"all {len(failed)} cells failed; {first}: {failed[0].error}", _hint(sweep))
        cells = _figures(sweep, store, results)
        figures = table_of(sweep.grid, cells, chosen_metric(cells, sweep.metric), sweep.base.name)
        figures["stage"] = store.get(next(r.artifact for r in results if r.artifact)).manifest.content.stage.name
        artifact = _publish(sweep, store, folder, figures, results)
        shutil.rmtree(folder, ignore_errors=True)
    return Swept(figures, artifact, sum(result.cached for result in results))


def _collect(sweep: Sweep, store: Store, launcher: Launcher, reporter: Reporter, folder: Path) -> list[Result]:
    """Return the results in the order of the cells; what is done is noted at once, so that it is not collected."""
    tasks, found = sweep.tasks(store), dict[int, Result]()
    path = folder / "state.json"
    kept = _noted(path)  # what earlier attempts made: it will be found again, unless it is collected meanwhile

    def save_state() -> None:
        kept.update(_inputs(found.values()))
        done = sum(role.count("-") == 1 for role in kept)
        state = {"stage": "sweep", "profile": sweep.base.name, "inputs": kept, "done": done, "total": len(tasks)}
        with translated(store.root):
            write_atomic(path, json.dumps(state).encode())

    save_state()
    for result in launcher.run(tasks, reporter):
        found[result.index] = result
        if result.error:
            reporter.note(f"{tasks[result.index].name} failed: {result.error}")
        save_state()
    lost = RunError("its launcher returned nothing")
    return [found.get(task.index, Result(task.index, error=lost.message, code=int(lost.exit_code))) for task in tasks]


def _noted(path: Path) -> dict[str, str]:
    """Return the inputs that a state file names; nothing if it is missing or damaged."""
    try:
        inputs = read_json(path).get("inputs")
    except (OSError, ArtifactError):
        return {}
    return {role: one for role, one in inputs.items() if isinstance(one, str)} if isinstance(inputs, dict) else {}


def _inputs(results: Any) -> list[tuple[str, str]]:
    """Return (role, id) of everything that the cells gave."""
    roles = []
    for result in sorted(results, key=lambda item: item.index):
        if result.artifact:
            roles.append((f"cell-{result.index:04d}", result.artifact))
            roles += [(f"cell-{result.index:04d}-{stage}", made) for stage, made in sorted(result.others.items())]
    return roles


def _figures(sweep: Sweep, store: Store, results: Sequence[Result]) -> list[CellFigures]:
    found = []
    for cell, result in zip(sweep.grid.cells, results, strict=True):
        metrics: Mapping[str, Any] = {}
        error, code = result.error, result.code
        if result.artifact:
            try:
                metrics = store.get(result.artifact).manifest.origin.metrics
            except ArtifactError as lost:  # damaged or removed since
                error, code = lost.message, int(lost.exit_code)
        found.append(CellFigures(cell, "" if error else result.artifact, metrics, error, code))
    return found


def _publish(
    sweep: Sweep, store: Store, folder: Path, figures: Mapping[str, Any], results: Sequence[Result]
) -> Artifact:
    files = {name: folder / name for name in (TABLE, CSV, PLOT)}
    with translated(store.root):
        write_atomic(files[TABLE], json.dumps(json.loads(canonical(figures)), indent=2, sort_keys=True).encode())
        write_atomic(files[CSV], csv_text(figures).encode())
        draw(files[PLOT], figures)
    artifact = store.publish(
        "sweep",
        sweep.name,
        files,
        stage=StageRef(name="sweep", version=VERSION),
        profile=sweep.base.model_dump(mode="json"),
        seed=sweep.base.seed,
        inputs=[InputRef(role=role, id=identity) for role, identity in _inputs(results)],
        metrics=_summary(figures),
    )
    store.set_ref(f"{artifact.ref}:latest", artifact.id, f"sweep of profile {sweep.base.name}")
    return artifact


def _summary(figures: Mapping[str, Any]) -> dict[str, Any]:
    settings = {
        row["label"]: {name: value for name, value in row.items() if isinstance(value, int | float | str)}
        for row in figures["settings"]
    }
    return {
        "cells": len(figures["cells"]),
        "failed": len(figures["failed"]),
        "metric": figures["metric"],
        "settings": settings,
    }


def _hint(sweep: Sweep) -> str:
    return f"{sweep.resume}   (tries the failed cells again)"


def fault_of(swept: Swept, sweep: Sweep) -> RunError | None:
    """Return the error that names the cells which failed, if any did."""
    failed = swept.figures["failed"]
    if not failed:
        return None
    named = "; ".join(f"{item['name']}: {item['error']}" for item in failed[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    return RunError(f"{len(failed)} of {len(swept.figures['cells'])} cells failed: {named}{more}", _hint(sweep))
