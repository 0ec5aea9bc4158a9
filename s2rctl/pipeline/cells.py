"""One cell of a sweep as plain data, in and out, so that it can run here or anywhere else that has the store."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2rctl.core.errors import Interrupted, S2rError
from s2rctl.core.exits import ExitCode
from s2rctl.core.progress import Reporter
from s2rctl.pipeline import graph
from s2rctl.pipeline.key import cache_key
from s2rctl.pipeline.run import Job, run_pipeline
from s2rctl.schema.load import load_resolved
from s2rctl.stages.work import Work
from s2rctl.store.lineage import closure
from s2rctl.store.store import Store
from s2rctl.systems.protocol import Stage

_WAIT_S = 7 * 86_400.0
"""Longest that a cell waits for another process that is making the same thing."""


@dataclass(frozen=True)
class Result:
    """How a cell ended."""

    index: int
    artifact: str = ""  # id of the result; empty if it failed
    others: Mapping[str, str] = field(default_factory=dict)  # stage -> id of what else came out and nothing was made of
    cached: bool = False  # everything was there already
    seconds: float = 0.0
    error: str = ""  # what went wrong
    code: int = 0  # its exit code


@dataclass(frozen=True)
class Task(Work):
    """A cell to run."""

    profile: Mapping[str, Any]  # resolved, seed and settings included
    stage: str | None  # the stage whose result is asked for, with what it needs; None: the whole pipeline
    fresh: bool = False

    def do(self, reporter: Reporter) -> Result:
        """Run the cell."""
        return run_cell(self, reporter)

    def lost(self, error: S2rError) -> Result:
        """Return the result of a cell that ended with an error."""
        return Result(self.index, error=error.message.splitlines()[0], code=int(error.exit_code))

    def needs(self, store: Store) -> Set[str]:
        """Return what the store has already of what the cell makes, with everything that was made from."""
        stages, _ = self.stages()
        known: dict[tuple[str, str], str] = {}
        profile = load_resolved(self.profile).profile
        for stage in stages:
            inputs = {wanted.role: known.get((wanted.kind, wanted.name), "") for wanted in stage.inputs}
            found = store.lookup_key(cache_key(stage, profile, inputs)) if all(inputs.values()) else None
            if found is not None and found.intact():
                known[stage.kind, stage.output] = found.id
        return closure(store, known.values())

    def made(self, outcome: Result) -> Set[str]:
        """Return the ids of all results."""
        return {item for item in (outcome.artifact, *outcome.others.values()) if item}

    def stages(self) -> tuple[Sequence[Stage], Stage]:
        """Return the stages to run, in their order, and the one whose figures are compared."""
        stages = graph.graph_of(self.profile["system"])
        wanted = target(stages, self.stage)
        if self.stage is None:
            return stages, wanted
        return tuple(stage for stage in stages if stage.name in upstream(stages, wanted.name)), wanted


def run_cell(task: Task, reporter: Reporter) -> Result:
    """Run one cell and return how it ended; only Ctrl-C is raised.

    Refs do not move: what the last cell of a sweep made is nobody's latest.
    """
    try:
        profile = load_resolved(task.profile).profile
        stages, wanted = task.stages()
        job = Job(
            profile, Store(Path(task.store)), reporter, task.resume, fresh=task.fresh, refs=False, patience_s=_WAIT_S
        )
        outcomes = run_pipeline(stages, job)
    except Interrupted:
        raise
    except S2rError as error:
        return task.lost(error)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return Result(task.index, error=f"unexpected {type(error).__name__}: {first}", code=int(ExitCode.BUG))
    made = {item.stage.name: item.artifact for item in outcomes}
    used = {item.id for artifact in made.values() for item in artifact.manifest.content.inputs}
    result = made.pop(wanted.name)
    return Result(
        task.index,
        result.id,
        {name: artifact.id for name, artifact in made.items() if artifact.id not in used},
        all(item.cached for item in outcomes),
        sum(item.seconds for item in outcomes),
    )


def target(stages: Sequence[Stage], name: str | None) -> Stage:
    """Return the stage whose figures a sweep compares: the named one, else the evaluation, else the last one."""
    if name is not None:
        return graph.stage_named(stages, name)
    return next((stage for stage in reversed(stages) if stage.kind == "evaluation"), stages[-1])


def upstream(stages: Sequence[Stage], name: str) -> set[str]:
    """Return the stage and everything that it is made from, directly or not."""
    needed = {graph.stage_named(stages, name).name}
    for stage in reversed(stages):  # in running order, so one pass is enough
        if stage.name in needed:
            makers = (graph.producer_of(stages, wanted) for wanted in stage.inputs)
            needed |= {maker.name for maker in makers if maker is not None}
    return needed
