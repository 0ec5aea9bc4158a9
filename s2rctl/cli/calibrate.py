"""``calibrate-camera``: where the camera is, how sure that is, and whether it is good enough."""

from typing import Annotated, Literal

import typer

from s2rctl.cli.describe import outcome_answer
from s2rctl.cli.output import Answer
from s2rctl.cli.session import ForceOption, FreshOption, ProfileOption, SeedOption, Session, SetOption, register


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "calibrate-camera")(calibrate_camera)


def calibrate_camera(
    session: Session,
    profile: ProfileOption,
    mode: Annotated[
        Literal["rehearse", "live"], typer.Option("--mode", help="rehearse: rendered boards; live: the real camera.")
    ] = "rehearse",
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Find the camera's pose from pictures of a ChArUco board. Exit code 5 if the gate is not met.

    Examples:
      s2rctl calibrate-camera -p xarm7-reach
      s2rctl calibrate-camera -p aloha --set calibration.camera=wrist_cam_right

    """
    from s2rctl.core.errors import MissingEnvironmentError
    from s2rctl.pipeline.graph import graph_of, stage_named
    from s2rctl.pipeline.run import run_alone

    loaded = session.load(profile, sets, seed).profile
    if mode == "live":
        raise MissingEnvironmentError(
            f"this version has no driver for the real camera '{loaded.calibration.camera}'",
            f"rehearse on rendered boards: s2rctl calibrate-camera -p {loaded.name} --mode rehearse",
        )
    stage = stage_named(graph_of(loaded.system), "calibrate-camera")
    return outcome_answer(run_alone(stage, session.job(loaded, force, fresh), {}))
