"""``emulate xarm7|aloha``: a robot that speaks the vendor's protocol, with MuJoCo as its body."""

from typing import Annotated, Literal

import typer

from s2rctl.cli.output import Answer
from s2rctl.cli.session import SeedOption, Session, register


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "emulate")(emulate)


def emulate(
    session: Session,
    robot: Annotated[Literal["xarm7", "aloha"], typer.Argument(help="Which robot.")],
    address: Annotated[str, typer.Option("--address", help="Address to listen on.")] = "127.0.0.1",
    seconds: Annotated[float | None, typer.Option("--seconds", help="Stop after this long (default: Ctrl-C).")] = None,
    seed: SeedOption = None,
) -> Answer:
    """Run a device emulator until Ctrl-C.

    Examples:
      s2rctl emulate xarm7
      s2rctl emulate aloha --seconds 60

    """
    from s2rctl.core.interrupt import interruptible
    from s2rctl.stages.emulate import run

    with interruptible() as interrupt:
        figures = run(robot, address, seconds, seed or 0, session.reporter, interrupt)
    return Answer(figures, f"{robot} emulator stopped")
