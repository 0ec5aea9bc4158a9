"""``calibrate-camera``: where the camera is, how sure that is, and whether it is good enough."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2rctl.cli.calibrate_check import GROUP, ModeOption, apply, check, work_of
from s2rctl.cli.calibrate_page import PageOption, shown
from s2rctl.cli.consent import ask
from s2rctl.cli.groups import register_group
from s2rctl.cli.output import Answer, facts, lines
from s2rctl.cli.session import (
    FreshOption,
    ProfileOption,
    SeedOption,
    Session,
    SetOption,
    register,
)

if TYPE_CHECKING:
    from s2rctl.operations.calibration.work import Work
    from s2rctl.schema.profile import Profile

FromOption = Annotated[
    Path | None, typer.Option("--from", help="Folder with pictures and poses.csv, instead of a robot.")
]
ArmOption = Annotated[bool, typer.Option("--arm", help="Let the command drive the real arm (live).")]
GuidedOption = Annotated[bool, typer.Option("--guided", help="A person moves the arm; the command only reads.")]
MeasuredOption = Annotated[
    float | None,
    typer.Option("--measured-mm", help="Measured side of one printed square in mm: measure ten, divide by ten."),
]


def add_to(app: typer.Typer) -> None:
    """Add the command group; without a sub-command it goes through all steps."""
    group = typer.Typer()
    register_group(group, "calibrate-camera")(calibrate_camera)
    for name, function in (
        ("board", board),
        ("intrinsics", intrinsics),
        ("collect", collect),
        ("solve", solve),
        ("check", check),
        ("apply", apply),
    ):
        register(group, name, "calibrate-camera")(function)
    app.add_typer(group, name="calibrate-camera")


def calibrate_camera(
    session: Session,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Profile: a name in profiles/ or a path.")
    ] = None,
    mode: ModeOption = "rehearse",
    source: FromOption = None,
    arm: ArmOption = False,
    guided: GuidedOption = False,
    page: PageOption = None,
    measured_mm: MeasuredOption = None,
    every: Annotated[
        bool, typer.Option("--every-camera", help="Calibrate all cameras of the policy, one after another.")
    ] = False,
    sets: SetOption = None,
    seed: SeedOption = None,
    fresh: FreshOption = False,
) -> Answer:
    """Run all steps in order: board, intrinsics, collect, solve, check, apply. Run it again to continue.

    In a rehearsal the robot's own driver talks to an emulated robot, and the board is rendered; the pipeline stage
    of the same name only draws the pictures. Exit code 5 if the gate is not met.

    Examples:
      s2rctl calibrate-camera -p xarm7-reach
      s2rctl calibrate-camera -p aloha --every-camera
      s2rctl calibrate-camera -p xarm7-reach --mode live --arm

    """
    from s2rctl.core.errors import UsageError

    if profile is None:
        raise UsageError("no profile given", f"{GROUP} -p xarm7-reach")
    loaded = session.load(profile, sets, seed).profile
    from s2rctl.core.interrupt import interruptible

    names = [camera.name for camera in loaded.vision.cameras] if every else [loaded.calibration.camera]
    made = []
    with interruptible() as interrupt:
        for name in names:
            settings = loaded.calibration.model_copy(update={"camera": name})
            work = work_of(session, loaded.model_copy(update={"calibration": settings}), interrupt, mode, source)
            _begin(work, fresh)
            _board_first(work, measured_mm)
            made.append(_all_steps(work, arm, guided, page))
    said = [line for _, text in made for line in text]
    first = made[0][0]
    following = f"{GROUP} check -p {profile}, then {GROUP} apply -p {profile} --ref {first['artifact'][:12]}"
    data = first if len(made) == 1 else {"cameras": {name: one for name, (one, _) in zip(names, made, strict=True)}}
    return Answer(data, lines([*said, f"next: {following}"]))


def _all_steps(work: "Work", arm: bool, guided: bool, page: str | None) -> tuple[dict[str, Any], list[str]]:
    """Collect and solve; return the data and what to say of it."""
    from s2rctl.operations.calibration import steps

    _drive(work, work.profile, arm, guided, page)
    artifact, found, values = steps.solve_views(work)
    data = {**values, "artifact": artifact.id, "ref": artifact.ref, "folder": str(work.session.folder)}
    return data, [f"{found.camera}: {found.verdict}", f"published {artifact.ref} {artifact.id[:12]}"]


def board(
    session: Session,
    profile: ProfileOption,
    measured_mm: MeasuredOption = None,
    mode: ModeOption = "live",
    sets: SetOption = None,
    fresh: FreshOption = False,
) -> Answer:
    """Write the board for printing (PDF with a ruler), then tell the size that was measured on the print.

    Examples:
      s2rctl calibrate-camera board -p xarm7-reach
      s2rctl calibrate-camera board -p xarm7-reach --measured-mm 29.8

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.calibration.work import make_board

    work = work_of(session, session.load(profile, sets, None).profile, Interrupt(), mode, None)
    _begin(work, fresh)
    data = make_board(work, None if measured_mm is None else measured_mm / 1000)
    todo = "measured size kept" if measured_mm else "print at 100 %, measure ten squares, tell with --measured-mm"
    return Answer(data, facts({"pdf": data["pdf"], "square": f"{data['square_mm']:g} mm", "next": todo}))


def intrinsics(
    session: Session,
    profile: ProfileOption,
    source: FromOption = None,
    mode: ModeOption = "live",
    sets: SetOption = None,
) -> Answer:
    """Measure the camera's focal lengths, principal point and distortion from pictures of the board, held by hand.

    A RealSense reports its own; a webcam needs this once per image size.

    Examples:
      s2rctl calibrate-camera intrinsics -p xarm7-reach --from pictures/
      s2rctl calibrate-camera intrinsics -p xarm7-reach

    """
    from s2rctl.core.interrupt import interruptible
    from s2rctl.operations.calibration import pictures, steps

    with interruptible() as interrupt:
        work = work_of(session, session.load(profile, sets, None).profile, interrupt, mode, source)
        lens, error = steps.measure_optics(work, pictures.for_optics(work))
    data = {**lens.model_dump(), "error_px": error}
    shown = {"focal": f"{lens.fx:.2f} {lens.fy:.2f} px", "principal point": f"{lens.cx:.2f} {lens.cy:.2f} px"}
    return Answer(data, facts({**shown, "error": f"{error:.3f} px"}))


def collect(
    session: Session,
    profile: ProfileOption,
    mode: ModeOption = "rehearse",
    source: FromOption = None,
    arm: ArmOption = False,
    guided: GuidedOption = False,
    page: PageOption = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    fresh: FreshOption = False,
) -> Answer:
    """Take views of the board: with the arm driven (--arm), moved by a person (--guided), or from a folder (--from).

    Each pose is chosen to be the most informative one next. Ctrl-C stops the arm; run it again to continue.

    Examples:
      s2rctl calibrate-camera collect -p xarm7-reach --mode live --arm
      s2rctl calibrate-camera collect -p aloha --from recorded/

    """
    from s2rctl.core.interrupt import interruptible

    loaded = session.load(profile, sets, seed).profile
    with interruptible() as interrupt:
        work = work_of(session, loaded, interrupt, mode, source)
        _begin(work, fresh)
        found = _drive(work, loaded, arm, guided, page)
    data = {"views": len(found.views), "rejected": found.rejected, "folder": str(work.session.folder)}
    return Answer(data, facts({"views": len(found.views), "not used": len(found.rejected), "folder": data["folder"]}))


def solve(
    session: Session,
    profile: ProfileOption,
    mode: ModeOption = "rehearse",
    source: FromOption = None,
    sets: SetOption = None,
    seed: SeedOption = None,
) -> Answer:
    """Solve for the camera's pose from the views so far, and publish it. Exit code 5 if the gate is not met.

    Examples:
      s2rctl calibrate-camera solve -p xarm7-reach --mode live
      s2rctl calibrate-camera solve -p aloha --mode live --set calibration.joint_offsets=true

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.calibration import steps

    work = work_of(session, session.load(profile, sets, seed).profile, Interrupt(), mode, source)
    artifact, found, values = steps.solve_views(work)
    data = {**values, "artifact": artifact.id, "ref": artifact.ref}
    return Answer(data, lines([found.verdict, f"published {artifact.ref} {artifact.id[:12]}"]))


def _begin(work: "Work", fresh: bool) -> None:
    if fresh and work.session.begun:
        work.session.clear()
    work.store.prepare()


def _board_first(work: "Work", measured_mm: float | None) -> None:
    """Write the board where that was not done; a live calibration needs a measured one."""
    from s2rctl.core.errors import UsageError
    from s2rctl.operations.calibration.work import make_board

    if measured_mm is not None or not work.session.begun:
        made = make_board(work, None if measured_mm is None else measured_mm / 1000)
        work.reporter.note(f"the board for printing: {made['pdf']}")
    if work.mode == "live" and not work.session.told().measured:
        raise UsageError(
            "the printed board has not been measured yet",
            f"print it at 100 %, measure ten squares, then {GROUP} board -p {work.profile.name} --measured-mm …",
        )


def _drive(work: "Work", profile: "Profile", arm: bool, guided: bool, page: str | None) -> Any:
    """Collect, after a person has agreed that the arm may move."""
    from s2rctl.core.errors import UsageError
    from s2rctl.operations.calibration import steps
    from s2rctl.operations.calibration.live import PICTURE

    if work.mode == "live" and not (arm or guided):
        raise UsageError(
            "live views need --arm (this command drives the arm, slowly) or --guided (you move it)",
            f"{GROUP} collect -p {profile.name} --mode live --guided",
        )
    if work.mode == "live":
        _board_first(work, None)
    if work.mode == "live" and arm and not guided:
        settings = profile.calibration
        ask(
            f"{profile.robot.name} at {profile.robot.place or 'unknown address'} will move through {settings.poses} "
            f"poses at up to {settings.joint_speed:g} rad/s, with the board.\nNobody within reach, a hand on the stop.",
            profile.robot.name,
            unasked="the arm moves only after somebody has agreed, and there is no terminal to ask on",
            refused="nothing was moved",
            command=f"{GROUP} collect -p {profile.name} --mode live --arm",
        )
    work.reporter.note(f"what the camera sees: {work.session.folder / PICTURE}")
    with shown(work, page) as (show, watch):
        found, _ = steps.collect_views(work, guided, show, watch)
    return found
