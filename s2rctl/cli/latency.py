"""``latency fit FILE…``: from recordings to the delays of the next training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from s2rctl.cli.output import Answer, facts, table
from s2rctl.cli.session import ProfileOption, Session, SetOption, register


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Turn recordings into delays for training.")
    register(group, "fit", "latency")(fit)
    app.add_typer(group, name="latency")


def fit(
    session: Session,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings (.mcap) from rehearse or live.")],
    profile: ProfileOption,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Profile to write (default: PROFILE-measured.yaml here).")
    ] = None,
    sets: SetOption = None,
) -> Answer:
    """Measure how late actions take effect and how old observations are, and write it into a profile.

    The new profile extends the given one; train with -p FILE. Recorded commands are replayed on the simulated arm
    to estimate the actuation latency of the recorded one.

    Examples:
      s2rctl latency fit run/*.mcap -p aloha
      s2rctl train-teacher -p ./aloha-measured.yaml --phase pick

    """
    from s2rctl.core.atomic import is_stdout
    from s2rctl.operations.recordings.latency import run

    loaded = session.load(profile, sets, None)
    name = loaded.profile.name
    target = output or Path(f"{name}-measured.yaml")
    parent = profile if "/" not in profile and not profile.endswith((".yaml", ".yml")) else str(Path(profile).resolve())
    data = run(files, loaded.profile, parent, target, session.reporter)
    return Answer(data, _text(data), stdout_taken=is_stdout(target))


def _text(data: dict[str, Any]) -> str:
    parts = [facts({"written": data["output"], "windows": f"{data['windows']} with motion"})]
    for what in ("action", "observation"):
        weights = ", ".join(f"{w:g}" for w in data[f"{'joint_action' if what == 'action' else what}_weights"])
        figures = ", ".join(f"{name} {value:g}" for name, value in data[f"{what}_ms"].items())
        counts = data[f"{what}_histogram"]
        top = max(counts.values())
        rows = [(f"{edge} ms", str(count), "#" * max(1, round(40 * count / top))) for edge, count in counts.items()]
        parts.append(f"{what}: {figures} ms; weights [{weights}]\n{table(('from', 'count', ''), rows)}")
    return "\n\n".join(parts)
