"""``robot recover``: clear a robot's errors, which nothing else does."""

from typing import Annotated

import typer

from s2rctl.cli.consent import ask
from s2rctl.cli.output import Answer, facts
from s2rctl.cli.session import ProfileOption, Session, SetOption, register


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Service the real robot.")
    register(group, "recover", "robot")(recover)
    app.add_typer(group, name="robot")


def recover(
    session: Session,
    profile: ProfileOption,
    sets: SetOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> Answer:
    """Clear the errors of a stopped robot and let it hold its position. Find the cause first.

    Examples:
      s2rctl robot recover -p aloha
      s2rctl robot recover -p xarm7-reach --set robot.address=192.168.1.203

    """
    from s2rctl.robots.recover import run

    chosen = session.load(profile, sets, None).profile
    if not yes:
        ask(
            chosen.robot.recovery_warning,
            chosen.robot.name,
            unasked="recovering asks before motors restart, and there is no terminal to ask on",
            refused="nothing was cleared",
            command=f"s2rctl robot recover -p {profile} --yes",
        )
    data = run(chosen, session.reporter)
    return Answer(data, facts({"robot": data["robot"], "errors": ", ".join(data["codes"]) or "none"}))
