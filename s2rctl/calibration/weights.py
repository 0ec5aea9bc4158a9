"""How much each picture is worth when the robot's own pose is uncertain.

The reprojection error of a picture has two sources: the detector (independent corners, a tenth of a pixel) and the
joints, whose error turns and shifts the whole board. Treated as independent, 24 corners vote 24 times for one joint
error, and a tilt that pixels hardly show counts almost nothing. Generalised least squares weighs with the covariance
of both: ``s_p² I + J S Jᵀ`` with J the effect of the hand's six errors on the pixels and S their covariance. The part
of the joints is as large as the pictures say: it makes the weighted error equal to the degrees of freedom.
"""

from collections.abc import Sequence

import numpy as np

from s2rctl.calibration.board import Detection
from s2rctl.calibration.intrinsics import project
from s2rctl.core.spatial import from_rotation_vector, inverse, transform
from s2rctl.schema.calibration import Intrinsics

REACH_M = 0.4
"""Lever over which an error of the joints shifts the hand: position error of the hand over its rotation error."""
_STEP = 1e-5  # m or rad, of the central difference
_LARGEST = 0.05  # rad


def hand_effects(
    camera: Intrinsics,
    motions: Sequence[np.ndarray],
    views: Sequence[Detection],
    pose: tuple[np.ndarray, np.ndarray],
    in_hand: bool,
) -> list[np.ndarray]:
    """Return per picture the pixels' derivative (2 n, 6) by shift (m) and turn (rad) of the hand, in its own frame.

    ``pose`` is camera and board (4, 4) of the solution; ``in_hand`` says that the hand carries the camera.
    """
    eye, board = inverse(pose[0]), pose[1]
    effects = []
    for motion, view in zip(motions, views, strict=True):
        columns = []
        for axis in range(6):
            ends = []
            for sign in (1.0, -1.0):
                error = np.zeros(6)
                error[axis] = sign * _STEP
                moved = transform(error[:3], from_rotation_vector(error[3:]))
                chain = eye @ (inverse(moved) @ motion if in_hand else motion @ moved) @ board
                ends.append(project(camera, view.points @ chain[:3, :3].T + chain[:3, 3]).ravel())
            columns.append((ends[0] - ends[1]) / (2 * _STEP))
        effects.append(np.stack(columns, axis=1))
    return effects


def whitening(
    residuals: Sequence[np.ndarray], effects: Sequence[np.ndarray], pixel_sigma: float, unknowns: int
) -> tuple[list[np.ndarray], float]:
    """Return per picture the matrix (2 n, 2 n) that makes its errors independent with variance 1, and the turn's sigma.

    ``residuals`` are (n, 2) px. The sigma (rad) of the hand's turn is found by bisection; it is 0 when the detector
    alone explains the residuals.
    """
    wanted = sum(residual.size for residual in residuals) - unknowns
    low, high = 0.0, _LARGEST
    if _cost(residuals, effects, pixel_sigma, 0.0) <= wanted:
        high = 0.0
    for _ in range(30 if high else 0):
        middle = (low + high) / 2
        if _cost(residuals, effects, pixel_sigma, middle) > wanted:
            low = middle
        else:
            high = middle
    return [np.linalg.inv(_factor(effect, pixel_sigma, high)) for effect in effects], high


def _cost(residuals: Sequence[np.ndarray], effects: Sequence[np.ndarray], pixel_sigma: float, turn: float) -> float:
    return float(
        sum(
            (np.linalg.solve(_factor(effect, pixel_sigma, turn), residual.ravel()) ** 2).sum()
            for residual, effect in zip(residuals, effects, strict=True)
        )
    )


def _factor(effect: np.ndarray, pixel_sigma: float, turn: float) -> np.ndarray:
    """Return the Cholesky factor of one picture's covariance."""
    scaled = effect * np.repeat([REACH_M * turn, turn], 3)
    return np.linalg.cholesky(pixel_sigma**2 * np.eye(len(effect)) + scaled @ scaled.T)
