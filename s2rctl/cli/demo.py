"""``demo``: every system that comes with a ready policy, shown side by side in processes of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2rctl.cli import complete
from s2rctl.cli.output import Answer
from s2rctl.cli.session import Session, register

if TYPE_CHECKING:
    from s2rctl.core.progress import Reporter

_POLITE = 10
"""How much a system that has rehearsed steps back from one that still has to keep up with real time (see nice)."""
_LOOK_S = 0.2
"""How often a request to stop is looked for."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "demo")(demo)


def demo(
    session: Session,
    only: Annotated[
        str | None, complete.profile("One system alone, in this process, by its smoke profile.", "--only")
    ] = None,
    show: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open films and reports (default: where there is a screen).")
    ] = None,
) -> Answer:
    """See pretrained policies rehearse and be evaluated, then every stage run with tiny budgets. Takes minutes.

    Programs are compiled quickly and run slower (simulation.compilation=quick). Run it again to resume.

    Examples:
      s2rctl demo
      s2rctl demo --only xarm7-smoke --no-open

    """
    opening = _has_screen() if show is None else show
    begun = time.monotonic()
    if only is not None:
        lanes = [_lane(session, only, opening)]
    else:
        lanes = _side_by_side(session, opening)
        for lane in lanes if opening else ():
            _open(Path(lane["report"]))
    data = {"lanes": lanes, "seconds": round(time.monotonic() - begun, 1), "next": _next(session, lanes[-1])}
    return Answer(data, _told(data))


def _lane(session: Session, profile: str, opening: bool) -> dict[str, Any]:
    """Show one system here."""
    from s2rctl.core.errors import UsageError
    from s2rctl.pipeline.demonstration import demonstrate, shown

    known, name = sorted(shown().values()), session.load(profile, None, None).profile.name
    if name not in known:
        raise UsageError(
            f"'{name}' is no profile with small budgets, it would train for long", f"use {', '.join(known)}"
        )

    def look(film: Path | None) -> None:
        if film is not None and opening:
            _open(film)
        os.nice(_POLITE)

    return demonstrate(session.job(session.load(profile, None, None).profile), look)


def _side_by_side(session: Session, opening: bool) -> list[dict[str, Any]]:
    """Show all systems at once, for one alone leaves cores idle; return what each found, in their order."""
    from s2rctl.core.errors import MissingEnvironmentError
    from s2rctl.core.interpreter import python
    from s2rctl.pipeline.demonstration import shown

    found = shown()
    if not found:
        raise MissingEnvironmentError("no pretrained policies came with this installation", "s2rctl profile list")
    common = ["--store", str(session.store().root), "--json", "--open" if opening else "--no-open"]
    commands = {
        name: python("-m", "s2rctl.cli.main", "demo", "--only", profile, *common) for name, profile in found.items()
    }
    return [_found(name, code, answer) for name, code, answer in _run(commands, session.reporter)]


def _run(commands: Mapping[str, Sequence[str]], reporter: "Reporter") -> Iterator[tuple[str, int, str]]:
    """Run commands at once, pass on what they say, and yield name, exit code and answer of each once all have ended.

    Each has a session of its own: Ctrl-C reaches this process alone, which asks them once and waits.
    """
    from s2rctl.core.errors import Interrupted
    from s2rctl.core.interrupt import interruptible

    with ThreadPoolExecutor(2 * len(commands)) as pool, interruptible() as interrupt:
        alive = {name: _begun(command) for name, command in commands.items()}
        try:
            answers = {name: pool.submit(_read, process) for name, process in alive.items()}
            for name, process in alive.items():
                pool.submit(_relay, name, process, reporter)
            while not interrupt.requested and any(process.poll() is None for process in alive.values()):
                time.sleep(_LOOK_S)
        finally:
            for process in alive.values():
                if process.poll() is None:
                    process.terminate()
            codes = {name: process.wait() for name, process in alive.items()}
    if interrupt.requested:
        raise Interrupted("interrupted; finished stages are kept", "to resume: run the same command again")
    yield from ((name, codes[name], answers[name].result()) for name in commands)


def _begun(command: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def _read(process: "subprocess.Popen[str]") -> str:
    return process.stdout.read() if process.stdout is not None else ""


def _relay(name: str, process: "subprocess.Popen[str]", reporter: "Reporter") -> None:
    for line in process.stderr or ():
        reporter.note(f"{name} | {line.rstrip()}")


def _found(name: str, code: int, answer: str) -> dict[str, Any]:
    """Return what a process found; its error, as one of this process, if it failed."""
    from s2rctl.core.errors import RunError
    from s2rctl.core.exits import ExitCode

    try:
        said = json.loads(answer)
        if said["ok"]:
            lane: dict[str, Any] = said["data"]["lanes"][0]
            return lane
        fault = RunError(f"{name}: {said['error']['message']}", str(said["error"]["hint"]))
        fault.exit_code = ExitCode(code)
    except (ValueError, KeyError):
        fault = RunError(f"{name}: its process ended with status {code}", "run the same command again to go on")
    raise fault


def _told(data: Mapping[str, Any]) -> str:
    """Return what was made, where to look, and what to try next."""
    lines = []
    for lane in data["lanes"]:
        smoke = lane["smoke"]
        lines += [
            f"{lane['policy']}, as it comes with s2rctl",
            f"  rehearsed  {lane['rehearsal']['text']}   through the driver and the vendor's SDK",
            f"  evaluated  {lane['evaluation']}   in episodes that its training never saw",
            *([f"  film       {_near(lane['rehearsal']['film'])}"] if lane["rehearsal"]["film"] else []),
            f"  report     {_near(lane['report'])}",
            f"{smoke['profile']}, trained here in {smoke['stages']} stages with budgets too small to learn from",
            f"  evaluated  {smoke['evaluation']}",
            f"  report     {_near(smoke['report'])}",
            "",
        ]
    guide = "docs/quickstart.md"  # in a checkout
    after = f"{guide} goes on from here; next:" if Path(guide).is_file() else "next:"
    return "\n".join([*lines, after, *(f"  {command}" for command in data["next"])])


def _near(path: str) -> str:
    """Return a path as it can be typed from here."""
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path


def _next(session: Session, lane: Mapping[str, Any]) -> list[str]:
    """Return three commands to go on with, as they can be typed here."""
    from s2rctl.pipeline.run import command
    from s2rctl.store.location import find_store

    program = "s2rctl" if shutil.which("s2rctl") else sys.argv[0]
    root = session.store().root
    store = [] if find_store(None).absolute() == root.absolute() else ["--store", str(root)]
    return [
        command(program, "artifacts", "show", lane["policy"], *store),
        command(program, "render", lane["profile"], "--output", "cameras.png"),
        command(program, "pipeline", "run", "-p", lane["profile"], *store),
    ]


def _has_screen() -> bool:
    """Return whether somebody sits before a screen here."""
    screen = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return screen and sys.stderr.isatty() and not os.environ.get("CI")


def _open(path: Path) -> None:
    """Open a file with what the desktop has for it; where there is nothing, its path is printed all the same.

    What opens it gets none of our streams: it lives on, and whoever reads them waits until all have closed them.
    """
    program = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if program is not None:
        none = subprocess.DEVNULL
        subprocess.Popen([program, str(path.absolute())], stdin=none, stdout=none, stderr=none, start_new_session=True)
