"""``sweep``: a grid of pipeline runs, and what is left of a difference when seeds are drawn anew."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from s2rctl.cli.output import Answer, table
from s2rctl.cli.session import FreshOption, OnOption, ProfileOption, Session, register

SetsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Values of one profile field: a.b=1,2,3. Repeatable.", metavar="A.B=VALUE,…"),
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "sweep")(sweep)


def sweep(
    session: Session,
    profile: ProfileOption,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds: 0..7 (both included), or 0,3,5.")],
    sets: SetsOption = None,
    stage: Annotated[
        str | None, typer.Option("--stage", help="Run up to this stage and compare its figures (default: everything).")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Figure to compare, by its path (default: success_rate).")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the artifact (default: the profile's).")] = None,
    on: OnOption = None,
    fresh: FreshOption = False,
) -> Answer:
    """Run a profile's pipeline for every seed and every combination of values, and compare what comes out.

    What cells share is made once. A cell that fails is named and ends no other (exit code 1); run it again to go on.

    Examples:
      s2rctl sweep -p xarm7-smoke --seeds 0..7
      s2rctl sweep -p aloha --seeds 0..3 --set distill.iterations=100,200 --stage evaluate
      s2rctl sweep -p xarm7-reach --seeds 0..7 --on ray

    """
    from s2rctl.pipeline.grid import grid_of
    from s2rctl.pipeline.launch import launcher_of
    from s2rctl.pipeline.sweep import PLOT, fault_of, run_sweep

    place = [text for text in sets or () if text.startswith("launcher.")]  # where it runs: no setting to compare
    grid = grid_of(seeds, [text for text in sets or () if text not in place])
    asked = _asked(session, profile, grid, place, stage, metric, name, fresh)
    launcher = launcher_of(asked.base.launcher, on)
    swept = run_sweep(asked, session.store(), launcher, session.reporter)
    plot = str(swept.artifact.lasting_folder() / PLOT)
    data = dict(swept.figures) | {
        "artifact": swept.artifact.id,
        "ref": swept.artifact.ref,
        "cached": swept.cached,
        "plot_path": plot,
    }
    text = f"{sweep_text(swept.figures)}\n{swept.artifact.ref} {swept.artifact.id[:12]}, plot: {plot}"
    return Answer(data, text, fault_of(swept, asked))


def _asked(
    session: Session,
    profile: str,
    grid: Any,
    place: list[str],
    stage: str | None,
    metric: str | None,
    name: str | None,
    fresh: bool,
) -> Any:
    """Return the sweep, with every cell's profile valid before anything runs."""
    from s2rctl.core.errors import UsageError
    from s2rctl.pipeline.graph import graph_of, stage_named
    from s2rctl.pipeline.sweep import Sweep
    from s2rctl.store.refs import fits

    fixed = [f"{axis.path}={axis.values[0]}" for axis in grid.axes if len(axis.values) == 1]
    base = session.load(profile, [*fixed, *place], grid.seeds[0]).profile
    profiles = tuple(session.load(profile, cell.changes, cell.seed).profile for cell in grid.cells)
    if stage is not None:
        for system in {found.system for found in profiles}:
            stage_named(graph_of(system), stage)
    if name is not None and not fits(name):
        raise UsageError(f"'{name}' cannot be the name of an artifact", "use lower-case letters, digits, '.', '_', '-'")
    resume = session.job(base).resume
    return Sweep(grid, base, profiles, stage, metric, name or base.name, resume, fresh)


def sweep_text(figures: Mapping[str, Any]) -> str:
    """Return the table of a sweep for people."""
    rows = [_cells(row, figures["seeds"]) for row in figures["settings"]]
    head = ("setting", "seeds", f"{figures['metric']}, 95 % over seeds", "all episodes, 95 %", "against the first", "p")
    parts = [table(head, rows)]
    least = min((len(row["seeds"]) for row in figures["settings"]), default=0)
    if least < 3:
        parts.append("fewer than three seeds: no interval over seeds")
    elif least < 6:
        parts.append(f"with {least} seeds the interval over seeds covers the truth in at most {_most(least):.0f} %")
    parts += [f"failed: {item['name']}: {item['error']}" for item in figures["failed"]]
    return "\n".join(parts)


def _most(seeds: int) -> float:
    """Return how often, in per cent, a bootstrap over so few seeds can hold the truth at most."""
    return 100 * (1 - 2.0 ** (1 - seeds))


def _cells(row: Mapping[str, Any], seeds: Sequence[int]) -> tuple[str, ...]:
    count = f"{len(row['seeds'])}" if len(row["seeds"]) == len(seeds) else f"{len(row['seeds'])} of {len(seeds)}"
    if row["mean"] is None:
        return row["label"], count, "–", "–", "–", "–"
    rated = "episodes" in row
    over = _interval(row["mean"], row["seeds_low"], row["seeds_high"], rated)
    against, p_value = "–", "–"
    if found := row.get("against_first"):
        against = _interval(found["difference"], found["low"], found["high"], rated, sign="+")
        p_value = f"{found['p_value']:.2g}"
    return row["label"], count, over, f"{row['text']} %" if rated else "–", against, p_value


def _interval(value: float, low: float | None, high: float | None, rated: bool, sign: str = "") -> str:
    def shown(number: float) -> str:
        return f"{100 * number:{sign}.1f}" if rated else f"{number:{sign}.4g}"

    ends = "" if low is None or high is None else f" [{shown(low)}, {shown(high)}]"
    return f"{shown(value)}{' %' if rated else ''}{ends}"
