"""Which pose of the robot tells most: the next view is the one that shrinks the covariance most (A-optimal, greedy).

A view's information is known before it is taken: the board's corners are where camera and board, as far as they are
known by now, put them. What is minimised is the camera's variance in m², turns counted by what they do at the working
distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from s2rctl.calibration.adjust import Noise, Problem, State, View, linear, whitened
from s2rctl.calibration.advice import variance
from s2rctl.calibration.board import Detection
from s2rctl.calibration.hand_eye import Solution, solve
from s2rctl.calibration.stand import Stand
from s2rctl.core.errors import RunError
from s2rctl.core.spatial import inverse
from s2rctl.schema.calibration import Intrinsics
from s2rctl.schema.deployment import Board

_BELIEF_M, _BELIEF_RAD = 0.05, 0.2
"""How far camera and board may be from where the scene has them, before any picture."""
CANDIDATES = 60
_POLISH = 40
_ATTEMPTS, _ROUNDS = 2_000, 120  # small batches: a driver may read its bus in a thread beside
EXPECTED = Noise(0.2, float(np.deg2rad(0.1)))
"""What is assumed of detector and joints until the pictures tell."""


@dataclass(frozen=True)
class Plan:
    """What poses are chosen for."""

    stand: Stand
    board: Board
    corners: np.ndarray  # (n, 3) m of the board
    lens: Intrinsics

    def view(self, reading: np.ndarray) -> View:
        """Return the view to expect, without pixels."""
        return View(Detection(np.arange(len(self.corners)), np.zeros((len(self.corners), 2)), self.corners), reading)

    def possible(self, state: State, reading: np.ndarray) -> bool:
        """Return whether a reading (n,) is safe and shows the whole board."""
        stand = self.stand
        pose = inverse(state.camera) @ stand.chain.motion(reading) @ state.board
        return bool(stand.shows(self.board, self.lens, pose)) and stand.safe(reading, self.board)

    def candidates(self, state: State, rng: np.random.Generator, count: int = CANDIDATES) -> list[np.ndarray]:
        """Return readings (n,) that are safe and show the whole board; RunError if there are none."""
        stand, eye, found = self.stand, inverse(state.camera), []
        for _ in range(_ROUNDS):
            readings = stand.draw(rng, _ATTEMPTS)
            poses = eye @ stand.motions(readings) @ state.board
            for number in np.flatnonzero(stand.shows(self.board, self.lens, poses)):
                if stand.safe(readings[number], self.board):
                    found.append(readings[number])
                    if len(found) == count:
                        return found
        if found:
            return found
        camera = stand.model.camera(stand.camera).name
        raise RunError(
            f"no pose of the robot shows the board to camera '{camera}' within the safety limits",
            "choose another camera or a smaller board, or widen deploy.safety.workspace_low and _high",
        )


def information(problem: Problem, state: State, views: Sequence[View], noise: Noise) -> np.ndarray:
    """Return the information (p, p) of views about the unknowns, with what is believed of camera and board before."""
    total = np.zeros((problem.free.size, problem.free.size))
    total[np.arange(12), np.arange(12)] = np.tile(np.repeat([_BELIEF_M**-2, _BELIEF_RAD**-2], 3), 2)
    total[np.arange(12, len(total)), np.arange(12, len(total))] = 25.0
    for view in views:
        slope, _ = whitened(linear(problem, state, view), noise.of(view))
        total += slope.T @ slope
    return total


def best(
    plan: Plan, problem: Problem, state: State, noise: Noise, readings: Sequence[np.ndarray]
) -> list[tuple[float, np.ndarray]]:
    """Return (variance afterwards, reading) for each reading, the most telling first."""
    before = information(problem, state, problem.views, noise)
    rated = []
    for reading in readings:
        slope, _ = whitened(linear(problem, state, plan.view(reading)), noise)
        rated.append((variance(before + slope.T @ slope), reading))
    return sorted(rated, key=lambda pair: pair[0])


class Chooser:
    """Chooses poses one after the other, with what is known of camera and board by then."""

    def __init__(self, plan: Plan, problem: Problem, state: State, rng: np.random.Generator) -> None:
        """``problem`` has no views yet, ``state`` is where the scene has camera and board."""
        self._plan, self._problem, self._rng = plan, problem, rng
        self.state, self.noise = state, EXPECTED

    def learn(self, views: Sequence[View]) -> Solution | None:
        """Take the views so far into account; return their solution, or None while they do not tell one."""
        self._problem = replace(self._problem, views=list(views))
        try:
            solution = solve(self._problem)
        except RunError:
            return None
        self.state = solution.fit.state
        return solution

    def ranked(self) -> list[tuple[float, np.ndarray]]:
        """Return (camera's variance m² with it, reading) of some possible poses, the most telling first."""
        readings = self._plan.candidates(self.state, self._rng)
        rated = best(self._plan, self._problem, self.state, self.noise, readings)
        return [self._polished(*rated[0]), *rated]

    def _polished(self, value: float, reading: np.ndarray) -> tuple[float, np.ndarray]:
        """Return a pose near a good one that tells more, found by trying."""
        plan, stand = self._plan, self._plan.stand
        before = information(self._problem, self.state, self._problem.views, self.noise)
        for attempt in range(_POLISH):
            other = reading.copy()
            other[stand.moving] += (0.25 if attempt < _POLISH / 2 else 0.12) * self._rng.normal(size=len(stand.moving))
            if not plan.possible(self.state, other):
                continue
            slope, _ = whitened(linear(self._problem, self.state, plan.view(other)), self.noise)
            rated = variance(before + slope.T @ slope)
            if rated < value:
                value, reading = rated, other
        return value, reading
