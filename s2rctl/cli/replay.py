"""``replay FILE…``: a recording beside the simulation, its timing, and its export as a LeRobot dataset."""

from pathlib import Path
from typing import Annotated, Any

import typer

from s2rctl.cli.output import Answer, facts, table
from s2rctl.cli.session import Session, register


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "replay")(replay)


def replay(
    session: Session,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings (.mcap) written by deploy.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Directory for video and contact sheet (default: the recording's)."),
    ] = None,
    video: Annotated[bool, typer.Option("--video/--no-video", help="Write a video and a contact sheet.")] = True,
    lerobot: Annotated[
        Path | None, typer.Option("--lerobot", help="Also export all recordings as one LeRobotDataset v3 directory.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="Task description stored in the dataset.")] = "",
) -> Answer:
    """Show a recording: camera images beside the simulated robot, how the episode ended, and timing.

    Examples:
      s2rctl replay episode-000.mcap
      s2rctl replay run/*.mcap --no-video --lerobot dataset --task "insert the peg"

    """
    from s2rctl.operations.recordings.replay import run

    data = [run(file, output or file.parent, session.reporter, video=video) for file in files]
    texts = [_text(item) for item in data]
    answer: dict[str, Any] = {"recordings": data}
    if lerobot is not None:
        from s2rctl.operations.recordings.lerobot import export

        answer["lerobot"] = export(files, lerobot, task, session.reporter)
        texts.append(facts({"lerobot": f"{lerobot} ({answer['lerobot']['frames']} frames)"}))
    return Answer(answer, "\n\n".join(texts))


def _text(item: dict[str, Any]) -> str:
    """Return one recording's facts and its timing as a table."""
    interventions = ", ".join(f"{name} {count}" for name, count in item["interventions"].items()) or "none"
    lines = {
        "recording": item["recording"],
        "steps": f"{item['steps']} in {item['duration_s']:g} s ({item['rate_hz']:g} Hz)",
        "outcome": item["outcome"] + (f": {item['reason']}" if item["reason"] else ""),
        "filter": interventions,
    }
    if item["lost"]:
        lines["lost"] = f"{item['lost']['steps']} steps; {item['lost']['bytes']} bytes are damaged"
    lines |= {name: item[name] for name in ("video", "contact_sheet") if name in item}
    rows = [
        (name, *(f"{figures[q]:.3f}" for q in ("p50", "p95", "p99", "max")))
        for name, figures in item["timing_ms"].items()
    ]
    return facts(lines) + "\n\n" + table(("ms", "p50", "p95", "p99", "max"), rows)
