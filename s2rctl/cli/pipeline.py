"""``pipeline run|plan``: the whole chain of a profile."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from s2rctl.cli import pipeline_status
from s2rctl.cli.alone import completed
from s2rctl.cli.output import Answer, table
from s2rctl.cli.session import ForceOption, ProfileOption, SeedOption, Session, SetOption, register

if TYPE_CHECKING:
    from s2rctl.pipeline.run import Job, Outcome
    from s2rctl.schema.profile import Profile

FromOption = Annotated[
    str | None, typer.Option("--from", help="Rerun this stage and everything downstream of it.", metavar="STAGE")
]
OnlyOption = Annotated[
    str | None,
    typer.Option("--only", help="Run this stage alone, on inputs from the store.", metavar="STAGE"),
]
FreshStageOption = Annotated[
    str | None,
    typer.Option(
        "--fresh", help="Discard interrupted runs instead of resuming them: all, or this stage's.", metavar="[STAGE]"
    ),
]
_ALL = "all"


class RunCommand(TyperCommand):
    """A command whose ``--fresh`` may stand alone: Typer has no options with optional values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        return super().parse_args(ctx, with_all(args))


def with_all(args: Sequence[str]) -> list[str]:
    """Return the words with ``all`` behind a ``--fresh`` that no stage follows."""
    return completed(args, "--fresh", _ALL, lambda after: not after.startswith("-"))


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Run, plan and follow all stages of a profile.")
    register(group, "run", "pipeline", cls=RunCommand)(run)
    register(group, "plan", "pipeline")(plan)
    pipeline_status.add_to(group)
    app.add_typer(group, name="pipeline")


def run(
    session: Session,
    profile: ProfileOption,
    sets: SetOption = None,
    seed: SeedOption = None,
    from_stage: FromOption = None,
    only: OnlyOption = None,
    force: ForceOption = False,
    fresh: FreshStageOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would run, and why.")] = False,
) -> Answer:
    """Run all stages up to the report, skipping those that are done. Run it again to resume.

    Examples:
      s2rctl pipeline run -p aloha-smoke
      s2rctl pipeline run -p aloha --from distill --set distill.iterations=100
      s2rctl pipeline run -p aloha --only evaluate --fresh evaluate

    """
    from s2rctl.core.errors import UsageError

    if only is not None and from_stage is not None:
        raise UsageError("--only runs one stage, --from several", "give one of them")
    if dry_run:
        return plan(session, profile, sets, seed, from_stage, force)
    loaded = session.load(profile, sets, seed).profile
    outcomes = _run(loaded.system, _job(session, loaded, force, fresh), from_stage, only, fresh)
    return _answer(loaded, outcomes)


def _answer(profile: "Profile", outcomes: "list[Outcome]") -> Answer:
    """Return how the stages ended, where the report is, and the fault of a missed gate."""
    from s2rctl.core.errors import GateError
    from s2rctl.pipeline.run import check_gates

    fault = None
    try:
        check_gates(outcomes)
    except GateError as error:
        fault = error
    stages = [
        {
            "stage": outcome.stage.name,
            "cached": outcome.cached,
            "seconds": round(outcome.seconds, 3),
            "ref": outcome.artifact.ref,
            "artifact": outcome.artifact.id,
        }
        for outcome in outcomes
    ]
    report = next((o.artifact for o in outcomes if o.artifact.manifest.content.kind == "report"), None)
    data: dict[str, Any] = {"profile": profile.name, "seed": profile.seed, "stages": stages}
    rows = [
        (
            item["stage"],
            "cached" if item["cached"] else f"{item['seconds']:.1f} s",
            item["ref"],
            str(item["artifact"])[:12],
        )
        for item in stages
    ]
    text = table(("stage", "took", "artifact", "id"), rows)
    if report is not None and "report.html" in report.files:
        data["report_path"] = str(report.lasting_folder() / "report.html")
        text += f"\nreport: {data['report_path']}"
    return Answer(data, text, fault)


def _job(session: Session, profile: "Profile", force: bool, fresh: str | None) -> "Job":
    """Return what stages need to run; what resumes it afterwards discards nothing."""
    from s2rctl.pipeline.run import command

    job = session.job(profile, force, fresh == _ALL)
    if fresh is None or fresh == _ALL:
        return job
    words = list(session.argv)
    for number, word in enumerate(words):
        if word == "--fresh" and words[number + 1 : number + 2] == [fresh]:
            del words[number : number + 2]
            break
    kept = [word for word in words if word not in ("--force", f"--fresh={fresh}")]
    return replace(job, resume=command("s2rctl", *kept))


def _run(system: str, job: "Job", from_stage: str | None, only: str | None, fresh: str | None) -> "list[Outcome]":
    from s2rctl.core.errors import UsageError
    from s2rctl.pipeline.graph import graph_of, stage_named
    from s2rctl.pipeline.run import run_only, run_pipeline

    graph = graph_of(system)
    stage = None if fresh in (None, _ALL) else stage_named(graph, str(fresh)).name
    if only is None:
        return run_pipeline(graph, job, from_stage, stage)
    if stage is not None and stage != stage_named(graph, only).name:
        raise UsageError(f"--fresh {stage}: only {only} runs", f"--only {only} --fresh")
    return run_only(graph, only, replace(job, fresh=fresh is not None))


def plan(
    session: Session,
    profile: ProfileOption,
    sets: SetOption = None,
    seed: SeedOption = None,
    from_stage: FromOption = None,
    force: ForceOption = False,
) -> Answer:
    """Show what a run would do, and why.

    Examples:
      s2rctl pipeline plan -p aloha
      s2rctl pipeline plan -p aloha --set distill.iterations=100

    """
    steps, data = pipeline_status.plan_of(session, profile, sets, seed, from_stage, force)
    rows = [(step.stage.name, step.action, step.reason) for step in steps]
    return Answer(data, table(("stage", "does", "because"), rows))
