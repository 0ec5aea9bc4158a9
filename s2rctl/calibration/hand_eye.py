"""Hand-eye calibration: the camera's pose from views of a board at known robot poses.

Both mountings share one equation. With C_i the board in the camera at robot pose i, X the camera in its parent and Y
the board in the other frame, ``C_i = X⁻¹ A_i Y``:

- eye-to-hand (camera fixed in the base, board on the hand): A_i is the hand in the base,
- eye-in-hand (camera on the hand, board fixed in the base): A_i is the base in the hand.

The start is closed form (Park and Martin 1994, "Robot sensor calibration: solving AX = XB on the Euclidean group"),
the result minimises the reprojection error of all corners over X and Y, with a Huber loss, weighted for the robot's
own errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import numpy as np
from scipy.optimize import least_squares

from s2rctl.calibration.board import Detection
from s2rctl.calibration.intrinsics import matrix, project
from s2rctl.calibration.weights import hand_effects, whitening
from s2rctl.core.errors import RunError
from s2rctl.core.spatial import from_rotation_vector, inverse, rotation_vector, transform
from s2rctl.schema.calibration import Intrinsics

MIN_POSES = 5
"""Fewer poses leave too little to check against."""
_HUBER_PX = 1.0
_HUBER_SIGMAS = 2.0
_REWEIGHTINGS = 3
_LEAST_PX = 0.03  # a detector is not better than this


@dataclass(frozen=True)
class Solution:
    """A solved calibration."""

    camera: np.ndarray  # (4, 4) X: camera (OpenCV axes) in its parent
    board: np.ndarray  # (4, 4) Y: board in the other frame
    whiten: list[np.ndarray] | None = None  # per pose, see weights
    hand_sigma_rad: float = 0.0  # error of the hand's rotation that the pictures show


@dataclass(frozen=True)
class Check:
    """How far the solution can be trusted; arrays over the poses."""

    train_px: np.ndarray  # (N,) root mean square per pose
    held_out_px: np.ndarray  # (N,) the same from the solution without this pose
    held_out_position_m: np.ndarray  # (N,)
    held_out_rotation_rad: np.ndarray  # (N,)
    shift: np.ndarray  # (N, 6) camera of the solution without pose i, seen from the full one: m and rotation vector
    covariance: np.ndarray  # (6, 6) jackknife estimate, camera frame


def board_in_camera(camera: Intrinsics, view: Detection) -> np.ndarray:
    """Return the board's pose (4, 4) in the camera from one view; raise RunError if there is none."""
    good, rotation, position = cv2.solvePnP(
        view.points, view.pixels, matrix(camera), np.array(camera.distortion), flags=cv2.SOLVEPNP_IPPE
    )
    if not good:
        raise RunError("a view of the board has no pose", "leave this picture out")
    rotation, position = cv2.solvePnPRefineLM(
        view.points, view.pixels, matrix(camera), np.array(camera.distortion), rotation, position
    )
    return transform(position.reshape(3), from_rotation_vector(rotation.reshape(3)))


def solve(camera: Intrinsics, motions: Sequence[np.ndarray], views: Sequence[Detection], in_hand: bool) -> Solution:
    """Return the solution from A_i (4, 4) and the views at the same robot poses.

    ``in_hand`` says that the hand carries the camera. Raises RunError with fewer than 5 poses, or when the poses turn
    the hand about one axis only.
    """
    if len(views) < MIN_POSES or len(motions) != len(views):
        raise RunError(f"{len(views)} usable poses are too few", f"show the board in at least {MIN_POSES} poses")
    boards = [board_in_camera(camera, view) for view in views]
    solution = refine(camera, motions, views, closed_form(motions, boards))
    pixel_sigma = _detector_sigma(camera, boards, views)
    for _ in range(_REWEIGHTINGS):
        residuals = reprojection(camera, motions, views, solution)
        effects = hand_effects(camera, motions, views, (solution.camera, solution.board), in_hand)
        whiten, turn = whitening(residuals, effects, pixel_sigma, unknowns=12)
        solution = replace(refine(camera, motions, views, replace(solution, whiten=whiten)), hand_sigma_rad=turn)
    return solution


def _detector_sigma(camera: Intrinsics, boards: Sequence[np.ndarray], views: Sequence[Detection]) -> float:
    """Return the detector's error (px on one axis): what is left when every picture has a pose of its own."""
    errors = [
        project(camera, view.points @ pose[:3, :3].T + pose[:3, 3]) - view.pixels
        for pose, view in zip(boards, views, strict=True)
    ]
    free = sum(error.size for error in errors) - 6 * len(views)
    return max(_LEAST_PX, float(np.sqrt(sum((error**2).sum() for error in errors) / free)))


def closed_form(motions: Sequence[np.ndarray], boards: Sequence[np.ndarray]) -> Solution:
    """Return Park and Martin's solution from A_i and C_i."""
    correlation = np.zeros((3, 3))
    rows, right = [], []
    pairs = []
    for i, j in combinations(range(len(motions)), 2):
        a, b = motions[j] @ inverse(motions[i]), boards[j] @ inverse(boards[i])
        alpha, beta = rotation_vector(a[:3, :3]), rotation_vector(b[:3, :3])
        correlation += np.outer(alpha, beta)
        pairs.append((a, b))
    u, scales, vt = np.linalg.svd(correlation)
    if scales[1] < 1e-3 * max(len(pairs), 1) * 0.01:
        raise RunError("the robot poses turn the hand about one axis only", "tilt the hand about two axes or more")
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    for a, b in pairs:
        rows.append(a[:3, :3] - np.eye(3))
        right.append(rotation @ b[:3, 3] - a[:3, 3])
    position = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    camera = transform(position, rotation)
    return Solution(camera, _mean([inverse(a) @ camera @ c for a, c in zip(motions, boards, strict=True)]))


def refine(camera: Intrinsics, motions: Sequence[np.ndarray], views: Sequence[Detection], start: Solution) -> Solution:
    """Return the solution of least reprojection error near ``start``, weighted if ``start`` has weights."""

    def moved(step: np.ndarray) -> Solution:
        return replace(start, camera=start.camera @ _exp(step[:6]), board=start.board @ _exp(step[6:]))

    def residuals(step: np.ndarray) -> np.ndarray:
        errors = [error.ravel() for error in reprojection(camera, motions, views, moved(step))]
        if start.whiten is not None:
            errors = [weight @ error for weight, error in zip(start.whiten, errors, strict=True)]
        return np.concatenate(errors)

    scale = _HUBER_PX if start.whiten is None else _HUBER_SIGMAS
    found = least_squares(residuals, np.zeros(12), loss="huber", f_scale=scale, x_scale="jac", method="trf")
    return moved(found.x)


def reprojection(
    camera: Intrinsics, motions: Sequence[np.ndarray], views: Sequence[Detection], solution: Solution
) -> list[np.ndarray]:
    """Return for each pose predicted minus seen pixels (n, 2)."""
    eye = inverse(solution.camera)
    errors = []
    for motion, view in zip(motions, views, strict=True):
        pose = eye @ motion @ solution.board
        errors.append(project(camera, view.points @ pose[:3, :3].T + pose[:3, 3]) - view.pixels)
    return errors


def check(camera: Intrinsics, motions: Sequence[np.ndarray], views: Sequence[Detection], solution: Solution) -> Check:
    """Solve again without each pose in turn: held-out errors, spread and the jackknife covariance.

    The covariance of the normal equations would take corners as independent; errors of the robot's joints move all
    corners of a picture together, and leaving out whole poses sees that.
    """
    count = len(views)
    columns: list[tuple[float, float, float]] = []
    shifts = np.zeros((count, 6))
    for left_out in range(count):
        rest = [i for i in range(count) if i != left_out]
        whiten = None if solution.whiten is None else [solution.whiten[i] for i in rest]
        start = replace(solution, whiten=whiten)
        other = refine(camera, [motions[i] for i in rest], [views[i] for i in rest], start)
        shifts[left_out] = _log(inverse(solution.camera) @ other.camera)
        motion, view = [motions[left_out]], [views[left_out]]
        predicted = inverse(other.camera) @ motions[left_out] @ other.board
        error = _log(inverse(board_in_camera(camera, views[left_out])) @ predicted)
        pixels = _rms(reprojection(camera, motion, view, other)[0])
        columns.append((pixels, float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))))
    centred = shifts - shifts.mean(axis=0)
    table = np.array(columns)
    return Check(
        train_px=np.array([_rms(error) for error in reprojection(camera, motions, views, solution)]),
        held_out_px=table[:, 0],
        held_out_position_m=table[:, 1],
        held_out_rotation_rad=table[:, 2],
        shift=shifts,
        covariance=(count - 1) / count * centred.T @ centred,
    )


def pose_error(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return distance (m) and angle (rad) between two poses (4, 4)."""
    difference = inverse(truth) @ found
    return float(np.linalg.norm(difference[:3, 3])), float(np.linalg.norm(rotation_vector(difference[:3, :3])))


def _rms(error: np.ndarray) -> float:
    """Return the root mean square distance of (n, 2) pixels."""
    return float(np.sqrt((error**2).sum(axis=-1).mean()))


def _exp(step: np.ndarray) -> np.ndarray:
    """Return the transform of a translation (m) and a rotation vector (rad), (6,)."""
    return transform(step[:3], from_rotation_vector(step[3:]))


def _log(pose: np.ndarray) -> np.ndarray:
    return np.concatenate([pose[:3, 3], rotation_vector(pose[:3, :3])])


def _mean(poses: Sequence[np.ndarray]) -> np.ndarray:
    """Return the chordal mean of poses."""
    u, _, vt = np.linalg.svd(np.sum([pose[:3, :3] for pose in poses], axis=0))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return transform(np.mean([pose[:3, 3] for pose in poses], axis=0), rotation)
