"""Two closed forms for ``A_i Y = X C_i`` that share no equation: where they disagree, the input is not what it says.

- Park and Martin 1994, "Robot sensor calibration: solving AX = XB on the Euclidean group": relative motions between
  all pairs, rotations by their logarithms, then positions.
- Shah 2013, "Solving the robot-world/hand-eye calibration problem using the Kronecker product": the absolute poses,
  both unknown rotations together from one singular value decomposition, then both positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.core.spatial import inverse, rotation_vector, transform

AGREEMENT_M = 0.06
AGREEMENT_RAD = 0.105
"""Largest difference of the two, 6 cm and 6°. With joints that err by 0.5° they differ by some 1 cm and 1°."""
_SIZE = 0.025
"""Part by which a board's size must be off to be told; joints of 0.5° leave half of it in doubt."""
_LEAST_TURN_RAD = 0.12
"""Root mean square turn about the second of the hand's axes below which positions along the first are not told."""


@dataclass(frozen=True)
class Guess:
    """Camera X and board Y, (4, 4) each."""

    camera: np.ndarray
    board: np.ndarray


def park(motions: Sequence[np.ndarray], boards: Sequence[np.ndarray]) -> Guess:
    """Return Park and Martin's solution from A_i and C_i (4, 4)."""
    correlation = np.zeros((3, 3))
    rows, right, pairs = [], [], []
    for i, j in combinations(range(len(motions)), 2):
        a, b = motions[j] @ inverse(motions[i]), boards[j] @ inverse(boards[i])
        correlation += np.outer(rotation_vector(a[:3, :3]), rotation_vector(b[:3, :3]))
        pairs.append((a, b))
    u, _, vt = np.linalg.svd(correlation)
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    for a, b in pairs:
        rows.append(a[:3, :3] - np.eye(3))
        right.append(rotation @ b[:3, 3] - a[:3, 3])
    position = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    camera = transform(position, rotation)
    return Guess(camera, _mean([inverse(a) @ camera @ c for a, c in zip(motions, boards, strict=True)]))


def kronecker(motions: Sequence[np.ndarray], boards: Sequence[np.ndarray]) -> Guess:
    """Return Shah's solution from A_i and C_i (4, 4)."""
    total = sum(np.kron(c[:3, :3], a[:3, :3]) for a, c in zip(motions, boards, strict=True))
    u, _, vt = np.linalg.svd(np.asarray(total))
    camera_turn, board_turn = _rotation(u[:, 0]), _rotation(vt[0])
    rows = [np.hstack([a[:3, :3], -np.eye(3)]) for a in motions]
    right = [camera_turn @ c[:3, 3] - a[:3, 3] for a, c in zip(motions, boards, strict=True)]
    found = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    return Guess(transform(found[3:], camera_turn), transform(found[:3], board_turn))


def start(motions: Sequence[np.ndarray], boards: Sequence[np.ndarray]) -> Guess:
    """Return the start of the adjustment; RunError for motions that do not tell it, or when the two forms disagree."""
    require_turns(motions)
    first, second = park(motions, boards), kronecker(motions, boards)
    _require_size(motions, boards, first, second)
    metres, radians = apart(first.camera, second.camera)
    if metres > AGREEMENT_M or radians > AGREEMENT_RAD:
        raise RunError(
            f"two independent closed forms differ by {metres * 1000:.0f} mm and {np.rad2deg(radians):.1f}°: "
            "the robot's poses and the pictures do not match",
            "check the poses' unit (m), the angles' (rad), quaternions (w x y z), the camera's mounting and the order",
        )
    return first


def board_scale(motions: Sequence[np.ndarray], boards: Sequence[np.ndarray], turn: np.ndarray) -> tuple[float, float]:
    """Return by how much the board is larger than it is said to be, as the arm's motions have it, and its deviation.

    The robot moves in real metres, the board is known in units of its squares: their ratio is one more unknown in the
    equations of the positions, ``R_A t_Y + t_A = s R_X t_C + t_X``. ``turn`` is R_X (3, 3).
    """
    rows = [
        np.hstack([a[:3, :3], -np.eye(3), -(turn @ c[:3, 3])[:, None]]) for a, c in zip(motions, boards, strict=True)
    ]
    matrix, right = np.concatenate(rows), np.concatenate([-a[:3, 3] for a in motions])
    found, *_ = np.linalg.lstsq(matrix, right, rcond=None)
    rest = right - matrix @ found
    variance = float(rest @ rest) / max(len(right) - 7, 1) * np.linalg.pinv(matrix.T @ matrix)[6, 6]
    return float(found[6]), float(np.sqrt(max(variance, 0.0)))


def _require_size(motions: Sequence[np.ndarray], boards: Sequence[np.ndarray], first: Guess, second: Guess) -> None:
    """Raise RunError where the board and the arm's motions are of different sizes; turns do not depend on them."""
    if apart(first.camera, second.camera)[1] > AGREEMENT_RAD:
        return
    scale, deviation = board_scale(motions, boards, first.camera[:3, :3])
    if abs(scale - 1) < max(_SIZE, 5 * deviation):
        return
    if scale > 100:
        raise RunError(
            f"the arm moves {scale:.0f} times as far as the board in the pictures: its positions are in millimetres",
            "divide them by 1000",
        )
    raise RunError(
        f"judging by the arm's motion, the board is {scale:.3f} ± {deviation:.3f} times its stated size",
        "measure a printed square: s2rctl calibrate-camera board --measured-mm …; and check the focal length",
    )


def require_turns(motions: Sequence[np.ndarray]) -> None:
    """Raise RunError, naming the motion that would help, when the hand turned about one axis only, or hardly."""
    turns = np.array(
        [rotation_vector(motions[j][:3, :3] @ motions[i][:3, :3].T) for i, j in combinations(range(len(motions)), 2)]
    )
    scales, axes = np.linalg.eigh(turns.T @ turns / len(turns))
    spread = np.sqrt(np.maximum(scales, 0.0))
    if spread[2] < _LEAST_TURN_RAD:
        raise RunError(
            f"the hand turned by {np.rad2deg(spread[2]):.1f}° only: translation alone does not determine the camera",
            "tilt the hand by 20° to 40° about two axes or more, e.g. about its x axis, then about its y axis",
        )
    if spread[1] < _LEAST_TURN_RAD:
        x, y, z = axes[:, 1]
        raise RunError(
            f"the robot poses turn the hand about one axis only ({np.rad2deg(spread[1]):.1f}° about others)",
            f"tilt it by 20° to 40° about the direction ({x:.2f}, {y:.2f}, {z:.2f}) too, in five poses or more",
        )


def apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return distance (m) and angle (rad) between two poses (4, 4)."""
    difference = inverse(b) @ a
    return float(np.linalg.norm(difference[:3, 3])), float(np.linalg.norm(rotation_vector(difference[:3, :3])))


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Return the rotation nearest to a 3 x 3 matrix up to a factor, given by columns (9,)."""
    m = vector.reshape(3, 3, order="F")
    m = m * np.sign(np.linalg.det(m))
    u, _, vt = np.linalg.svd(m)
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)


def _mean(poses: Sequence[np.ndarray]) -> np.ndarray:
    """Return the chordal mean of poses (4, 4)."""
    u, _, vt = np.linalg.svd(sum(pose[:3, :3] for pose in poses))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return transform(np.mean([pose[:3, 3] for pose in poses], axis=0), rotation)
