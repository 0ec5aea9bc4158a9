"""Hand-eye calibration: from views of a board at known robot poses to the camera, and how sure it is.

Closed form (two, that must agree) → noise from what the pictures show → bundle adjustment → views that contradict the
others are named and left out → covariance, held-out errors and a bootstrap that checks the covariance.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.stats import f

from s2rctl.calibration import optics
from s2rctl.calibration.adjust import (
    CAMERA,
    Fit,
    Free,
    Noise,
    Problem,
    State,
    View,
    corrected,
    errors_of,
    fit,
)
from s2rctl.calibration.advice import helpful_motion
from s2rctl.calibration.board import Detection
from s2rctl.calibration.closed_form import apart, start
from s2rctl.calibration.intrinsics import matrix
from s2rctl.calibration.noise import POSE, contradictions, detector, joint_sigma
from s2rctl.core.errors import RunError
from s2rctl.core.spatial import from_rotation_vector, inverse, rotation_vector, transform
from s2rctl.schema.cameras import Intrinsics

MIN_POSES = 5
"""Fewer poses leave too little to check against."""
_WORST_JOINT_RAD = 0.06
"""Joint noise from which the poses cannot be those of the pictures: six times the poorest servo arm."""
_WORST_SIGMA_M, _WORST_SIGMA_RAD = 0.03, 0.06
"""Standard deviations from which a result says nothing."""
_MOST_OUT = 0.3  # part of the views


@dataclass(frozen=True)
class Solution:
    """A solved calibration; ``kept`` are the views that it rests on."""

    problem: Problem  # with the kept views only
    fit: Fit
    noise: Noise
    kept: tuple[int, ...]
    left_out: tuple[int, ...]

    @property
    def camera(self) -> np.ndarray:
        """X (4, 4): the camera in its parent, OpenCV axes."""
        return self.fit.state.camera

    @property
    def board(self) -> np.ndarray:
        """Y (4, 4): the board in the other frame."""
        return self.fit.state.board

    @property
    def covariance(self) -> np.ndarray:
        """Covariance (6, 6) of the camera's translation (m) and rotation vector (rad), in its own frame."""
        return self.fit.covariance[CAMERA, CAMERA]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the noise's size: six numbers a view where the joints err, else two a corner."""
        views = self.problem.views
        told = POSE * len(views) if self.noise.joint > 0 else sum(2 * len(view.seen.ids) for view in views)
        return max(told - self.problem.free.size, 1)

    def ellipsoid(self, dimensions: int, probability: float = 0.95) -> float:
        """Return the squared Mahalanobis length that holds the truth with a probability.

        The size of the noise is itself estimated: Hotelling's instead of the normal distribution's quantile.
        """
        return float(dimensions * f.ppf(probability, dimensions, self.freedom))


@dataclass(frozen=True)
class Check:
    """How far the solution can be trusted; arrays over the kept views."""

    train_px: np.ndarray  # (N,) root mean square per view
    held_out_px: np.ndarray  # (N,) the same from the solution without this view
    held_out_position_m: np.ndarray  # (N,)
    held_out_rotation_rad: np.ndarray  # (N,)
    shift: np.ndarray  # (N, 6) camera without view i, seen from the full solution: m and rotation vector
    bootstrap: np.ndarray  # (6, 6) covariance over resampled views


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


def solve(problem: Problem) -> Solution:
    """Return the solution.

    Raises RunError with fewer than 5 views, where the motions do not tell the camera, and where the robot's poses and
    the pictures contradict each other.
    """
    if len(problem.views) < MIN_POSES:
        raise RunError(
            f"{len(problem.views)} usable poses are too few", f"show the board in at least {MIN_POSES} poses"
        )
    boards = [board_in_camera(problem.lens, view.seen) for view in problem.views]
    motions = [problem.geometry.motion(view.reading) for view in problem.views]
    guess = start(motions, boards)
    pixel, problem = detector(problem, boards)
    rigid = replace(problem, free=Free())
    state = State(guess.camera, guess.board, optics.figures(problem.lens), np.zeros(len(problem.geometry.joints)))
    found = fit(rigid, state, Noise(pixel, np.deg2rad(0.2)))
    kept = list(range(len(problem.views)))
    noise = Noise(pixel)
    for attempt in range(4):
        used = replace(problem, views=[problem.views[number] for number in kept])
        for _ in range(3):
            noise = Noise(pixel, joint_sigma(used, found.state, pixel, typical=attempt < 2))
            found = fit(used, found.state, noise)
        if attempt:
            contradicting = [n for n, much in zip(kept, contradictions(used, found.state, noise), strict=True) if much]
            kept = [number for number in kept if number not in contradicting]
    used = replace(problem, views=[problem.views[number] for number in kept])
    out = tuple(number for number in range(len(problem.views)) if number not in kept)
    _require_sense(len(problem.views), len(out), noise)
    noise = Noise(pixel, joint_sigma(used, found.state, pixel, typical=False))
    solution = Solution(used, fit(used, found.state, noise), noise, tuple(kept), out)
    _require_certainty(solution)
    return solution


def check(solution: Solution, resamplings: int = 60, seed: int = 0) -> Check:
    """Solve again without each view in turn, and from resampled views.

    The first gives held-out errors and what each view does to the result, the second a covariance that believes in no
    model of the noise: it must be like that of the information matrix.
    """
    problem, noise, best = solution.problem, solution.noise, solution.fit.state
    count = len(problem.views)
    rows, shifts = [], np.zeros((count, 6))
    for number in range(count):
        other = fit(problem.without(number), best, noise, 12).state
        shifts[number] = _difference(solution.camera, other.camera)
        view = problem.views[number]
        alone = replace(problem, views=[view])
        lens = optics.with_figures(problem.lens, other.figures)
        predicted = inverse(other.camera) @ _motion(alone, other, view) @ other.board
        error = _difference(board_in_camera(lens, view.seen), predicted)
        pixels = _rms(errors_of(alone, other)[0])
        rows.append((pixels, np.linalg.norm(error[:3]), np.linalg.norm(error[3:])))
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamplings):
        chosen = rng.integers(count, size=count)
        again = replace(problem, views=[problem.views[int(number)] for number in chosen])
        drawn.append(_difference(solution.camera, fit(again, best, noise, 12).state.camera))
    table = np.array(rows, float)
    return Check(
        train_px=np.array([_rms(error) for error in errors_of(problem, best)]),
        held_out_px=table[:, 0],
        held_out_position_m=table[:, 1],
        held_out_rotation_rad=table[:, 2],
        shift=shifts,
        bootstrap=np.cov(np.array(drawn).T) if resamplings > 1 else np.zeros((6, 6)),
    )


def pose_error(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return distance (m) and angle (rad) between two poses (4, 4)."""
    return apart(found, truth)


def inner_joints(problem: Problem) -> tuple[int, ...]:
    """Return the joints whose zero the views can tell.

    Turning the first is turning the whole arm, turning the last is turning what the hand holds: camera and board take
    both up.
    """
    return tuple(range(1, len(problem.geometry.joints) - 1))


def _require_sense(views: int, out: int, noise: Noise) -> None:
    if out > _MOST_OUT * views or views - out < MIN_POSES:
        raise RunError(
            f"{out} of {views} views contradict the others: the robot's poses and the pictures do not match",
            "check that poses and pictures are in the same order, and that board and camera did not move meanwhile",
        )
    if noise.joint > _WORST_JOINT_RAD:
        raise RunError(
            f"the pictures show joint errors of {np.rad2deg(noise.joint):.1f}°, which no arm has: the robot's poses "
            "and the pictures do not match",
            "check the poses' units and order, the board's square size, the camera's mounting and which arm it is",
        )


def _require_certainty(solution: Solution) -> None:
    """Raise RunError, naming the motion that would help, for a result that says nothing."""
    covariance = solution.covariance
    metres = float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
    radians = float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1]))
    if metres > _WORST_SIGMA_M or radians > _WORST_SIGMA_RAD:
        raise RunError(
            f"these poses determine the camera only to within ±{1000 * metres:.0f} mm and ±{np.rad2deg(radians):.1f}°",
            helpful_motion(solution.problem, solution.fit, solution.noise),
        )


def _motion(problem: Problem, state: State, view: View) -> np.ndarray:
    return problem.geometry.motion(corrected(problem, state, view))


def _difference(origin: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return translation (m) and rotation vector (rad), (6,), from one pose to another in the first one's frame."""
    step = inverse(origin) @ other
    return np.concatenate([step[:3, 3], rotation_vector(step[:3, :3])])


def _rms(error: np.ndarray) -> float:
    """Return the root mean square distance of (n, 2) pixels."""
    return float(np.sqrt((error**2).sum(axis=-1).mean()))
