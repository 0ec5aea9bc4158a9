"""``robot recover``: clear a robot's errors, which nothing else does."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from s2rctl.cli.output import Answer, facts
from s2rctl.cli.session import ProfileOption, Session, SetOption, register

if TYPE_CHECKING:
    from s2rctl.schema.profile import Profile

WARNING = {
    "aloha": "A motor with an error restarts without torque: its joint drops. Hold the arms with your hands.",
    "xarm7": "The motors are switched on again where the arm stands. Nobody within reach.",
}


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Look after the real robot.")
    register(group, "recover", "robot")(recover)
    app.add_typer(group, name="robot")


def recover(
    session: Session,
    profile: ProfileOption,
    sets: SetOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> Answer:
    """Clear the errors of a stopped robot and let it hold its position. Find the cause first.

    Examples:
      s2rctl robot recover -p aloha
      s2rctl robot recover -p xarm7-reach --set robot.address=192.168.1.203

    """
    from s2rctl.stages.recover import run

    chosen = session.load(profile, sets, None).profile
    _consent(chosen, yes, f"s2rctl robot recover -p {profile} --yes")
    data = run(chosen, session.reporter)
    return Answer(data, facts({"robot": data["robot"], "errors": ", ".join(data["codes"]) or "none"}))


def _consent(profile: "Profile", yes: bool, command: str) -> None:
    """Let a person confirm; UsageError when nobody is there to ask."""
    from s2rctl.core.errors import UsageError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("recovering asks before motors restart, and there is no terminal to ask on", command)
    name = profile.robot.name
    typer.echo(f"{WARNING[name]}\nType {name} to go on: ", nl=False, err=True)
    if sys.stdin.readline().strip() != name:
        raise UsageError("not confirmed; nothing was cleared", command)
