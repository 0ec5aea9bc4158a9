"""What a calibration has so far, on disk: killed at any time, it goes on where it was, without losing a view.

A view is its picture, then its numbers; one without numbers was cut off and is taken again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from pydantic import ValidationError

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.schema.base import Model, quantity
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.deployment import Board
from s2rctl.schema.profile import Profile

_Kind = TypeVar("_Kind", bound=Model)
STATE = "session.json"
OPTICS = "optics.json"
VIEWS = "views"


class Told(Model):
    """What all views of a session have in common."""

    schema_version: Literal[1] = 1
    mode: Literal["rehearse", "live", "folder"]
    profile: str
    robot: str
    camera: str
    board: Board
    measured: bool = quantity(False, "", "whether a person has measured the printed square")
    seed: int = 0
    robot_model: str = ""
    robot_serial: str = ""
    robot_firmware: str = ""
    robot_kinematics: tuple[float, ...] = quantity((), "", "the arm's own figures, as its controller gave them")
    camera_serial: str = ""


class Reading(Model):
    """Numbers of one view."""

    file: str
    t: float = quantity(..., "s", "when the picture was taken, clock of the computer")
    joints: tuple[float, ...] = quantity((), "rad", "all joints as the driver reads them (fingers in m)")
    speed: tuple[float, ...] = quantity((), "rad/s", "their speeds")
    pose: tuple[float, ...] = quantity((), "", "without joints: the hand in the base, 4 x 4, row by row, m")
    goal: tuple[float, ...] = quantity((), "rad", "where the arm was sent")


@dataclass(frozen=True)
class Stored:
    """One view with its picture."""

    number: int
    reading: Reading
    path: Path

    def image(self) -> np.ndarray:
        """Return the picture (H, W, 3) uint8; ArtifactError where it cannot be read."""
        return read_picture(self.path)

    @property
    def values(self) -> np.ndarray:
        """The joints (n,) or the hand's pose (4, 4)."""
        if self.reading.joints:
            return np.array(self.reading.joints)
        return np.array(self.reading.pose).reshape(4, 4)


class Session:
    """The folder of one calibration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def begun(self) -> bool:
        """Whether there is anything."""
        return (self.folder / STATE).is_file()

    def told(self) -> Told:
        """Return what is known; UsageError where nothing has begun, ArtifactError for a damaged file."""
        if not self.begun:
            raise UsageError(
                f"no calibration has begun in {self.folder}", "s2rctl calibrate-camera board -p PROFILE   (first step)"
            )
        return _load(self.folder / STATE, Told)

    def tell(self, told: Told) -> None:
        """Keep what is known."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / STATE, told.model_dump_json(indent=1).encode())

    def optics(self) -> Intrinsics | None:
        """Return the camera's figures that were measured here, if they were."""
        path = self.folder / OPTICS
        return _load(path, Intrinsics) if path.is_file() else None

    def keep_optics(self, lens: Intrinsics) -> None:
        """Keep the camera's figures."""
        write_atomic(self.folder / OPTICS, lens.model_dump_json(indent=1).encode())

    def views(self) -> list[Stored]:
        """Return all whole views, in order."""
        found = []
        for path in sorted((self.folder / VIEWS).glob("*.json")):
            picture = path.with_suffix(".png")
            if picture.is_file():
                found.append(Stored(int(path.stem), _load(path, Reading), picture))
        return found

    def add(self, image: np.ndarray, reading: Reading) -> Stored:
        """Keep a view."""
        numbers = [view.number for view in self.views()]
        number = max(numbers, default=-1) + 1
        path = self.folder / VIEWS / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, image)
        write_atomic(path.with_suffix(".json"), reading.model_dump_json(indent=1).encode())
        return Stored(number, reading, path)

    def note(self, name: str, values: Any) -> None:
        """Keep something else of the session as JSON, e.g. a rehearsal's truth."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / name, json.dumps(values, indent=1).encode())

    def noted(self, name: str) -> Any:
        """Return what was kept under a name, None where there is nothing."""
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def clear(self) -> None:
        """Forget everything."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def session_of(root: Path, profile: Profile, mode: str) -> Session:
    """Return the session of a profile's camera in a store's folder."""
    return Session(root / "calibration" / f"{profile.name}-{profile.calibration.camera}-{mode}")


def require_same(told: Told, profile: Profile, session: Session) -> None:
    """Raise UsageError for a session of another robot, camera or board than the profile's.

    So for one that rehearses with another seed: it has another camera in another place as its truth.
    """
    settings = profile.calibration
    for what, was, now in (
        *([("seed", told.seed, profile.seed)] if told.mode == "rehearse" else []),
        ("robot", told.robot, profile.robot.name),
        ("camera", told.camera, settings.camera),
        ("board's columns", told.board.columns, settings.board.columns),
        ("board's rows", told.board.rows, settings.board.rows),
    ):
        if was != now:
            raise UsageError(
                f"the calibration in {session.folder} has {was} as its {what}, the profile {now}",
                "start anew with --fresh, or use the profile that it was begun with",
            )


def read_picture(path: Path) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 RGB; ArtifactError where there is none."""
    if not path.is_file():
        raise ArtifactError(f"the picture {path} is missing", "copy it there, or leave its line out")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ArtifactError(f"{path} is not a picture, or is damaged", "take it again, or leave its line out")
    return np.ascontiguousarray(image[..., ::-1])


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8 RGB."""
    _, encoded = cv2.imencode(path.suffix, image[..., ::-1])
    write_atomic(path, encoded.tobytes())


def numbers(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Return plain numbers."""
    return tuple(float(value) for value in np.asarray(values).ravel())


def _load(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        return kind.model_validate_json(path.read_text())
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ArtifactError:
    first = str(error).splitlines()[0]
    return ArtifactError(f"{path} is damaged: {first}", "delete it, or start anew with --fresh")
