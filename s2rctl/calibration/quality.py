"""Is a picture of the board good enough, and does it add anything? Judged at once, so that it can be taken again."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from s2rctl.calibration import optics
from s2rctl.calibration.board import BoardDetector, Detection, make_board
from s2rctl.calibration.closed_form import apart
from s2rctl.calibration.hand_eye import board_in_camera
from s2rctl.core.errors import RunError, S2rError, UsageError
from s2rctl.schema.calibration import Intrinsics
from s2rctl.schema.deployment import Board

BLURRED_PX = 3.0
"""Width of an edge above which corners are found to tenths of a pixel no more; a sharp edge is 1 to 2 wide."""
LEAST_CONTRAST = 40.0
"""Grey levels between black and white squares."""
SAME_M, SAME_RAD = 0.015, 0.06
"""A view of a board that stands nearer than this to an earlier one tells nothing new."""
UNLIKE_PX = 2.5
"""Distance of corners from those of a flat board of the profile's pattern, root mean square, that no camera has."""
_PROFILE_PX = 6.0


@dataclass(frozen=True)
class Judged:
    """A picture with its corners, or the reason why it is of no use."""

    seen: Detection | None
    pose: np.ndarray | None = None  # (4, 4) board in the camera
    edge_px: float = 0.0
    residual_px: float = 0.0
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether it can be used."""
        return not self.reason


class Judge:
    """Judges pictures of one board by one camera; raises for what a person has to change."""

    def __init__(self, board: Board, lens: Intrinsics | None) -> None:
        """``lens`` is None while it is being measured."""
        self._board, self._lens = board, lens
        self._detector = BoardDetector(board)

    def judge(self, image: np.ndarray, before: Sequence[np.ndarray] = ()) -> Judged:
        """Judge a picture (H, W, 3) uint8; ``before`` are the board's poses (4, 4) in earlier ones.

        Raises UsageError for pictures of another size, mirrored pictures and boards of another pattern.
        """
        lens = self._lens
        if lens is not None and image.shape[:2] != (lens.height, lens.width):
            raise UsageError(
                f"the picture is {image.shape[1]} x {image.shape[0]}, the camera's intrinsics are for "
                f"{lens.width} x {lens.height}",
                "take pictures and intrinsics at one size: calibration.width and calibration.height",
            )
        seen = self._detector.detect(image)
        if seen is None:
            self._require_this_board(image)
            return Judged(None, reason="the board is not in sight, or too blurred, or less than 8 of its corners are")
        edge, contrast = sharpness(image, seen, self._board)
        if contrast < LEAST_CONTRAST:
            return Judged(seen, edge_px=edge, reason=f"too little contrast on the board ({contrast:.0f} grey levels)")
        if edge > BLURRED_PX:
            return Judged(seen, edge_px=edge, reason=f"blurred: edges are {edge:.1f} px wide")
        if lens is None:
            return Judged(seen, edge_px=edge)
        pose = board_in_camera(lens, seen)
        residual = _residual(lens, seen, pose)
        if residual > UNLIKE_PX:
            self._require_this_board(image, always=True)
            return Judged(seen, pose, edge, residual, f"its corners are {residual:.1f} px from those of a flat board")
        if any(_same(pose, other) for other in before):
            return Judged(seen, pose, edge, residual, "the board stands as in an earlier picture")
        return Judged(seen, pose, edge, residual)

    def _require_this_board(self, image: np.ndarray, always: bool = False) -> None:
        """Raise UsageError where another reading of the picture shows a board."""
        if _fits(self._detector, np.ascontiguousarray(image[:, ::-1]), self._lens):
            raise UsageError(
                "the picture is mirrored", "switch mirroring off in the camera's settings, or in what recorded it"
            )
        board = self._board
        if board.columns != board.rows:
            turned = board.model_copy(update={"columns": board.rows, "rows": board.columns})
            if _fits(BoardDetector(turned), image, self._lens):
                raise UsageError(
                    f"the board has {board.rows} columns and {board.columns} rows, the profile says the opposite",
                    f"--set calibration.board.columns={board.rows} --set calibration.board.rows={board.columns}",
                )
        if always:
            raise UsageError(
                f"the board in the picture is not a {board.columns} x {board.rows} board of s2rctl",
                "print it with s2rctl calibrate-camera board; other programs number the markers differently",
            )


def sharpness(image: np.ndarray, seen: Detection, board: Board) -> tuple[float, float]:
    """Return the median width (px) of edges between squares, and the contrast (grey levels) across them.

    Half-way between two neighbouring corners there is one edge and nothing else; its width is the contrast over the
    steepest slope.
    """
    grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image).astype(np.float32)
    places = dict(zip(seen.ids.tolist(), seen.pixels, strict=True))
    columns = board.columns - 1
    widths, contrasts = [], []
    for number, place in places.items():
        right = places.get(number + 1) if (number + 1) % columns else None
        for other in (right, places.get(number + columns)):
            if other is None:
                continue
            way = other - place
            length = float(np.linalg.norm(way))
            normal = np.array([-way[1], way[0]]) / max(length, 1e-9)
            reach = min(_PROFILE_PX, 0.35 * length)
            steps = np.arange(-reach, reach + 0.25, 0.5)
            points = (place + way / 2 + steps[:, None] * normal).astype(np.float32)
            line = cv2.remap(grey, points[:, 0][None], points[:, 1][None], cv2.INTER_LINEAR)[0]
            contrast = float(line.max() - line.min())
            slope = float(np.abs(np.gradient(line, 0.5)).max())
            contrasts.append(contrast)
            widths.append(contrast / max(slope, 1e-6))
    if not widths:
        return 0.0, 0.0
    return float(np.median(widths)), float(np.median(contrasts))


def coverage(views: Sequence[Detection], width: int, height: int, columns: int = 8, rows: int = 6) -> np.ndarray:
    """Return how many corners (rows, columns) fell into each part of the picture."""
    counts = np.zeros((rows, columns), int)
    for view in views:
        x = np.clip((view.pixels[:, 0] / width * columns).astype(int), 0, columns - 1)
        y = np.clip((view.pixels[:, 1] / height * rows).astype(int), 0, rows - 1)
        np.add.at(counts, (y, x), 1)
    return counts


def corners_of(board: Board) -> np.ndarray:
    """Return all corners (n, 3) m of a board."""
    return np.asarray(make_board(board).getChessboardCorners(), float)


def _fits(detector: BoardDetector, image: np.ndarray, lens: Intrinsics | None) -> bool:
    """Return whether a picture shows the detector's board, and as a flat board looks."""
    seen = detector.detect(image)
    if seen is None:
        return False
    if lens is None:
        homography, _ = cv2.findHomography(seen.points[:, :2], seen.pixels, 0)
        if homography is None:
            return False
        found = cv2.perspectiveTransform(seen.points[None, :, :2], homography)[0]
        return bool(np.sqrt(((found - seen.pixels) ** 2).sum(axis=1).mean()) < UNLIKE_PX)
    try:
        return _residual(lens, seen, board_in_camera(lens, seen)) < UNLIKE_PX
    except (S2rError, cv2.error, RunError):
        return False


def _residual(lens: Intrinsics, seen: Detection, pose: np.ndarray) -> float:
    pixels, _, _ = optics.project(optics.figures(lens), seen.points @ pose[:3, :3].T + pose[:3, 3])
    return float(np.sqrt(((pixels - seen.pixels) ** 2).sum(axis=1).mean()))


def _same(pose: np.ndarray, other: np.ndarray) -> bool:
    metres, radians = apart(pose, other)
    return metres < SAME_M and radians < SAME_RAD
