"""The steps of a calibration, each of which goes on where it was: board, optics, views, solution, check."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.calibration.hand_eye import Solution, check, solve
from s2rctl.calibration.intrinsics import calibrate_intrinsics
from s2rctl.calibration.quality import Judge
from s2rctl.calibration.rehearse import Truth
from s2rctl.calibration.stand import Stand
from s2rctl.core.clock import Clock, RealClock
from s2rctl.core.errors import RunError, S2rError, UsageError
from s2rctl.operations.calibration.collect import Collected, Live, chain_with, collect, gather, problem_of
from s2rctl.operations.calibration.diagnose import explain
from s2rctl.operations.calibration.page import PAGE, write_page
from s2rctl.operations.calibration.result import (
    Origin,
    calibration_of,
    figures,
    gate,
    write_calibration,
    write_pictures,
)
from s2rctl.operations.calibration.session import Session
from s2rctl.operations.calibration.sources import Folder, Source
from s2rctl.operations.calibration.work import Work, board_of, given_optics, made, optics_of, stand_for
from s2rctl.robots.protocol import Identity
from s2rctl.schema.calibration import Calibration
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Artifact
from s2rctl.systems import system_named

TRUTH = "truth.json"


def measure_optics(work: Work, images: list[np.ndarray]) -> tuple[Intrinsics, float]:
    """Return the camera's figures from pictures of the board and their error (px); they are kept in the session."""
    judge = Judge(board_of(work), None)
    judged = [judge.judge(image) for image in images]
    good = [found.seen for found in judged if found.good and found.seen is not None]
    for number, found in enumerate(judged):
        if not found.good:
            work.reporter.note(f"picture {number + 1}: not used, {found.reason}")
    if not good:
        raise RunError("no picture shows the board well enough", "take pictures in which the whole board is sharp")
    height, width = images[0].shape[:2]
    lens, error = calibrate_intrinsics(good, width, height)
    work.session.keep_optics(lens)
    return lens, error


@contextlib.contextmanager
def opened(
    work: Work,
    stand: Stand,
    say: Callable[[str], None],
    guided: bool,
    watch: Callable[[np.ndarray], None] | None = None,
) -> Iterator[Source]:
    """Open the source of views that the mode asks for; ``watch`` is given every picture of the camera."""
    profile, settings = work.profile, work.profile.calibration
    if work.mode == "folder":
        if work.folder is None:
            raise UsageError("no folder given", "--from FOLDER with pictures and poses.csv")
        yield Folder(work.folder, stand.specification)
        return
    from s2rctl.operations.calibration.arm import Driven, Eye, Guided, Watched
    from s2rctl.robots import make_joint_driver

    clock: Clock = RealClock()
    safety, period = settings.safety(profile.deploy.safety), profile.simulation.period_s
    with contextlib.ExitStack() as stack:
        if work.mode == "rehearse":
            from s2rctl.operations.calibration.rehearsal import Emulated, truth_note

            emulated = Emulated(profile, stand, given_optics(work, stand), clock, work.seed)
            stack.callback(emulated.close)
            work.session.note(TRUTH, truth_note(emulated.truth))
            robot, eye = emulated.robot, emulated.eye
        else:
            from s2rctl.operations.calibration.eyes import open_eye

            eye = open_eye(profile)  # type: ignore[assignment]
            robot = make_joint_driver(profile.robot, safety, period, watch=guided)  # type: ignore[assignment]
        looking: Eye = eye if watch is None else Watched(eye, watch)
        source: Source
        try:
            if guided:
                source = Guided(robot, looking, clock, work.interrupt, say, settle_s=settings.settle_s)
            else:
                source = Driven(
                    robot, looking, safety, clock, work.interrupt, period_s=period, settle_s=settings.settle_s
                )
        except BaseException:
            with contextlib.suppress(S2rError, OSError):
                robot.close()
            looking.close()
            raise
        stack.callback(source.close)
        yield source


def collect_views(
    work: Work,
    guided: bool = False,
    show: Callable[[Live], None] = lambda live: None,
    watch: Callable[[np.ndarray], None] | None = None,
) -> tuple[Collected, str]:
    """Take the views that are still missing; return all, and whose link figures the poses come from.

    ``show`` is told of every view, ``watch`` of every picture (H, W, 3) in between while the arm stands or is guided.
    """
    session, settings = work.session, _measured(work)
    stand = stand_for(work.profile)
    work.reporter.start("collect", settings.poses, "views")
    with opened(work, stand, work.reporter.note, guided, watch) as source:
        _require_same_devices(session, source.identity, source.camera_serial)
        stand, whose, note = chain_with(stand.specification, stand, source.identity.kinematics)
        work.reporter.note(note)
        told = session.told()
        session.tell(
            told.model_copy(
                update={
                    "robot_model": source.identity.model,
                    "robot_serial": source.identity.serial,
                    "robot_firmware": source.identity.firmware,
                    "robot_kinematics": source.identity.kinematics,
                    "camera_serial": source.camera_serial,
                }
            )
        )
        lens = optics_of(work, stand, source.lens)
        # a resumed session draws other candidates than those it has already used
        rng = np.random.default_rng([work.seed, len(session.views())])
        found = collect(session, source, stand, settings, lens, work.reporter, rng, show)
    return found, whose


def solve_views(work: Work) -> tuple[Artifact, Calibration, dict[str, Any]]:
    """Solve what the session has and publish it; GateError when the profile's gate is not met."""
    begun = time.monotonic()
    session, settings = work.session, _measured(work)
    told = session.told()
    stand = stand_for(work.profile)
    stand, whose, _ = chain_with(stand.specification, stand, told.robot_kinematics)
    lens = optics_of(work, stand, None)
    have = gather(session, settings, lens)
    for name, reason in have.rejected.items():
        work.reporter.note(f"{name}: not used, {reason}")
    joints = all(stored.reading.joints for stored in have.stored)
    problem = problem_of(stand, lens, have.views, settings, joints)
    solution = _solved(problem)
    names = tuple(stored.reading.file or stored.path.name for stored in have.stored)
    for number in solution.left_out:
        work.reporter.note(f"{names[number]}: left out, it contradicts the other views")
    truth = _truth(session)
    checked = check(solution, seed=work.seed)
    origin = Origin(
        work.mode, work.profile.robot.name, time.time(), told.camera_serial, told.robot_serial, told.robot_model,
        whose, names, truth,
    )  # fmt: skip
    found = calibration_of(stand, settings, solution, checked, origin)
    values = figures(found, solution, truth)
    images = [stored.image() for stored in have.stored]
    files = write_pictures(made(session.folder / "solution"), settings, solution, checked, found, images)
    files["calibration.json"] = write_calibration(session.folder / "solution", found)
    files[PAGE] = write_page(session.folder / "solution", found, files)
    gate(found, settings, values)
    artifact = publish(work, files, values | {"mode": work.mode}, time.monotonic() - begun)
    return artifact, found, values


def publish(work: Work, files: dict[str, Path], values: dict[str, Any], seconds: float) -> Artifact:
    """Publish a calibration and point its refs at it."""
    profile = work.profile
    name = system_named(profile.system).output
    artifact = work.store.publish(
        "calibration",
        name,
        files,
        stage=StageRef(name="calibrate-camera", version=2),
        profile=profile.model_dump(mode="json"),
        seed=work.seed,
        metrics=values,
        duration_s=seconds,
    )
    for alias in ("latest", profile.name, profile.calibration.camera):
        work.store.set_ref(f"{artifact.ref}:{alias}", artifact.id, f"calibrate-camera of profile {profile.name}")
    return artifact


def _solved(problem: Any) -> Solution:
    try:
        return solve(problem)
    except RunError as error:
        reason = explain(problem)
        if reason:
            raise RunError(f"{error.message}; {reason[0]}", reason[1]) from error
        raise


def _require_same_devices(session: Session, identity: Identity, camera: str) -> None:
    """Raise UsageError when a resumed session would mix two robots or two cameras."""
    told = session.told()
    if not session.views():
        return
    for what, was, now in (("robot", told.robot_serial, identity.serial), ("camera", told.camera_serial, camera)):
        if was and now and was != now and told.mode == "live":
            raise UsageError(
                f"the views so far come from the {what} {was}, but this is {now}",
                "connect that one, or start anew with --fresh",
            )


def _truth(session: Session) -> Truth | None:
    noted = session.noted(TRUTH)
    return None if noted is None else Truth(np.array(noted["camera"]), np.array(noted["board"]))


def _measured(work: Work) -> Any:
    """Return the profile's settings with the board as it was measured."""
    return work.profile.calibration.model_copy(update={"board": board_of(work)})
