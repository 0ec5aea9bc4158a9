"""``emulate xarm7|aloha``: a robot that speaks the vendor's protocol, with MuJoCo as its body."""

from pathlib import Path
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
    address: Annotated[
        str | None, typer.Option("--address", help="xarm7: address to listen on (default 127.0.0.1).")
    ] = None,
    ports: Annotated[
        Path | None, typer.Option("--ports", help="aloha: directory for stable names of both serial ports.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop after this long (default: Ctrl-C).", min=0, max=1e9)
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="NAME@SECONDS", help="Inject a fault at this time. Repeatable."),
    ] = None,
    seed: SeedOption = None,
) -> Answer:
    """Run a device emulator until Ctrl-C.

    Faults of the aloha (left arm): silence, corrupt, slow, missing, overload, unplug; of the xarm7: silence,
    disconnect, collision, boundary.

    Examples:
      s2rctl emulate xarm7
      s2rctl emulate aloha --ports /tmp/aloha --seconds 60 --fault overload@20

    """
    from s2rctl.core.interrupt import interruptible
    from s2rctl.emulation.emulate import run

    del seed  # nothing random is left to choose; scripts that pass it keep working
    with interruptible() as interrupt:
        figures = run(robot, address, ports, seconds, fault or (), session.reporter, interrupt)
    return Answer(figures, f"{robot} emulator stopped")
