"""Collecting views: the next pose is the one that tells most, a bad view is told at once, nothing is ever lost."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from s2rctl.calibration import optics
from s2rctl.calibration.adjust import Free, Problem, State, View
from s2rctl.calibration.board import Detection
from s2rctl.calibration.chain import Chain, Geometry, Poses
from s2rctl.calibration.design import Chooser, Plan
from s2rctl.calibration.hand_eye import Solution, inner_joints
from s2rctl.calibration.quality import Judge, Judged, corners_of, coverage
from s2rctl.calibration.stand import Stand
from s2rctl.core.errors import RunError, SafetyStop
from s2rctl.core.progress import Reporter
from s2rctl.operations.calibration.session import Reading, Session, Stored
from s2rctl.operations.calibration.sources import Source, Taken, described
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.deployment import Calibration as Settings

MOST_REJECTED = 2
"""Rejected views per pose that is asked for, after which collecting ends."""
_PARTS = 48


@dataclass(frozen=True)
class Collected:
    """What a session has."""

    views: list[View]
    stored: list[Stored]
    rejected: dict[str, str]  # picture -> reason


@dataclass(frozen=True)
class Live:
    """What a person sees while collecting."""

    image: np.ndarray
    judged: Judged
    solution: Solution | None
    views: int
    wanted: int
    lens: Intrinsics
    reading: np.ndarray | None = None  # (n,) joints at the picture, None where only the hand's pose is known
    taken: tuple[Detection, ...] = ()  # corners of the views so far


def problem_of(stand: Stand, lens: Intrinsics, views: list[View], settings: Settings, joints: bool) -> Problem:
    """Return the problem of some views, with the unknowns that the profile asks for."""
    geometry: Geometry = stand.chain if joints else Poses(stand.in_hand)
    problem = Problem(lens, geometry, views)
    zeros = inner_joints(problem) if settings.joint_offsets and joints else ()
    moving = any(view.speed is not None and np.abs(view.speed).max() > 0.02 for view in views)
    return replace(problem, free=Free(4 if settings.optics == "refined" else 0, zeros, moving))


def gather(session: Session, settings: Settings, lens: Intrinsics) -> Collected:
    """Return the views that a session has, judged anew."""
    judge = Judge(settings.board, lens)
    views: list[View] = []
    kept: list[Stored] = []
    rejected: dict[str, str] = {}
    poses: list[np.ndarray] = []
    for stored in session.views():
        judged = judge.judge(stored.image(), poses)
        if not judged.good or judged.seen is None or judged.pose is None:
            rejected[stored.reading.file or stored.path.name] = judged.reason
            continue
        speed = np.array(stored.reading.speed) if stored.reading.speed else None
        views.append(View(judged.seen, stored.values, speed))
        kept.append(stored)
        poses.append(judged.pose)
    return Collected(views, kept, rejected)


def collect(
    session: Session,
    source: Source,
    stand: Stand,
    settings: Settings,
    lens: Intrinsics,
    reporter: Reporter,
    rng: np.random.Generator,
    show: Callable[[Live], None] = lambda live: None,
) -> Collected:
    """Take views until the session has ``settings.poses`` good ones; return all of them.

    Raises RunError when too many views are of no use, and whatever stops the source; what was taken is kept.
    """
    have = gather(session, settings, lens)
    judge = Judge(settings.board, lens)
    poses = [_pose(judge, stored) for stored in have.stored]
    chooser = _chooser(stand, settings, lens, rng) if source.chooses else None
    wrong: list[str] = []
    while len(have.views) < settings.poses or not source.chooses:
        solution = chooser.learn(have.views) if chooser else None
        wanted = _next(chooser, source, stand, settings) if chooser else None
        taken = source.take(wanted)
        if taken is None:
            break
        judged = judge.judge(taken.image, poses)
        seen = tuple(view.seen for view in have.views)
        show(Live(taken.image, judged, solution, len(seen), settings.poses, lens, taken.joints, seen))
        if not judged.good or judged.seen is None or judged.pose is None:
            where = taken.name or f"view {len(have.views) + 1}"
            reporter.note(f"{where}: not used, {judged.reason}")
            wrong.append(judged.reason)
            have.rejected[where] = judged.reason
            if source.chooses and len(wrong) > MOST_REJECTED * settings.poses:
                raise RunError(
                    f"{len(wrong)} views were unusable; the last one: {judged.reason}",
                    "look at the pictures: is the board flat, lit, whole and in the hand as the profile says?",
                )
            continue
        stored = session.add(taken.image, _reading(taken, wanted))
        speed = taken.speed
        have.views.append(View(judged.seen, stored.values, speed))
        have.stored.append(stored)
        poses.append(judged.pose)
        reporter.update(len(have.views), _figures(have, lens, solution))
    return have


def _chooser(stand: Stand, settings: Settings, lens: Intrinsics, rng: np.random.Generator) -> Chooser:
    board = settings.board
    plan = Plan(stand, board, corners_of(board), lens)
    zero = np.zeros(len(stand.chain.joints))
    state = State(stand.nominal_camera(), stand.nominal_board(board), optics.figures(lens), zero)
    return Chooser(plan, problem_of(stand, lens, [], settings, joints=True), state, rng)


def _next(chooser: Chooser, source: Source, stand: Stand, settings: Settings) -> np.ndarray:
    """Return the most telling pose to which a safe straight way leads, if need be by home."""
    here = source.where()
    for _, reading in chooser.ranked():
        if here is None or stand.safe_path(here, reading, settings.board):
            return reading
    if here is not None and np.abs(here - stand.home)[stand.moving].max() > 0.05:
        home = stand.home.copy()
        if stand.safe_path(here, home, settings.board):
            return home
    raise SafetyStop(
        "there is no safe path from here to a pose that shows the board", "move the arm to its home pose, then go on"
    )


def _pose(judge: Judge, stored: Stored) -> np.ndarray:
    judged = judge.judge(stored.image())
    return judged.pose if judged.pose is not None else np.eye(4)


def _reading(taken: Taken, wanted: np.ndarray | None) -> Reading:
    values = described(taken)
    goal = () if wanted is None else tuple(float(value) for value in wanted)
    return Reading(file=taken.name, t=taken.t, goal=goal, **values)


def _figures(have: Collected, lens: Intrinsics, solution: Solution | None) -> dict[str, float]:
    filled = (coverage([view.seen for view in have.views], lens.width, lens.height) > 0).sum() / _PARTS
    found = {"coverage": float(filled), "rejected": float(len(have.rejected))}
    if solution is not None:
        axes = np.linalg.eigvalsh(solution.covariance[:3, :3]) * solution.ellipsoid(3)
        found["ellipsoid_mm"] = 1000 * float(np.sqrt(axes[-1]))
        found["joint_noise_deg"] = float(np.rad2deg(solution.noise.joint))
    return found


def chain_with(specification: RobotSpecification, stand: Stand, figures: tuple[float, ...]) -> tuple[Stand, str, str]:
    """Return the stand with the arm's own link figures, whose they are, and a note for the person.

    Only the xArm's controller tells them; for other arms the published figures are all there is.
    """
    from s2rctl.robots import factory_chain

    own = factory_chain(specification, figures)
    if own is None:
        return (
            stand,
            "nominal",
            ("the link figures are nominal: the controller does not tell the arm's own; expect millimetres"),
        )
    arm = next(prefix for prefix in specification.arms if stand.model.body(stand.base).name.startswith(prefix))
    chain = Chain(own, arm, str(stand.model.body(stand.hand).name), stand.in_hand)
    return replace(stand, chain=chain), "factory", "the link figures are the arm's own, from its controller"
