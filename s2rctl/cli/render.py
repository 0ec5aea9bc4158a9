"""``render REF|PROFILE``: a look at what the policy's cameras see."""

from pathlib import Path
from typing import Annotated

import typer

from s2rctl.cli.output import Answer
from s2rctl.cli.session import SeedOption, Session, SetOption, register


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "render")(render)


def render(
    session: Session,
    what: Annotated[str, typer.Argument(metavar="PROFILE|REF", help="A profile, or an artifact (its profile).")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG file (default: ./NAME-cameras.png).")
    ] = None,
    worlds: Annotated[int, typer.Option("--worlds", help="Randomised worlds to show.", min=1, max=32)] = 6,
    sets: SetOption = None,
    seed: SeedOption = None,
) -> Answer:
    """Write a contact sheet of the policy cameras: clean, and randomised as in training.

    Examples:
      s2rctl render aloha
      s2rctl render onnx/xarm7-reach -o cameras.png --seed 3

    """
    from s2rctl.core.atomic import is_stdout
    from s2rctl.core.errors import ArtifactError, ProfileError, UsageError
    from s2rctl.schema.load import load_resolved

    try:
        profile = session.load(what, sets, seed).profile
    except ProfileError as error:
        if not error.message.startswith("there is no profile"):
            raise
        try:
            artifact = session.store().resolve(what)
        except (ArtifactError, UsageError):
            raise error from None
        profile = load_resolved(artifact.manifest.content.profile, sets or (), seed).profile
    from s2rctl.evaluation.camera_sheet import contact_sheet

    path = output or Path(f"{profile.name}-cameras.png")
    cameras = contact_sheet(profile, path, worlds)
    data = {"path": str(path), "cameras": list(cameras), "worlds": worlds}
    return Answer(data, str(path), stdout_taken=is_stdout(path))
