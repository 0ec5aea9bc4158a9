"""What a covariance is worth, and which motion would make it smaller."""

from dataclasses import replace

import numpy as np

from s2rctl.calibration.adjust import CAMERA, Fit, Noise, Problem, exponential, linear, whitened
from s2rctl.calibration.chain import Geometry
from s2rctl.core.spatial import inverse

WORKING_M = 0.3
"""Distance from the camera at which a turn of it is weighed against a shift."""


def variance(information: np.ndarray) -> float:
    """Return the camera's variance in m², turns counted at the working distance."""
    covariance = np.linalg.inv(information)[CAMERA, CAMERA]
    return float(np.trace(covariance[:3, :3]) + WORKING_M**2 * np.trace(covariance[3:, 3:]))


def helpful_motion(problem: Problem, fit: Fit, noise: Noise) -> str:
    """Return the turn or shift of the hand, from a pose that was taken, that would shrink the covariance most."""
    state = fit.state
    noise = replace(noise, pixel=max(noise.pixel, 0.1))
    before = fit.information + 1e-9 * np.eye(problem.free.size)
    view = problem.views[0]
    options = []
    for axis, name in enumerate("xyz"):
        for kind, size, words in (
            (3, 0.5, f"tilt the hand by 30° about its {name} axis"),
            (0, 0.15, f"move the hand by 15 cm along its {name} axis"),
        ):
            step = np.zeros(6)
            step[kind + axis] = size
            slope, _ = whitened(linear(_posed(problem, step), state, view), noise)
            options.append((variance(before + slope.T @ slope), words))
    return f"{min(options)[1]}, both ways, and take more poses there"


def _posed(problem: Problem, step: np.ndarray) -> Problem:
    """Return the problem with the hand moved by a step (6,) in its own frame."""
    return replace(problem, geometry=_Moved(problem.geometry, step))


class _Moved:
    """A geometry whose hand stands elsewhere."""

    def __init__(self, geometry: Geometry, step: np.ndarray) -> None:
        self._geometry, self._step = geometry, exponential(step)
        self.in_hand, self.joints = geometry.in_hand, geometry.joints
        self.errors, self.offsets, self.places = geometry.errors, geometry.offsets, getattr(geometry, "places", [])

    def motion(self, reading: np.ndarray) -> np.ndarray:
        """Return A_i (4, 4) after the step."""
        motion = self._geometry.motion(reading)
        moved = inverse(self._step) @ motion if self.in_hand else motion @ self._step
        return np.asarray(moved)
