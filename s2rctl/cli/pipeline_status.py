"""``pipeline status``: how far a profile's pipeline is, from any terminal, as a page for a phone, and after a crash."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2rctl.cli.output import Answer, lines, table
from s2rctl.cli.session import ProfileOption, SeedOption, Session, SetOption, register
from s2rctl.core.progress import duration

if TYPE_CHECKING:
    from s2rctl.pipeline.plan import Step
    from s2rctl.pipeline.status import Run, StageStatus

HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="Also write a page, small enough for a phone.", metavar="FILE")
]
EveryOption = Annotated[
    float | None, typer.Option("--every", help="Write the page again every so many seconds until all is done.", min=1)
]
_TONES = {"done": "good", "failed": "bad", "interrupted": "bad"}
_STATES = {"interrupted": "interrupted, will resume", "failed": "failed, will resume"}


def add_to(group: typer.Typer) -> None:
    """Add the command to the group ``pipeline``."""
    register(group, "status", "pipeline")(status)


def status(
    session: Session,
    profile: ProfileOption,
    sets: SetOption = None,
    seed: SeedOption = None,
    html: HtmlOption = None,
    every: EveryOption = None,
) -> Answer:
    """Show which stages are done, how far the running one is, and where a run stopped.

    Give the same --set and --seed as the run; other runs in the store are listed below.

    Examples:
      s2rctl pipeline status -p aloha
      s2rctl pipeline status -p aloha --json
      s2rctl pipeline status -p aloha --html status.html --every 30

    """
    from s2rctl.core.errors import UsageError

    if every is not None and html is None:
        raise UsageError("--every writes a page again and again", "name it with --html FILE")
    answer = _look(session, profile, sets, seed, html, every)
    if every is None:
        return answer
    from s2rctl.core.interrupt import interruptible

    with interruptible() as interrupt:
        while answer.data["done"] < answer.data["total"] and not interrupt.requested:
            end = time.monotonic() + every
            while time.monotonic() < end and not interrupt.requested:
                time.sleep(min(0.2, every))
            answer = _look(session, profile, sets, seed, html, every)
    return answer


def _look(
    session: Session, profile: str, sets: list[str] | None, seed: int | None, html: Path | None, every: float | None
) -> Answer:
    """Return how everything stands now, and write the page."""
    from s2rctl.pipeline.status import all_runs, statuses

    steps, data = plan_of(session, profile, sets, seed, None, False)
    store = session.store()
    stages = statuses(steps, store)
    shown = {stage.run.key for stage in stages if stage.run is not None}
    others = [run for run in all_runs(store) if run.key not in shown]
    done = sum(stage.state == "done" for stage in stages)
    listed = [row | _stage_data(stage) for row, stage in zip(data["stages"], stages, strict=True)]
    data |= {"stages": listed, "done": done, "total": len(stages), "others": [_run_data(run) for run in others]}
    if html is not None:
        _write_page(html, data, stages, others, every)
    rows = [
        (
            stage.stage,
            _STATES.get(stage.state, stage.state),
            stage.artifact[:12] if stage.artifact else "-",
            stage.made or _time_text(stage.run),
            stage.run.text() if stage.run else "" if stage.state == "done" else stage.reason,
        )
        for stage in stages
    ]
    head = ("stage", "state", "artifact", "made (UTC) or spent", "so far")
    text = f"{done} of {len(stages)} stages done\n{table(head, rows)}"
    if others:
        text += "\nother runs in this store:\n" + lines(f"  {_other_text(run)}" for run in others)
    return Answer(data, text)


def _time_text(run: "Run | None") -> str:
    return f"{duration(run.spent_s)}" if run is not None else "-"


def _other_text(run: "Run") -> str:
    process = f" (process {run.process})" if run.process else ""
    return f"{run.stage or run.key} of profile {run.profile or 'unknown'}: {run.state}{process}  {run.text()}".rstrip()


def _stage_data(stage: "StageStatus") -> dict[str, Any]:
    run = _run_data(stage.run) if stage.run is not None else None
    return {"state": stage.state, "made": stage.made, "run": run}


def _run_data(run: "Run") -> dict[str, Any]:
    return asdict(run) | {"share": run.share}


def _write_page(
    html: Path, data: dict[str, Any], stages: "Sequence[StageStatus]", others: "Sequence[Run]", every: float | None
) -> None:
    from s2rctl.core.atomic import write_output
    from s2rctl.evaluation.templates import render

    page = render(
        "status",
        profile=data["profile"],
        seed=data["seed"],
        done=data["done"],
        total=data["total"],
        when=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
        refresh_s=max(5, round(every)) if every is not None else None,
        stages=[_card(stage.stage, stage.state, stage.run, stage.made or "") for stage in stages],
        others=[_card(f"{run.stage} of {run.profile}", run.state, run, "") for run in others],
    )
    write_output(html, page.encode(), "--html FILE")


def _card(name: str, state: str, run: "Run | None", made: str) -> dict[str, Any]:
    spent = f"after {duration(run.spent_s)}" if run is not None else ""
    said = [run.text(), spent, run.note] if run is not None else [f"made {made} UTC" if made else ""]
    return {
        "name": name,
        "state": state,
        "tone": _TONES.get(state, ""),
        "share": run.share if run is not None else None,
        "detail": " · ".join(part for part in said if part),
    }


def plan_of(
    session: Session, profile: str, sets: list[str] | None, seed: int | None, from_stage: str | None, force: bool
) -> tuple[list["Step"], dict[str, Any]]:
    """Return the plan of a profile, and as data for programs."""
    from s2rctl.pipeline.graph import graph_of
    from s2rctl.pipeline.plan import make_plan

    loaded = session.load(profile, sets, seed).profile
    steps = make_plan(graph_of(loaded.system), loaded, session.store(), from_stage=from_stage, force=force)
    listed = [
        {
            "stage": step.stage.name,
            "action": step.action,
            "reason": step.reason,
            "artifact": step.artifact.id if step.artifact else None,
        }
        for step in steps
    ]
    return steps, {"profile": loaded.name, "seed": loaded.seed, "stages": listed}
