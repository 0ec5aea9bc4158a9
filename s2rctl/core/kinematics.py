"""Forward and inverse kinematics of a tree of links: one formula for the control loop (numpy) and for training (JAX).

A joint's rotation is ``still @ (I + sin(q) K + (1 - cos(q)) K²)`` with the cross product matrix K of its axis
(Rodrigues); the constant matrices of all joints are made once. ``xp`` is numpy or jax.numpy; this module needs no JAX.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from s2rctl.core.spatial import rotation_vector, to_matrix


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
    """A named point that is fixed to a link, and its axes."""

    link: str
    position: tuple[float, float, float]  # m, in the link
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)  # w x y z of any length, in the link


class Turns(NamedTuple):
    """Rotations of n hinged links in their parents: still + sin(q) turning + (1 - cos(q)) squared, each (n, 3, 3)."""

    still: np.ndarray
    turning: np.ndarray
    squared: np.ndarray

    def at(self, angles: Any, xp: Any = np) -> Any:
        """Return the rotations (..., n, 3, 3) at angles (..., n) rad."""
        sine, rest = xp.sin(angles)[..., None, None], (1.0 - xp.cos(angles))[..., None, None]
        return self.still + sine * self.turning + rest * self.squared


def turns_of(links: Sequence[Link]) -> Turns:
    """Return the constants of the rotations of ``links``."""
    still = np.array([to_matrix(link.quaternion) for link in links]).reshape(-1, 3, 3)
    x, y, z = np.array([_unit(link.axis) for link in links]).reshape(-1, 3).T
    zero = np.zeros_like(x)
    cross = np.moveaxis(np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]), -1, 0)
    return Turns(still, still @ cross, still @ (cross @ cross))


class Frames(NamedTuple):
    """A named point, and the joints that move it, nearest to the world first."""

    position: Any  # (3,) m, of the point
    rotation: Any  # (3, 3), its axes
    axes: Any  # (k, 3) unit vectors of the joints
    anchors: Any  # (k, 3) m, origins of the links that they move


def jacobian(frames: Frames, point: Any, xp: Any = np) -> Any:
    """Return the geometric Jacobian (6, k), linear rows first, of a ``point`` (3,) m that k hinges move."""
    return xp.concatenate([xp.cross(frames.axes, point - frames.anchors).T, frames.axes.T])


class _Step(NamedTuple):
    """What one link adds to its parent's pose."""

    parent: int  # -1: the world
    offset: np.ndarray  # (3,) m, in the parent
    still: np.ndarray  # (3, 3) at joint position 0, in the parent
    axis: np.ndarray  # (3,) of unit length, in the parent
    joint: int  # -1: welded
    row: int  # of a hinge among the tree's ``Turns``; -1: welded or sliding


class Kinematics:
    """Poses of named points for joint positions in the order of ``joints``; only what carries a point is computed."""

    def __init__(self, links: Sequence[Link], joints: Sequence[str], points: Mapping[str, Point]) -> None:
        self.joints = tuple(joints)
        self._links, self._declared = tuple(links), dict(points)
        hinges = [link for link in links if link.joint and not link.slide]
        self._turns = turns_of(hinges)
        self._angles = _run([self.joints.index(link.joint) for link in hinges])
        self._steps: list[_Step] = []
        index = {"": -1}
        for number, link in enumerate(links):
            if link.parent not in index:
                raise ValueError(f"link '{link.name}' hangs on '{link.parent}', which does not come before it")
            index[link.name] = number
            position, still = np.array(link.position, float), to_matrix(link.quaternion)
            joint = self.joints.index(link.joint) if link.joint else -1
            row = hinges.index(link) if link in hinges else -1
            self._steps.append(_Step(index[link.parent], position, still, still @ _unit(link.axis), joint, row))
        self._turned = {name: to_matrix(p.quaternion) for name, p in points.items() if any(p.quaternion[1:])}
        self._points = {name: (index[p.link], np.array(p.position, float)) for name, p in points.items()}
        self._paths = {name: self._path(link) for name, (link, _) in self._points.items()}

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the points."""
        return tuple(self._points)

    def links_to(self, name: str) -> tuple[tuple[Link, ...], Point]:
        """Return the links from the world to a named point, nearest to the world first, and the point."""
        return tuple(self._links[number] for number in self._paths[name]), self._declared[name]

    def pose(self, name: str, joint_pos: Any, xp: Any = np) -> tuple[Any, Any]:
        """Return position (3,) m and rotation (3, 3) of a named point."""
        return self._at(name, self._poses((name,), joint_pos, xp))

    def point(self, name: str, joint_pos: Any, xp: Any = np) -> Any:
        """Return the world position (3,) m of a named point."""
        return self.pose(name, joint_pos, xp)[0]

    def points_of(self, names: Sequence[str], joint_pos: np.ndarray) -> np.ndarray:
        """Return the world positions (len(names), 3) m of several points from one evaluation."""
        poses = self._poses(names, joint_pos, np)
        return np.array([self._at(name, poses)[0] for name in names])

    def frames(self, name: str, joint_pos: Any, xp: Any = np) -> Frames:
        """Return a named point and the joints that move it, in the world, for joint positions (n,)."""
        poses = self._poses((name,), joint_pos, xp)
        axes, anchors = [], []
        for number in self._paths[name]:
            step = self._steps[number]
            if step.joint >= 0:
                axes.append(step.axis if step.parent < 0 else poses[step.parent][1] @ step.axis)
                anchors.append(poses[number][0])
        return Frames(*self._at(name, poses), xp.array(axes).reshape(-1, 3), xp.array(anchors).reshape(-1, 3))

    def jacobian(self, name: str, joint_pos: np.ndarray) -> np.ndarray:
        """Return d(position m, rotation rad)/d(joints) (6, n) of a named point, in world axes."""
        return self._jacobian(name, self.frames(name, joint_pos))

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
        for left in reversed(range(iterations + 1)):
            frames = self.frames(name, q)
            error = np.concatenate([position - frames.position, rotation_vector(rotation @ frames.rotation.T)])
            size = float(np.linalg.norm(error))
            if size < tolerance or not left:
                break
            matrix = self._jacobian(name, frames)
            damping = min(1e-2, size) ** 2 + 1e-9
            step = matrix.T @ np.linalg.solve(matrix @ matrix.T + damping * np.eye(6), error)
            q = np.clip(q + step * min(1.0, 0.3 / max(float(np.max(np.abs(step))), 1e-12)), low, high)
        return q, size < 1e3 * tolerance

    def _path(self, link: int) -> tuple[int, ...]:
        """Return the links from the world to ``link``."""
        path = []
        while link >= 0:
            path.append(link)
            link = self._steps[link].parent
        return tuple(reversed(path))

    def _poses(self, names: Sequence[str], joint_pos: Any, xp: Any) -> dict[int, tuple[Any, Any]]:
        """Return positions (3,) m and rotations (3, 3) in the world of the links that carry the named points."""
        joint_pos = xp.asarray(joint_pos)
        turns = self._turns.at(joint_pos[self._angles], xp)
        poses: dict[int, tuple[Any, Any]] = {}
        for number in (number for name in names for number in self._paths[name]):
            if number in poses:
                continue
            parent, offset, still, axis, joint, row = self._steps[number]
            turn = still if row < 0 else turns[row]
            if row < 0 <= joint:
                offset = offset + axis * joint_pos[joint]
            if parent >= 0:
                at, axes = poses[parent]
                offset, turn = at + axes @ offset, axes @ turn
            poses[number] = offset, turn
        return poses

    def _at(self, name: str, poses: Mapping[int, tuple[Any, Any]]) -> tuple[Any, Any]:
        """Return position (3,) m and rotation (3, 3) of a named point among the poses of its links."""
        link, offset = self._points[name]
        at, axes = poses[link]
        return at + axes @ offset, axes @ self._turned[name] if name in self._turned else axes

    def _jacobian(self, name: str, frames: Frames) -> np.ndarray:
        """Return the columns of all joints (6, n): those that do not move the point are zero, slides do not turn it."""
        result = np.zeros((6, len(self.joints)))
        moving = [step for step in (self._steps[number] for number in self._paths[name]) if step.joint >= 0]
        for step, axis, column in zip(moving, frames.axes, jacobian(frames, frames.position).T, strict=True):
            result[:, step.joint] += column if step.row >= 0 else [*axis, 0.0, 0.0, 0.0]
        return result


def _run(numbers: list[int]) -> slice | np.ndarray:
    """Return a slice where the numbers are consecutive: it is much cheaper than an index array."""
    first = numbers[0] if numbers else 0
    consecutive = numbers == list(range(first, first + len(numbers)))
    return slice(first, first + len(numbers)) if consecutive else np.array(numbers)


def _unit(vector: Sequence[float]) -> np.ndarray:
    return np.array(vector, float) / np.linalg.norm(vector)
