"""What every step of a calibration shares: the folder that remembers, the board and the camera's optics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from s2rctl.calibration.board import write_board
from s2rctl.calibration.intrinsics import from_fovy
from s2rctl.calibration.stand import Stand, stand_of
from s2rctl.core.errors import UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.operations.calibration.session import Session, Told, require_same, session_of
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.deployment import Board
from s2rctl.schema.profile import Profile
from s2rctl.store.store import Store
from s2rctl.systems import system_named

Mode = Literal["rehearse", "live", "folder"]
_LEAST_STRETCH, _MOST_STRETCH = 0.97, 1.03


@dataclass(frozen=True)
class Work:
    """What every step shares."""

    profile: Profile
    store: Store
    reporter: Reporter
    interrupt: Interrupt
    mode: Mode
    folder: Path | None = None  # of pictures recorded elsewhere

    @property
    def session(self) -> Session:
        """The folder of this calibration."""
        return session_of(self.store.root, self.profile, self.mode)

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.profile.seed


def stand_for(profile: Profile) -> Stand:
    """Return where the profile's camera is calibrated."""
    model = SCENES.load(system_named(profile.system).scene)(profile.simulation.timestep_s)
    safety = profile.calibration.safety(profile.deploy.safety)
    return stand_of(ROBOTS.load(profile.robot.name), model, profile.calibration.camera, safety)


def make_board(work: Work, measured_m: float | None = None) -> dict[str, Any]:
    """Write the board for printing and keep the size that a person measured on the print.

    Raises UsageError for a measured square that no printer makes of the profile's.
    """
    settings, session = work.profile.calibration, work.session
    board = settings.board
    if session.begun:
        require_same(session.told(), work.profile, session)
    if measured_m is not None:
        stretch = measured_m / board.square_m
        if not _LEAST_STRETCH < stretch < _MOST_STRETCH:
            raise UsageError(
                f"a square of {1000 * measured_m:g} mm is {stretch:.3f} times "
                f"the profile's {1000 * board.square_m:g} mm",
                "print at 100 % (not 'fit to page'); or is it another board? --set calibration.board.square_m=…",
            )
        board = board.model_copy(update={"square_m": measured_m, "marker_m": board.marker_m * stretch})
    png, pdf = write_board(settings.board, made(session.folder))
    told = session.told() if session.begun else _first(work, board)
    session.tell(told.model_copy(update={"board": board, "measured": measured_m is not None or told.measured}))
    return {"pdf": str(pdf), "png": str(png), "square_mm": 1000 * board.square_m, "measured": measured_m is not None}


def board_of(work: Work) -> Board:
    """Return the board with its measured size."""
    session = work.session
    if not session.begun:
        make_board(work)
    told = session.told()
    require_same(told, work.profile, session)
    return told.board


def given_optics(work: Work, stand: Stand) -> Intrinsics:
    """Return the figures that the profile or the scene has of the camera."""
    settings = work.profile.calibration
    device = work.profile.robot.cameras.get(settings.camera)
    if device is not None and device.intrinsics is not None:
        return device.intrinsics
    return from_fovy(settings.width, settings.height, float(stand.model.cam_fovy[stand.camera]))


def optics_of(work: Work, stand: Stand, own: Intrinsics | None) -> Intrinsics:
    """Return the camera's figures: measured in this session, else the device's own, else the profile's.

    UsageError where only the scene's would be left: they are a guess about a real camera.
    """
    measured = work.session.optics()
    if measured is not None:
        return measured
    if own is not None:
        work.session.keep_optics(own)
        return own
    device = work.profile.robot.cameras.get(work.profile.calibration.camera)
    if work.mode != "rehearse" and (device is None or device.intrinsics is None):
        raise UsageError(
            f"the intrinsics of the camera '{work.profile.calibration.camera}' are unknown",
            f"s2rctl calibrate-camera intrinsics -p {work.profile.name}   (measures them)",
        )
    return given_optics(work, stand)


def _first(work: Work, board: Board) -> Told:
    profile = work.profile
    return Told(
        mode=work.mode,
        profile=profile.name,
        robot=profile.robot.name,
        camera=profile.calibration.camera,
        board=board,
        seed=work.seed,
    )


def made(folder: Path) -> Path:
    """Return a folder, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder
