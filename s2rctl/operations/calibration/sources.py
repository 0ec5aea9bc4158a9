"""Where views come from: one protocol, whether an arm is driven, a person moves it, or a folder has them all."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.core.spatial import to_matrix, transform
from s2rctl.operations.calibration.session import numbers, read_picture
from s2rctl.robots.protocol import Identity, RobotSpecification
from s2rctl.schema.cameras import Intrinsics

POSE_COLUMNS = ("x", "y", "z", "qw", "qx", "qy", "qz")
TABLE = "poses.csv"
_LARGEST_M = 5.0


@dataclass(frozen=True)
class Taken:
    """One picture and the robot's reading."""

    image: np.ndarray  # (H, W, 3) uint8
    t: float  # s
    joints: np.ndarray | None = None  # (n,)
    speed: np.ndarray | None = None
    pose: np.ndarray | None = None  # (4, 4) hand in the base, where joints are not known
    name: str = ""


class Source(Protocol):
    """Delivers views."""

    identity: Identity
    camera_serial: str
    lens: Intrinsics | None  # the camera's own figures, where it states them
    chooses: bool  # whether it can be asked for a pose

    def where(self) -> np.ndarray | None:
        """Return the reading (n,) at which the robot stands, None where there is no robot."""

    def take(self, wanted: np.ndarray | None) -> Taken | None:
        """Bring the robot to a reading (n,) and return the view there, or the next one; None when there are no more."""

    def close(self) -> None:
        """Let go of everything."""


class Folder:
    """Pictures and poses recorded elsewhere.

    ``poses.csv`` has a column ``image`` and either the robot's joints by name (rad, m), or x, y, z (m) and qw, qx, qy,
    qz of the hand in the base.
    """

    chooses = False

    def __init__(self, folder: Path, specification: RobotSpecification) -> None:
        """Raise UsageError for a table that cannot be what it says, ArtifactError for a missing file."""
        self.identity = Identity(specification.name, "", "")
        self.camera_serial = ""
        self.lens: Intrinsics | None = None
        self._folder = folder
        table = folder / TABLE
        if not table.is_file():
            raise ArtifactError(f"there is no {table}", f"write one: image,{','.join(POSE_COLUMNS)} or image,<joints>")
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ArtifactError(f"{table} cannot be read: {error}", "write it as text with commas") from error
        columns = list(rows[0]) if rows else []
        self._joints = all(joint in columns for joint in specification.joints if "finger" not in joint)
        if "image" not in columns or not (self._joints or set(POSE_COLUMNS) <= set(columns)):
            raise UsageError(
                f"{table} has the columns {', '.join(map(str, columns)) or 'none'}",
                f"it needs image and {', '.join(POSE_COLUMNS)} (m), or image and "
                f"{', '.join(specification.joints[:3])}, … (rad) of the {specification.name}",
            )
        self._specification = specification
        self._rows = [(number, row) for number, row in enumerate(rows, 2)]
        self._table = table
        for number, row in self._rows:
            self._reading(number, row)
        self._next = 0

    def where(self) -> np.ndarray | None:
        """Return None."""
        return None

    def take(self, wanted: np.ndarray | None) -> Taken | None:
        """Return the next view."""
        if self._next >= len(self._rows):
            return None
        number, row = self._rows[self._next]
        self._next += 1
        name = str(row["image"])
        path = self._folder / name
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise UsageError(f"{self._table}:{number}: {name} is outside the folder", "copy the pictures into it")
        image = read_picture(path)
        reading = self._reading(number, row)
        if self._joints:
            return Taken(image, float(number), joints=reading, speed=np.zeros_like(reading), name=name)
        return Taken(image, float(number), pose=reading, name=name)

    def close(self) -> None:
        """Nothing is open."""

    def _reading(self, number: int, row: dict[str, str]) -> np.ndarray:
        return self._joint_row(number, row) if self._joints else self._pose_row(number, row)

    def _joint_row(self, number: int, row: dict[str, str]) -> np.ndarray:
        spec = self._specification
        home = spec.joints_from_targets(np.array(spec.home))
        values = np.array(
            [self._number(number, row, joint) if row.get(joint) else home[i] for i, joint in enumerate(spec.joints)]
        )
        low, high = np.array(spec.joint_low) - 0.1, np.array(spec.joint_high) + 0.1
        outside = np.flatnonzero((values < low) | (values > high))
        if len(outside):
            joint = int(outside[0])
            raise UsageError(
                f"{self._table}:{number}: joint '{spec.joints[joint]}' is {values[joint]:g}, its range is "
                f"{spec.joint_low[joint]:.3g} to {spec.joint_high[joint]:.3g} rad",
                "joints are in radians: multiply degrees by 0.0174533; check the joints' order, too",
            )
        return values

    def _pose_row(self, number: int, row: dict[str, str]) -> np.ndarray:
        x, y, z, *quaternion = (self._number(number, row, column) for column in POSE_COLUMNS)
        if max(abs(x), abs(y), abs(z)) > _LARGEST_M:
            raise UsageError(
                f"{self._table}:{number}: the hand is {max(abs(x), abs(y), abs(z)):g} m away",
                "positions are in metres: divide millimetres by 1000",
            )
        length = math.sqrt(sum(value * value for value in quaternion))
        if not 0.99 < length < 1.01:
            raise UsageError(
                f"{self._table}:{number}: the quaternion has length {length:.3g}, not 1",
                "write qw, qx, qy, qz; roll, pitch and yaw must be converted first",
            )
        return transform((x, y, z), to_matrix(quaternion))

    def _number(self, number: int, row: dict[str, str], column: str) -> float:
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(
                f"{self._table}:{number}: {column} is not a number ({row[column]!r})", "write it with a decimal point"
            )
        return value


def described(taken: Taken) -> dict[str, tuple[float, ...]]:
    """Return the numbers of a view for its file."""
    names = {"joints": taken.joints, "speed": taken.speed, "pose": taken.pose}
    return {name: numbers(values) for name, values in names.items() if values is not None}
