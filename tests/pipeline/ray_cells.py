"""Cells of a pipeline that costs nothing, for workers in other processes; they can be held, so that nodes can die."""

import os
import time
from dataclasses import dataclass, fields
from pathlib import Path

from s2rctl.core.progress import NullReporter, Reporter
from s2rctl.pipeline import graph
from s2rctl.pipeline.cells import Result, Task
from s2rctl.pipeline.grid import grid_of
from s2rctl.pipeline.launch import Launcher
from s2rctl.pipeline.sweep import Sweep, Swept, run_sweep
from s2rctl.schema.load import load_profile
from s2rctl.stages.protocol import Context
from s2rctl.stages.protocol import Result as Made
from s2rctl.store.store import Store
from s2rctl.systems.protocol import Stage
from tests.pipeline import fake_sweep

HOLD = "hold"
"""While this file lies beside the store, a stage that has begun goes on and on."""


def judge(context: Context) -> Made:
    """Say that it has begun, wait, and judge."""
    beside = context.store.root.parent
    (beside / f"begun-{context.seed}-{os.getpid()}").touch()
    while (beside / HOLD).exists():
        time.sleep(0.05)
    return fake_sweep.judge(context)


GRAPH: tuple[Stage, ...] = (
    fake_sweep.GRAPH[0],
    Stage(*[*vars(fake_sweep.GRAPH[1]).values()][:-1], f"{__name__}:judge"),
)


@dataclass(frozen=True)
class Cell(Task):
    def do(self, reporter: Reporter) -> Result:
        graph.graph_of = lambda system: GRAPH  # type: ignore[assignment]
        return super().do(reporter)


class Swept4(Sweep):
    """The sweep whose cells are of that pipeline."""

    def tasks(self, store: Store) -> list[Task]:
        return [Cell(**{item.name: getattr(task, item.name) for item in fields(task)}) for task in super().tasks(store)]


def sweep(folder: Path, launcher: Launcher, seeds: str = "0..3") -> Swept:
    """Run a sweep over the seeds in the store ``folder/store``."""
    grid = grid_of(seeds, [])
    profiles = tuple(load_profile("xarm7-smoke", cell.changes, cell.seed).profile for cell in grid.cells)
    made = Swept4(grid, load_profile("xarm7-smoke").profile, profiles, "judge", None, "swept", "again")
    return run_sweep(made, Store(folder / "store"), launcher, NullReporter())
