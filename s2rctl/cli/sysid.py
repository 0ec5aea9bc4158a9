"""``sysid``: how a robot moves and how its cameras see, how sure that is, and what the next training makes of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from s2rctl.cli.calibrate_check import ModeOption
from s2rctl.cli.consent import agree_to_diff, ask
from s2rctl.cli.output import Answer, facts, lines, table
from s2rctl.cli.session import FreshOption, ProfileOption, SeedOption, Session, SetOption, register

if TYPE_CHECKING:
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.identification.work import Work
    from s2rctl.schema.profile import Profile

FromOption = Annotated[
    list[Path] | None, typer.Option("--from", help="Recordings (.mcap) of deployments instead. Repeatable.")
]
ArmOption = Annotated[bool, typer.Option("--arm", help="Let the command drive the real arm (live).")]
RefOption = Annotated[str, typer.Option("--ref", help="Identification: id or kind/name:alias.")]


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Identify how the robot moves (collect, solve, check) and its cameras (camera); apply.",
    )
    for name, function in (("collect", collect), ("solve", solve), ("check", check), ("camera", camera),
                           ("apply", apply)):  # fmt: skip
        register(group, name, "sysid")(function)
    app.add_typer(group, name="sysid")


def collect(
    session: Session,
    profile: ProfileOption,
    mode: ModeOption = "rehearse",
    arm: ArmOption = False,
    sets: SetOption = None,
    seed: SeedOption = None,
    fresh: FreshOption = False,
) -> Answer:
    """Record the robot while its joints sweep and step around home, through its driver and the safety filter.

    In a rehearsal the robot's own driver speaks to an emulated robot whose motors differ from the simulated ones.
    Ctrl-C stops the arm; run again to go on.

    Examples:
      s2rctl sysid collect -p aloha
      s2rctl sysid collect -p my-xarm.yaml --mode live --arm

    """
    from s2rctl.core.errors import UsageError
    from s2rctl.core.interrupt import interruptible
    from s2rctl.operations.identification.collect import collect as collecting

    loaded = session.load(profile, sets, seed).profile
    if mode == "live":
        if not arm:
            raise UsageError(
                "live recordings need --arm: this command drives the arm",
                f"s2rctl sysid collect -p {profile} --mode live --arm",
            )
        _agree(loaded, profile)
    with interruptible() as interrupt:
        data = collecting(_work(session, loaded, interrupt, mode, ()), fresh)
    limited = ", ".join(f"{name} {count}" for name, count in data["limited"].items()) or "nothing"
    shown = {"rounds": data["rounds"], "motion": f"{data['seconds']:.0f} s", "filter limited": limited}
    following = f"next: s2rctl sysid solve -p {profile}{' --mode live' if mode == 'live' else ''}"
    return Answer(data, f"{facts({**shown, 'folder': data['folder']})}\n{lines([following])}")


def solve(
    session: Session,
    profile: ProfileOption,
    mode: ModeOption = "rehearse",
    source: FromOption = None,
    sets: SetOption = None,
    seed: SeedOption = None,
) -> Answer:
    """Identify armature, damping, friction, gains, zeros and delay from the recordings, check them and publish.

    What the recordings cannot tell is left as it is and named. Exit code 5 if the gate is not met.

    Examples:
      s2rctl sysid solve -p aloha
      s2rctl sysid solve -p aloha --from run/episode-000.mcap --from run/episode-001.mcap

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.identification import steps

    loaded = session.load(profile, sets, seed).profile
    work = _work(session, loaded, Interrupt(), mode, source or ())
    work.store.prepare()
    artifact, found, values = steps.solve_recordings(work)
    data = {**values, "artifact": artifact.id, "ref": artifact.ref}
    told = lines([found.verdict, f"not told: {', '.join(values['not_told']) or 'nothing'}",
                  f"published {artifact.ref} {artifact.id[:12]}",
                  f"next: s2rctl sysid apply -p {profile} --ref {artifact.id[:12]}"])  # fmt: skip
    return Answer(data, told, steps.gate(found, loaded.identification))


def check(
    session: Session,
    profile: ProfileOption,
    ref: RefOption = "",
    mode: ModeOption = "rehearse",
    source: FromOption = None,
    sets: SetOption = None,
) -> Answer:
    """Replay the held-out part with the found parameters, one step ahead and all the way; exit code 5 if they fail.

    Examples:
      s2rctl sysid check -p aloha
      s2rctl sysid check -p my-xarm.yaml --ref identification/xarm7:latest --from today.mcap

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.identification import steps

    loaded = session.load(profile, sets, None).profile
    work = _work(session, loaded, Interrupt(), mode, source or ())
    artifact = steps.find(work, ref or None)
    data, fault = steps.check(work, steps.load(artifact))
    rows = [(joint, *values.values()) for joint, values in data["joints"].items()]
    header = ("joint, mrad", "all the way, before", "after", "one step, before", "after")
    shown = f"{table(header, rows)}\n{facts({'verdict': data['verdict'], 'plot': data['plot']})}"
    return Answer({**data, "artifact": artifact.id}, shown, fault)


def camera(
    session: Session,
    profile: ProfileOption,
    source: Annotated[
        Path, typer.Option("--from", help="Folder of PNG frames (colour 8-bit, depth 16-bit), or a recording (.mcap).")
    ],
    name: Annotated[
        list[str] | None, typer.Option("--camera", help="Camera (default: all that are shown). Repeatable.")
    ] = None,
    flat: Annotated[
        Path | None, typer.Option("--flat", help="Picture, or a folder of them, of an evenly lit plain surface.")
    ] = None,
    only: Annotated[
        Literal["both", "colour", "depth"], typer.Option("--only", help="Leave the other one aside.")
    ] = "both",
    sets: SetOption = None,
) -> Answer:
    """Identify noise, brightness and depth faults of cameras from frames of a still scene, and publish them.

    What the frames cannot tell is left as it is and named. Nothing may move, neither in the picture nor the camera.

    Examples:
      s2rctl sysid camera -p my-aloha.yaml --from still.mcap
      s2rctl sysid camera -p my-xarm.yaml --from frames/ --flat white.png

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.identification import camera as cameras
    from s2rctl.operations.identification.camera_page import row_of

    loaded = session.load(profile, sets, None).profile
    work = _work(session, loaded, Interrupt(), "recordings", ())
    work.store.prepare()
    artifact, found = cameras.identify_cameras(work, source, tuple(name or ()), flat, only)
    rows = [(one.camera, *row_of(row)) for one in found.cameras for row in one.figures]
    header = ("camera", "figure", "found", "95 % interval", "unit", "")
    following = [
        f"published {artifact.ref} {artifact.id[:12]}",
        f"next: s2rctl sysid apply -p {profile} --ref {artifact.id[:12]}",
    ]
    data = {**cameras.figures(found), "artifact": artifact.id, "ref": artifact.ref}
    return Answer(data, f"{table(header, rows)}\n{lines(following)}")


def apply(
    session: Session,
    profile: ProfileOption,
    ref: RefOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    sets: SetOption = None,
) -> Answer:
    """Write the found figures and how far they may be off into the profile, after showing what changes.

    Of cameras: the ranges of noise, brightness and depth faults; name their identification with --ref.

    Examples:
      s2rctl sysid apply -p my-aloha.yaml
      s2rctl sysid apply -p my-aloha.yaml --ref identification/aloha-cameras:latest
      s2rctl sysid apply -p my-xarm.yaml --ref identification/xarm7:latest --yes

    """
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.operations.calibration.apply import write
    from s2rctl.operations.identification import apply as applying

    loaded = session.load(profile, sets, None)
    work = _work(session, loaded.profile, Interrupt(), "rehearse", ())
    plan = applying.plan(work, loaded, profile, ref)
    if not plan.changes:
        return Answer({"changed": False, "identification": plan.identity}, "the profile already has these figures")
    if not yes:
        agree_to_diff(plan.diff, plan.path, f"s2rctl sysid apply -p {profile} --ref {ref or plan.identity[:12]} --yes")
    write(plan)
    data = {"changed": True, "identification": plan.identity, "path": str(plan.path), "diff": plan.diff}
    return Answer(data, plan.diff)


def _agree(loaded: "Profile", profile: str) -> None:
    """Ask whether the arm may move."""
    settings = loaded.identification
    ask(
        f"{loaded.robot.name} at {loaded.robot.place or 'unknown address'} will go home, then move every joint by up "
        f"to {settings.amplitude_rad:g} rad, at up to {settings.joint_speed:g} rad/s, for "
        f"{settings.rounds * settings.round_s:.0f} s.\nNobody within reach, a hand on the stop.",
        loaded.robot.name,
        unasked="the arm moves only after somebody has agreed, and there is no terminal to ask on",
        refused="nothing was moved",
        command=f"s2rctl sysid collect -p {profile} --mode live --arm",
    )


def _work(session: Session, profile: "Profile", interrupt: "Interrupt", mode: Any, files: Any) -> "Work":
    """Return what the steps share."""
    from s2rctl.operations.identification.work import Work

    return Work(profile, session.store(), session.reporter, interrupt, "recordings" if files else mode, tuple(files))
