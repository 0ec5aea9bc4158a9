"""Forward and inverse kinematics of a tree of links in numpy, fast enough for the control loop.

A joint's rotation is written as ``fixed @ (I + sin(q) K + (1 - cos(q)) K²)`` (Rodrigues). The constant matrices of all
links are made once; one evaluation is one vector operation over the links and one small product per level of the tree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from s2rctl.core.chain import Chain, segment
from s2rctl.core.spatial import rotation_vector, to_matrix, transform


@dataclass(frozen=True)
class Link:
    """A body that hangs on another one; MuJoCo's conventions."""

    name: str
    parent: str  # name of an earlier link; "" is the world
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, in the parent
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)  # w x y z of any length
    joint: str = ""  # "" is welded
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)  # in the link
    slide: bool = False


@dataclass(frozen=True)
class Point:
    """A point fixed to a link."""

    link: str
    position: tuple[float, float, float]  # m, in the link


class Kinematics:
    """Poses of the links and named points for joint positions in the order of ``joints``."""

    def __init__(self, links: Sequence[Link], joints: Sequence[str], points: Mapping[str, Point]) -> None:
        self.joints = tuple(joints)
        self._links = links = _by_level(links)
        self._declared = points
        self._index = {link.name: number for number, link in enumerate(links)}
        self._parents = [self._index[link.parent] if link.parent else -1 for link in links]
        self._driven = [self.joints.index(link.joint) if link.joint else -1 for link in links]
        self._joint = np.maximum(self._driven, 0)
        self._slide = [link.slide for link in links]
        self._hinge = np.array([bool(link.joint) and not link.slide for link in links], float)
        self._axes = np.array([link.axis for link in links], float)
        self._axes /= np.linalg.norm(self._axes, axis=1, keepdims=True)
        # local pose = coefficients (1, sin, 1 - cos, travel) times these four constant matrices of each link
        basis = np.zeros((len(links), 4, 4, 4))
        for number, link in enumerate(links):
            rotation, cross = to_matrix(link.quaternion), _cross_matrix(self._axes[number])
            basis[number, 0] = transform(link.position, rotation)
            basis[number, 1, :3, :3], basis[number, 2, :3, :3] = rotation @ cross, rotation @ cross @ cross
            basis[number, 3, :3, 3] = rotation @ self._axes[number] * link.slide
        self._basis = basis.reshape(len(links), 4, 16)
        self._levels = _levels(links, self._parents)
        self._points = {name: (self._index[p.link], np.array(p.position, float)) for name, p in points.items()}

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the points."""
        return tuple(self._points)

    def reduced(self, names: Sequence[str]) -> "Kinematics":
        """Return the kinematics of the same joints with only the links that carry the named points."""
        needed: set[int] = set()
        for name in names:
            link = self._points[name][0]
            while link >= 0:
                needed.add(link)
                link = self._parents[link]
        links = [link for number, link in enumerate(self._links) if number in needed]
        return Kinematics(links, self.joints, {name: self._declared[name] for name in names})

    def links_to(self, name: str) -> tuple[tuple[Link, ...], Point]:
        """Return the links from the world to a named point, nearest to the world first, and the point."""
        chain: list[Link] = []
        link = self._points[name][0]
        while link >= 0:
            chain.append(self._links[link])
            link = self._parents[link]
        return tuple(reversed(chain)), self._declared[name]

    def poses(self, joint_pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return positions (links, 3) m and rotations (links, 3, 3) in the world for joint positions (n,).

        Links are in the order of their depth in the tree.
        """
        value = np.asarray(joint_pos, float)[self._joint]
        angle = value * self._hinge
        coefficients = np.empty((len(value), 1, 4))
        coefficients[:, 0, 0] = 1.0
        np.sin(angle, out=coefficients[:, 0, 1])
        np.subtract(1.0, np.cos(angle), out=coefficients[:, 0, 2])
        coefficients[:, 0, 3] = value
        world = (coefficients @ self._basis).reshape(-1, 4, 4)
        for links, parents in self._levels:
            world[links] = world[parents] @ world[links]
        return world[:, :3, 3], world[:, :3, :3]

    def point(self, name: str, joint_pos: np.ndarray) -> np.ndarray:
        """Return the world position (3,) m of a named point."""
        positions, rotations = self.poses(joint_pos)
        link, offset = self._points[name]
        return positions[link] + rotations[link] @ offset

    def points_of(self, names: Sequence[str], joint_pos: np.ndarray) -> np.ndarray:
        """Return the world positions (len(names), 3) m of several points from one evaluation."""
        positions, rotations = self.poses(joint_pos)
        result = np.empty((len(names), 3))
        for row, name in enumerate(names):
            link, offset = self._points[name]
            result[row] = positions[link] + rotations[link] @ offset
        return result

    def chain(self, name: str) -> Chain:
        """Return the way from a named point to the world, for positions of that point alone."""
        link, offset = self._points[name]
        segments = []
        while link >= 0:
            pose = self._basis[link, 0].reshape(4, 4)
            segments.append(segment(pose, self._driven[link], self._axes[link], self._slide[link]))
            link = self._parents[link]
        return Chain(offset.tolist(), segments)

    def pose(self, name: str, joint_pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return position (3,) m and rotation (3, 3) of a named point; its axes are its link's."""
        positions, rotations = self.poses(joint_pos)
        link, offset = self._points[name]
        return positions[link] + rotations[link] @ offset, rotations[link]

    def jacobian(self, name: str, joint_pos: np.ndarray) -> np.ndarray:
        """Return d(position m, rotation rad)/d(joints) (6, n) of a named point, in world axes."""
        positions, rotations = self.poses(joint_pos)
        link, offset = self._points[name]
        tip = positions[link] + rotations[link] @ offset
        result = np.zeros((6, len(self.joints)))
        while link >= 0:
            if self._driven[link] >= 0:
                axis = rotations[link] @ self._axes[link]
                column = result[:, self._driven[link]]
                if self._slide[link]:
                    column[:3] += axis
                else:
                    column[:3] += _cross(axis, tip - positions[link])
                    column[3:] += axis
            link = self._parents[link]
        return result

    def solve(
        self,
        name: str,
        position: np.ndarray,
        rotation: np.ndarray,
        start: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        iterations: int = 50,
        tolerance: float = 1e-6,
    ) -> tuple[np.ndarray, bool]:
        """Return joint positions (n,) that bring the point to the pose, and whether it was reached.

        Damped least squares from ``start`` (Nakamura and Hanafusa 1986), each iterate clipped to [low, high].
        """
        q = np.clip(np.asarray(start, float), low, high)
        for _ in range(iterations):
            at, axes = self.pose(name, q)
            error = np.concatenate([position - at, rotation_vector(rotation @ axes.T)])
            size = float(np.linalg.norm(error))
            if size < tolerance:
                return q, True
            jacobian = self.jacobian(name, q)
            damping = min(1e-2, size) ** 2 + 1e-9
            step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping * np.eye(6), error)
            q = np.clip(q + step * min(1.0, 0.3 / max(float(np.max(np.abs(step))), 1e-12)), low, high)
        at, axes = self.pose(name, q)
        error = np.concatenate([position - at, rotation_vector(rotation @ axes.T)])
        return q, bool(np.linalg.norm(error) < 1e3 * tolerance)


def _depths(links: Sequence[Link]) -> list[int]:
    """Return how many links are above each one; raise ValueError for a parent that comes later or not at all."""
    depth: dict[str, int] = {"": -1}
    for link in links:
        if link.parent not in depth:
            raise ValueError(f"link '{link.name}' hangs on '{link.parent}', which does not come before it")
        depth[link.name] = depth[link.parent] + 1
    return [depth[link.name] for link in links]


def _by_level(links: Sequence[Link]) -> list[Link]:
    """Return the links sorted by depth, so that one level of parallel arms is one slice."""
    depths = _depths(links)
    return [links[number] for number in sorted(range(len(links)), key=lambda number: depths[number])]


def _levels(links: Sequence[Link], parents: Sequence[int]) -> list[tuple[slice | np.ndarray, slice | np.ndarray]]:
    """Return (links, their parents) for each depth below the roots, top first."""
    depths = _depths(links)
    rows = [[number for number, d in enumerate(depths) if d == level] for level in range(1, max(depths) + 1)]
    return [(_run(row), _run([parents[number] for number in row])) for row in rows]


def _run(numbers: list[int]) -> slice | np.ndarray:
    """Return a slice where the numbers are consecutive: it is much cheaper than an index array."""
    consecutive = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return slice(numbers[0], numbers[0] + len(numbers)) if consecutive else np.array(numbers)


def _cross_matrix(v: np.ndarray) -> np.ndarray:
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product (3,); ``numpy.cross`` takes ten times as long for one pair."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
