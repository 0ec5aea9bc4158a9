"""What is wrong with poses that do not belong to their pictures: each usual mistake is undone and tried."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from s2rctl.calibration.adjust import Free, Problem, View
from s2rctl.calibration.chain import Poses
from s2rctl.calibration.hand_eye import solve
from s2rctl.core.errors import S2rError
from s2rctl.core.spatial import from_matrix, inverse, to_matrix, transform

_GOOD_RAD = 0.035
"""Joint noise below which an explanation is believed: 2°."""


def explain(problem: Problem) -> tuple[str, str] | None:
    """Return what would make the views agree and how to put it right, None where no usual mistake explains them."""
    for change, what, how in _MISTAKES:
        try:
            undone = change(problem)
            if undone is None:
                continue
            solution = solve(replace(undone, free=Free()))
        except (S2rError, np.linalg.LinAlgError, ValueError):
            continue
        if solution.noise.joint < _GOOD_RAD and len(solution.left_out) <= 0.2 * len(problem.views):
            return what, how
    return None


def _readings(problem: Problem, change: Callable[[np.ndarray], np.ndarray]) -> Problem:
    return replace(problem, views=[replace(view, reading=change(view.reading)) for view in problem.views])


def _poses_only(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Problem], Problem | None]:
    return lambda problem: None if problem.geometry.joints else _readings(problem, change)


def _other_order(pose: np.ndarray) -> np.ndarray:
    """Return the pose whose quaternion x y z w was taken for w x y z."""
    x, y, z, w = from_matrix(pose[:3, :3])
    return transform(pose[:3, 3], to_matrix([w, x, y, z]))


def _metres(pose: np.ndarray) -> np.ndarray:
    return transform(pose[:3, 3] / 1000, pose[:3, :3])


def _other_mounting(problem: Problem) -> Problem | None:
    if problem.geometry.joints:
        return None
    return replace(problem, geometry=Poses(not problem.geometry.in_hand))


def _reversed(problem: Problem) -> Problem:
    readings = [view.reading for view in problem.views][::-1]
    return replace(
        problem, views=[View(view.seen, reading) for view, reading in zip(problem.views, readings, strict=True)]
    )


def _shifted(by: int) -> Callable[[Problem], Problem]:
    def change(problem: Problem) -> Problem:
        pairs = [
            View(problem.views[number].seen, problem.views[number + by].reading)
            for number in range(max(0, -by), len(problem.views) - max(0, by))
        ]
        return replace(problem, views=pairs)

    return change


_MISTAKES: tuple[tuple[Callable[[Problem], Problem | None], str, str], ...] = (
    (
        _poses_only(_other_order),
        "they agree when the quaternions are read as x y z w",
        "put qw first: the columns are qw, qx, qy, qz",
    ),
    (_poses_only(_metres), "they agree when positions are taken for millimetres", "divide positions by 1000"),
    (
        _poses_only(inverse),
        "they agree when each pose is inverted",
        "give the hand in the base, not the base in the hand",
    ),
    (
        _other_mounting,
        "they agree when the camera is mounted the other way",
        "choose the camera that hangs where yours does: calibration.camera",
    ),
    (
        lambda problem: _readings(problem, np.deg2rad) if problem.geometry.joints else None,
        "they agree when joints are taken for degrees",
        "multiply the joints by 0.0174533",
    ),
    (_reversed, "they agree when the poses are in the opposite order", "sort pictures and poses alike"),
    (_shifted(1), "they agree when each picture takes the pose of the next", "the poses are one late"),
    (_shifted(-1), "they agree when each picture takes the pose of the one before", "the poses are one early"),
)
