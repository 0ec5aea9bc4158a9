"""Bundle adjustment: all unknowns of a calibration from all corners of all views, and how sure they are.

Unknowns: camera X, board Y, and where asked for the optics, the joints' zero offsets and the time between picture and
joint reading. A picture errs in two ways: the detector (independent corners, a tenth of a pixel) and the joints, whose
error moves all corners together. Treated as independent, 24 corners would vote 24 times for one joint error; so each
view is weighed with the covariance of both, ``s_p² I + s_q² N Nᵀ`` with N the derivative by the joints (generalised
least squares). Its inverse information matrix is then the covariance of what is found. Views that contradict the others
count less (Huber's weight of their Mahalanobis length), so that one bad view cannot move the result far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from s2rctl.calibration import optics
from s2rctl.calibration.board import Detection
from s2rctl.calibration.chain import Geometry
from s2rctl.core.spatial import from_rotation_vector, inverse, transform
from s2rctl.schema.cameras import Intrinsics

ITERATIONS = 40
_SETTLED = 1e-6
_HUBER = 1.6
"""Root mean square of a view's whitened errors from which it counts less."""
OFFSET_PRIOR_RAD = 0.2
DELAY_PRIOR_S = 0.2
"""How far, before any picture, a joint's zero and the clock may be off: a standard deviation."""
_OPTICS_PRIOR = np.array([0.3, 0.3, 0.3, 0.3, 1.0, 1.0, 0.1, 0.1, 1.0])
"""The same for focal lengths and principal point, as parts of the focal length, and for the distortion."""
CAMERA, BOARD = slice(0, 6), slice(6, 12)


@dataclass(frozen=True)
class View:
    """One picture of the board and the robot's reading at that time."""

    seen: Detection
    reading: np.ndarray  # joints (n,) rad, or the hand's pose (4, 4)
    speed: np.ndarray | None = None  # (n,) rad/s, where the arm moved
    spread: float = 1.0  # the detector's error in this picture over that in all: far and tilted boards are found worse


@dataclass(frozen=True)
class Free:
    """What is estimated besides camera and board."""

    optics: int = 0  # figures, see ``optics.SIZES``
    offsets: tuple[int, ...] = ()  # joints of the chain whose zero may be off
    delay: bool = False

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return 12 + self.optics + len(self.offsets) + int(self.delay)


@dataclass(frozen=True)
class State:
    """A value of every unknown."""

    camera: np.ndarray  # (4, 4) X, OpenCV axes
    board: np.ndarray  # (4, 4) Y
    figures: np.ndarray  # (9,) of the optics
    offsets: np.ndarray  # (k,) rad of the chain's joints: true = read + offset
    delay: float = 0.0  # s: the joints are read this much before the picture is taken


@dataclass(frozen=True)
class Noise:
    """Sizes of the two errors."""

    pixel: float  # px, on one axis
    joint: float = 0.0  # rad

    def of(self, view: View) -> "Noise":
        """Return the noise of one view."""
        return Noise(self.pixel * view.spread, self.joint)


@dataclass(frozen=True)
class Problem:
    """Everything that was measured, and what is asked."""

    lens: Intrinsics
    geometry: Geometry
    views: Sequence[View]
    free: Free = field(default_factory=Free)

    def without(self, *left_out: int) -> "Problem":
        """Return the problem without some views."""
        return replace(self, views=[view for number, view in enumerate(self.views) if number not in left_out])


@dataclass(frozen=True)
class Linear:
    """One view at a state: errors (m,) px, derivatives by the unknowns (m, p) and by the joints' errors (m, t)."""

    error: np.ndarray
    slope: np.ndarray
    noise: np.ndarray


def linear(problem: Problem, state: State, view: View) -> Linear:
    """Return predicted minus seen pixels of a view with all derivatives."""
    geometry, free = problem.geometry, problem.free
    reading = corrected(problem, state, view)
    motion = geometry.motion(reading)
    eye = inverse(state.camera)
    points = view.seen.points
    on_target = points @ state.board[:3, :3].T + state.board[:3, 3]
    on_target = on_target @ motion[:3, :3].T + motion[:3, 3]
    in_camera = on_target @ eye[:3, :3].T + eye[:3, 3]
    pixels, by_point, by_figure = optics.project(state.figures, in_camera)
    m = 2 * len(points)
    slope = np.zeros((m, free.size))
    slope[:, 0:3] = -by_point.reshape(m, 3)
    slope[:, 3:6] = _turning(-by_point, in_camera).reshape(m, 3)
    by_board = by_point @ (eye[:3, :3] @ motion[:3, :3] @ state.board[:3, :3])
    slope[:, 6:9] = by_board.reshape(m, 3)
    slope[:, 9:12] = _turning(by_board, points).reshape(m, 3)
    slope[:, 12 : 12 + free.optics] = by_figure.reshape(m, 9)[:, : free.optics]
    by_target = by_point @ eye[:3, :3]
    by_twist = np.concatenate([by_target, _turning(by_target, on_target)], axis=2).reshape(m, 6)
    noise = by_twist @ geometry.errors(reading).T
    column = 12 + free.optics
    if free.offsets or free.delay:
        by_offset = by_twist @ geometry.offsets(reading).T
        slope[:, column : column + len(free.offsets)] = by_offset[:, list(free.offsets)]
        if free.delay and view.speed is not None:
            slope[:, -1] = by_offset @ view.speed[_places(geometry)]
    return Linear((pixels - view.seen.pixels).reshape(m), slope, noise)


def corrected(problem: Problem, state: State, view: View) -> np.ndarray:
    """Return a view's reading with the offsets and the delay of a state."""
    if not problem.geometry.joints:
        return view.reading
    reading = view.reading.copy()
    reading[_places(problem.geometry)] += state.offsets
    if view.speed is not None:
        reading = reading + state.delay * view.speed
    return reading


def errors_of(problem: Problem, state: State) -> list[np.ndarray]:
    """Return for each view predicted minus seen pixels (n, 2)."""
    return [linear(problem, state, view).error.reshape(-1, 2) for view in problem.views]


def moved(free: Free, state: State, step: np.ndarray) -> State:
    """Return a state after a step (p,); poses are moved in their own frames."""
    figures, offsets = state.figures.copy(), state.offsets.copy()
    column = 12 + free.optics
    figures[: free.optics] += step[12:column]
    offsets[list(free.offsets)] += step[column : column + len(free.offsets)]
    delay = state.delay + (float(step[-1]) if free.delay else 0.0)
    return State(
        state.camera @ exponential(step[CAMERA]), state.board @ exponential(step[BOARD]), figures, offsets, delay
    )


@dataclass(frozen=True)
class Fit:
    """A state of least error, its information matrix (p, p), and each view's whitened root mean square."""

    state: State
    information: np.ndarray
    lengths: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """Covariance (p, p) of all unknowns, poses in their own frames."""
        return np.linalg.pinv(self.information, rcond=1e-14, hermitian=True)


def fit(problem: Problem, start: State, noise: Noise, iterations: int = ITERATIONS) -> Fit:
    """Return the fit near ``start`` by Gauss and Newton's method with Levenberg's damping.

    What the joints' errors do to the pixels is taken at ``start`` and kept: were it free, the fit would look for states
    at which errors do much, and excuse them. Call again from the result until nothing changes.
    """
    damping = 1e-6
    shapes = [shape_of(linear(problem, start, view), noise.of(view)) for view in problem.views]
    state, (cost, information, gradient, lengths) = start, _normal(problem, start, shapes)
    for _ in range(iterations):
        scale = np.diag(information).copy()
        step = -np.linalg.solve(information + np.diag(damping * scale + 1e-12), gradient)
        trial = moved(problem.free, state, step)
        found = _normal(problem, trial, shapes)
        if not found[0] <= cost * (1 + 1e-12):
            damping = max(damping, 1e-6) * 8
            if damping > 1e9:
                break
            continue
        small = cost - found[0] <= _SETTLED * (1 + cost)
        state, (cost, information, gradient, lengths) = trial, found
        damping = max(damping / 8, 1e-12)
        if small:
            break
    return Fit(state, information, lengths)


def _normal(
    problem: Problem, state: State, shapes: Sequence["Shape"]
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return cost, information (p, p), gradient (p,) and lengths (views,) with the views' weights."""
    prior, pull = _prior(problem, state)
    information, gradient, cost = np.diag(prior), prior * pull, float(prior @ pull**2) / 2
    lengths = []
    for view, shape in zip(problem.views, shapes, strict=True):
        slope, error = shape.whiten(linear(problem, state, view))
        length = float(np.sqrt(error @ error / len(error)))
        weight = min(1.0, _HUBER / max(length, 1e-12))
        information += weight * slope.T @ slope
        gradient += weight * slope.T @ error
        # Huber's function of the length, times the number of errors
        cost += len(error) * (length**2 / 2 if length <= _HUBER else _HUBER * (length - _HUBER / 2))
        lengths.append(length)
    return cost, information, gradient, np.array(lengths)


@dataclass(frozen=True)
class Shape:
    """The inverse root of a view's covariance ``s_p² I + s_q² N Nᵀ``: only the few directions of N are shrunk."""

    pixel: float
    axes: np.ndarray  # (m, t)
    shrink: np.ndarray  # (t,)

    def whiten(self, row: Linear) -> tuple[np.ndarray, np.ndarray]:
        """Return slope and error in units in which the errors are independent with variance 1."""
        slope, error = row.slope / self.pixel, row.error / self.pixel
        if not len(self.shrink):
            return slope, error
        along, amount = self.axes.T @ slope, self.axes.T @ error
        return slope + self.axes @ (self.shrink[:, None] * along), error + self.axes @ (self.shrink * amount)


def shape_of(row: Linear, noise: Noise) -> Shape:
    """Return the shape of a view's noise at a state."""
    if noise.joint <= 0 or not row.noise.size:
        return Shape(noise.pixel, np.zeros((len(row.error), 0)), np.zeros(0))
    u, s, _ = np.linalg.svd(row.noise * (noise.joint / noise.pixel), full_matrices=False)
    return Shape(noise.pixel, u, 1 / np.sqrt(1 + s**2) - 1)


def whitened(row: Linear, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Return slope and error of a view in units in which its errors are independent with variance 1."""
    return shape_of(row, noise).whiten(row)


def _prior(problem: Problem, state: State) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverse variances (p,) of what is believed before, and how far the state is from it (p,)."""
    free = problem.free
    prior, pull = np.zeros(free.size), np.zeros(free.size)
    column = 12 + free.optics
    focal = problem.lens.fx
    widths = _OPTICS_PRIOR * np.array([focal] * 4 + [1.0] * 5)
    prior[12:column] = 1 / widths[: free.optics] ** 2
    pull[12:column] = (state.figures - optics.figures(problem.lens))[: free.optics]
    prior[column : column + len(free.offsets)] = OFFSET_PRIOR_RAD**-2
    pull[column : column + len(free.offsets)] = state.offsets[list(free.offsets)]
    if free.delay:
        prior[-1], pull[-1] = DELAY_PRIOR_S**-2, state.delay
    return prior, pull


def exponential(step: np.ndarray) -> np.ndarray:
    """Return the transform (4, 4) of a translation (m) and a rotation vector (rad), (6,)."""
    return transform(step[:3], from_rotation_vector(step[3:]))


def _turning(by_point: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the derivative (n, 2, 3) by a rotation vector w that moves points (n, 3) by ``w x p``."""
    # d(w x p) = -[p]x w, so row · (w x p) = (p x row) · w
    x, y, z = points[:, 0, None], points[:, 1, None], points[:, 2, None]
    a, b, c = by_point[:, :, 0], by_point[:, :, 1], by_point[:, :, 2]
    out = np.empty_like(by_point)
    out[:, :, 0], out[:, :, 1], out[:, :, 2] = y * c - z * b, z * a - x * c, x * b - y * a
    return out


def _places(geometry: Geometry) -> list[int]:
    return list(getattr(geometry, "places", range(len(geometry.joints))))
