"""``pipeline run|plan|status``: the whole chain of a profile."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2rctl.cli.output import Answer, table
from s2rctl.cli.session import ForceOption, FreshOption, ProfileOption, SeedOption, Session, SetOption, register

if TYPE_CHECKING:
    from s2rctl.pipeline.plan import Step

FromOption = Annotated[
    str | None, typer.Option("--from", help="Rerun this stage and everything downstream of it.", metavar="STAGE")
]


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Run, plan and follow all stages of a profile.")
    register(group, "run", "pipeline")(run)
    register(group, "plan", "pipeline")(plan)
    register(group, "status", "pipeline")(status)
    app.add_typer(group, name="pipeline")


def run(
    session: Session,
    profile: ProfileOption,
    sets: SetOption = None,
    seed: SeedOption = None,
    from_stage: FromOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would run, and why.")] = False,
) -> Answer:
    """Run all stages up to the report, skipping those that are done. Run it again to resume.

    Examples:
      s2rctl pipeline run -p aloha-smoke
      s2rctl pipeline run -p aloha --from distill --set distill.iterations=100

    """
    if dry_run:
        return plan(session, profile, sets, seed, from_stage, force)
    from s2rctl.core.errors import GateError
    from s2rctl.pipeline.graph import graph_of
    from s2rctl.pipeline.run import check_gates, run_pipeline

    loaded = session.load(profile, sets, seed).profile
    job = session.job(loaded, force, fresh)
    outcomes = run_pipeline(graph_of(loaded.system), job, from_stage)
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
    data: dict[str, Any] = {"profile": loaded.name, "seed": loaded.seed, "stages": stages}
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
    steps, data = _plan(session, profile, sets, seed, from_stage, force)
    rows = [(step.stage.name, step.action, step.reason) for step in steps]
    return Answer(data, table(("stage", "does", "because"), rows))


def status(session: Session, profile: ProfileOption, sets: SetOption = None, seed: SeedOption = None) -> Answer:
    """Show which stages are done.

    Examples:
      s2rctl pipeline status -p aloha
      s2rctl pipeline status -p aloha --json

    """
    steps, data = _plan(session, profile, sets, seed, None, False)
    done = sum(step.action == "cached" for step in steps)
    rows = [
        (
            step.stage.name,
            {"cached": "done", "run": "open", "resume": "interrupted, will resume"}[step.action],
            step.artifact.id[:12] if step.artifact else "-",
            step.artifact.manifest.origin.created_at[:19] if step.artifact else "-",
        )
        for step in steps
    ]
    data |= {"done": done, "total": len(steps)}
    return Answer(data, f"{done} of {len(steps)} stages done\n" + table(("stage", "state", "artifact", "made"), rows))


def _plan(
    session: Session, profile: str, sets: list[str] | None, seed: int | None, from_stage: str | None, force: bool
) -> tuple[list["Step"], dict[str, Any]]:
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
