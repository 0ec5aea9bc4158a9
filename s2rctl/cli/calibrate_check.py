"""``calibrate-camera check`` and ``apply``: what is done with a calibration once it is there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from s2rctl.cli.consent import agree_to_diff
from s2rctl.cli.output import Answer, facts
from s2rctl.cli.session import ProfileOption, SeedOption, Session, SetOption

if TYPE_CHECKING:
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.calibration.work import Work
    from s2rctl.schema.profile import Profile

ModeOption = Annotated[
    Literal["rehearse", "live"],
    typer.Option("--mode", help="rehearse: emulated robot, rendered board; live: the real ones."),
]
GROUP = "s2rctl calibrate-camera"


def check(
    session: Session,
    profile: ProfileOption,
    ref: Annotated[
        str | None, typer.Option("--ref", help="Calibration (default: the profile's, else the latest).")
    ] = None,
    mode: ModeOption = "rehearse",
    picture: Annotated[
        Path | None, typer.Option("--picture", help="A picture to use instead of the camera's next one.")
    ] = None,
    sets: SetOption = None,
    seed: SeedOption = None,
) -> Answer:
    """Compare the robot's silhouette in a picture with a rendering at the current joint readings; needs no board.

    Exit code 5 when the camera has been moved since it was calibrated.

    Examples:
      s2rctl calibrate-camera check -p xarm7-reach --mode live
      s2rctl calibrate-camera check -p xarm7-reach --picture morning.png

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.calibration import guard

    work = work_of(session, session.load(profile, sets, seed).profile, Interrupt(), mode, None)
    data, fault = guard.check(work, ref, picture)
    return Answer(data, facts({name: data[name] for name in ("verdict", "picture")}), fault)


def apply(
    session: Session,
    profile: ProfileOption,
    ref: Annotated[str, typer.Option("--ref", help="Calibration: id or kind/name:alias.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    sets: SetOption = None,
) -> Answer:
    """Write the calibration's reference into the profile, after showing what changes.

    Examples:
      s2rctl calibrate-camera apply -p my-xarm.yaml --ref calibration/xarm7:latest

    """
    from s2rctl.operations.calibration import apply as applying

    loaded = session.load(profile, sets, None)
    plan = applying.plan(session.store(), loaded, profile, ref)
    if not plan.changes:
        return Answer({"changed": False, "calibration": plan.identity}, "the profile already names this calibration")
    if not yes:
        agree_to_diff(plan.diff, plan.path, f"{GROUP} apply -p {profile} --ref {ref or plan.identity[:12]} --yes")
    applying.write(plan)
    return Answer({"changed": True, "calibration": plan.identity, "path": str(plan.path), "diff": plan.diff}, plan.diff)


def work_of(session: Session, profile: "Profile", interrupt: "Interrupt", mode: Any, source: Path | None) -> "Work":
    """Return what the steps share."""
    from s2rctl.operations.calibration.work import Work

    return Work(profile, session.store(), session.reporter, interrupt, "folder" if source else mode, source)
