"""``calibrate-camera``: where the camera is, how sure that is, and whether it is good enough."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from s2rctl.cli.consent import ask
from s2rctl.cli.output import Answer, facts, lines
from s2rctl.cli.session import (
    FreshOption,
    ProfileOption,
    SeedOption,
    Session,
    SetOption,
    register,
    register_group,
)

if TYPE_CHECKING:
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.calibration.steps import Work
    from s2rctl.schema.profile import Profile

ModeOption = Annotated[
    Literal["rehearse", "live"],
    typer.Option("--mode", help="rehearse: emulated robot, rendered board; live: the real ones."),
]
FromOption = Annotated[
    Path | None, typer.Option("--from", help="Folder with pictures and poses.csv, instead of a robot.")
]
ArmOption = Annotated[bool, typer.Option("--arm", help="Let the command drive the real arm (live).")]
GuidedOption = Annotated[bool, typer.Option("--guided", help="A person moves the arm; the command only reads.")]
MeasuredOption = Annotated[
    float | None,
    typer.Option("--measured-mm", help="Side of one printed square as measured: over ten, divided by ten."),
]
_FIRST = "s2rctl calibrate-camera"


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
    measured_mm: MeasuredOption = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    fresh: FreshOption = False,
) -> Answer:
    """Go through all steps in order: board, intrinsics, collect, solve, check, apply. Run again to go on.

    In a rehearsal the robot's own driver speaks to an emulated robot, and the board is rendered; the pipeline's stage
    of the same name draws the pictures only. Exit code 5 if the gate is not met.

    Examples:
      s2rctl calibrate-camera -p xarm7-reach
      s2rctl calibrate-camera -p aloha --set calibration.camera=wrist_cam_right
      s2rctl calibrate-camera -p xarm7-reach --mode live --arm

    """
    from s2rctl.core.errors import UsageError

    if profile is None:
        raise UsageError("which profile?", f"{_FIRST} -p xarm7-reach")
    loaded = session.load(profile, sets, seed).profile
    from s2rctl.core.interrupt import interruptible
    from s2rctl.operations.calibration import steps

    with interruptible() as interrupt:
        work = _work(session, loaded, interrupt, mode, source)
        _begin(work, fresh)
        _board_first(work, measured_mm)
        _drive(work, loaded, arm, guided)
        artifact, found, values = steps.solve_views(work)
    data = {**values, "artifact": artifact.id, "ref": artifact.ref, "folder": str(work.session.folder)}
    next_step = f"{_FIRST} check -p {profile}, then {_FIRST} apply -p {profile} --ref {artifact.id[:12]}"
    return Answer(data, lines([found.verdict, f"published {artifact.ref} {artifact.id[:12]}", f"next: {next_step}"]))


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
    from s2rctl.operations.calibration import steps

    work = _work(session, session.load(profile, sets, None).profile, Interrupt(), mode, None)
    _begin(work, fresh)
    data = steps.make_board(work, None if measured_mm is None else measured_mm / 1000)
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

    A RealSense states its own; a webcam needs this once for each size of picture.

    Examples:
      s2rctl calibrate-camera intrinsics -p xarm7-reach --from pictures/
      s2rctl calibrate-camera intrinsics -p xarm7-reach

    """
    from s2rctl.core.interrupt import interruptible
    from s2rctl.operations.calibration import pictures, steps

    with interruptible() as interrupt:
        work = _work(session, session.load(profile, sets, None).profile, interrupt, mode, source)
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
    sets: SetOption = None,
    seed: SeedOption = None,
    fresh: FreshOption = False,
) -> Answer:
    """Take views of the board: with the arm driven (--arm), moved by a person (--guided), or from a folder (--from).

    Each next pose is the one that tells most. Ctrl-C stops the arm; run again to go on.

    Examples:
      s2rctl calibrate-camera collect -p xarm7-reach --mode live --arm
      s2rctl calibrate-camera collect -p aloha --from recorded/

    """
    from s2rctl.core.interrupt import interruptible

    loaded = session.load(profile, sets, seed).profile
    with interruptible() as interrupt:
        work = _work(session, loaded, interrupt, mode, source)
        _begin(work, fresh)
        found = _drive(work, loaded, arm, guided)
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
    """Find the camera from the views so far and publish it. Exit code 5 if the gate is not met.

    Examples:
      s2rctl calibrate-camera solve -p xarm7-reach --mode live
      s2rctl calibrate-camera solve -p aloha --mode live --set calibration.joint_offsets=true

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.calibration import steps

    work = _work(session, session.load(profile, sets, seed).profile, Interrupt(), mode, source)
    artifact, found, values = steps.solve_views(work)
    data = {**values, "artifact": artifact.id, "ref": artifact.ref}
    return Answer(data, lines([found.verdict, f"published {artifact.ref} {artifact.id[:12]}"]))


def check(
    session: Session,
    profile: ProfileOption,
    ref: Annotated[
        str | None, typer.Option("--ref", help="Calibration (default: the profile's, else the last).")
    ] = None,
    mode: ModeOption = "rehearse",
    picture: Annotated[
        Path | None, typer.Option("--picture", help="A picture instead of the camera's next one.")
    ] = None,
    sets: SetOption = None,
    seed: SeedOption = None,
) -> Answer:
    """Compare the robot's silhouette in a picture with the render at the joints read now; no board is needed.

    Exit code 5 when the camera has been moved since it was calibrated.

    Examples:
      s2rctl calibrate-camera check -p xarm7-reach --mode live
      s2rctl calibrate-camera check -p xarm7-reach --picture morning.png

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.calibration import guard

    work = _work(session, session.load(profile, sets, seed).profile, Interrupt(), mode, None)
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
        ask(
            f"{plan.diff}\n{plan.path} will be changed.",
            "yes",
            unasked="the profile is changed only when somebody agrees, and there is no terminal to ask on",
            refused="nothing was written",
            command=f"{_FIRST} apply -p {profile} --ref {ref or plan.identity[:12]} --yes",
        )
    applying.write(plan)
    return Answer({"changed": True, "calibration": plan.identity, "path": str(plan.path), "diff": plan.diff}, plan.diff)


def _work(session: Session, profile: "Profile", interrupt: "Interrupt", mode: Any, source: Path | None) -> "Work":
    from s2rctl.operations.calibration.steps import Work

    return Work(profile, session.store(), session.reporter, interrupt, "folder" if source else mode, source)


def _begin(work: "Work", fresh: bool) -> None:
    if fresh and work.session.begun:
        work.session.clear()
    work.store.prepare()


def _board_first(work: "Work", measured_mm: float | None) -> None:
    """Write the board where that was not done; a live calibration needs a measured one."""
    from s2rctl.core.errors import UsageError
    from s2rctl.operations.calibration import steps

    if measured_mm is not None or not work.session.begun:
        made = steps.make_board(work, None if measured_mm is None else measured_mm / 1000)
        work.reporter.note(f"the board for printing: {made['pdf']}")
    if work.mode == "live" and not work.session.told().measured:
        raise UsageError(
            "nobody has measured the printed board yet",
            f"print it at 100 %, measure ten squares, then {_FIRST} board -p {work.profile.name} --measured-mm …",
        )


def _drive(work: "Work", profile: "Profile", arm: bool, guided: bool) -> Any:
    """Collect, after a person has agreed that the arm may move."""
    from s2rctl.core.errors import UsageError
    from s2rctl.operations.calibration import steps

    if work.mode == "live" and not (arm or guided):
        raise UsageError(
            "live views need --arm (this command drives the arm, slowly) or --guided (you move it)",
            f"{_FIRST} collect -p {profile.name} --mode live --guided",
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
            command=f"{_FIRST} collect -p {profile.name} --mode live --arm",
        )
    found, _ = steps.collect_views(work, guided)
    return found
