"""The arm between the two frames that a calibration relates, from joint readings or from poses of the hand.

Both mountings share one equation. With C_i the board in the camera at robot pose i, X the camera in its parent and Y
the board in the other frame, ``C_i = X⁻¹ A_i Y``:

- eye-to-hand (camera fixed in the base, board on the hand): A_i is the hand in the base, its target frame the base,
- eye-in-hand (camera on the hand, board fixed in the base): A_i is the base in the hand, its target frame the hand.

A twist (6,) is what a small error does to a point p of the target frame: ``dp = twist[:3] + twist[3:] x p``.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.core.kinematics import Kinematics, Point
from s2rctl.core.spatial import inverse, to_matrix, transform
from s2rctl.robots.protocol import RobotSpecification

REACH_M = 0.4
"""Lever over which an error of the joints shifts a hand of which only the pose is known."""
_HAND = "hand"
_KNOWN = 4096


class Geometry(Protocol):
    """From a reading of the robot to A_i, and how that errs."""

    in_hand: bool
    joints: tuple[str, ...]  # whose zero offsets can be estimated; none where poses were read

    def motion(self, reading: np.ndarray) -> np.ndarray:
        """Return A_i (4, 4)."""

    def errors(self, reading: np.ndarray) -> np.ndarray:
        """Return the twists (t, 6) of independent errors of one size (rad)."""

    def offsets(self, reading: np.ndarray) -> np.ndarray:
        """Return the twists (k, 6) of the joints' offsets (rad)."""


class Chain:
    """Joint readings (n,) rad in the order of ``specification.joints``, through the arm's own kinematics."""

    def __init__(self, specification: RobotSpecification, arm: str, hand: str, in_hand: bool) -> None:
        """``arm`` is the arm's prefix, ``hand`` the link of its kinematics that holds the board or carries the camera.

        Raises UsageError for a link that the arm does not have.
        """
        self.in_hand = in_hand
        links = _links_to(specification, arm, hand)
        self._links = links
        order = tuple(link.joint for link in links if link.joint)
        self.joints = order
        self._places = [specification.joints.index(joint) for joint in order]
        self._kinematics = Kinematics(links, order, {_HAND: Point(hand, (0.0, 0.0, 0.0))})
        base = next(link for link in links if link.name == f"{arm}{specification.base_body}")
        above = Kinematics(links[: links.index(base) + 1], (), {_HAND: Point(base.name, (0.0, 0.0, 0.0))})
        self._known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        self._base = inverse(transform(*above.pose(_HAND, np.zeros(0))))

    @property
    def places(self) -> list[int]:
        """Where the chain's joints are in a reading."""
        return self._places

    def motion(self, reading: np.ndarray) -> np.ndarray:
        """Return A_i (4, 4)."""
        return self._at(reading)[0]

    def errors(self, reading: np.ndarray) -> np.ndarray:
        """Return the twists (k, 6) of the joints."""
        return self._at(reading)[1]

    def offsets(self, reading: np.ndarray) -> np.ndarray:
        """Return the twists (k, 6) of the joints."""
        return self._at(reading)[1]

    def motions(self, readings: np.ndarray) -> np.ndarray:
        """Return A_i (count, 4, 4) of many readings (count, n)."""
        joints = readings[:, self._places]
        total = np.tile(self._base @ np.eye(4), (len(readings), 1, 1))
        for link in self._links:
            total = total @ transform(link.position, to_matrix(link.quaternion))
            if link.joint:
                total = total @ _turns(np.array(link.axis, float), joints[:, self.joints.index(link.joint)])
        if not self.in_hand:
            return total
        back = np.swapaxes(total[:, :3, :3], 1, 2)
        found = np.tile(np.eye(4), (len(readings), 1, 1))
        found[:, :3, :3], found[:, :3, 3] = back, -(back @ total[:, :3, 3:])[..., 0]
        return found

    def _at(self, reading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return A_i and twists; an adjustment asks for the same readings again and again."""
        joints = reading[self._places]
        key = joints.tobytes()
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            found = self._known[key] = self._work_out(joints)
        return found

    def _work_out(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frames = self._kinematics.frames(_HAND, joints)
        hand = self._base @ transform(*self._kinematics.pose(_HAND, joints))
        rotation = self._base[:3, :3]
        axes = frames.axes @ rotation.T
        anchors = frames.anchors @ rotation.T + self._base[:3, 3]
        if not self.in_hand:
            return hand, np.concatenate([np.cross(anchors, axes), axes], axis=1)
        motion = inverse(hand)  # base in hand: seen from the hand, the base moves the other way
        turned = axes @ motion[:3, :3].T
        moved = anchors @ motion[:3, :3].T + motion[:3, 3]
        return motion, -np.concatenate([np.cross(moved, turned), turned], axis=1)


class Poses:
    """Readings are poses of the hand in the base, (4, 4)."""

    joints: tuple[str, ...] = ()

    def __init__(self, in_hand: bool) -> None:
        self.in_hand = in_hand

    def motion(self, reading: np.ndarray) -> np.ndarray:
        """Return A_i (4, 4)."""
        return inverse(reading) if self.in_hand else reading

    def errors(self, reading: np.ndarray) -> np.ndarray:
        """Return the twists (6, 6) of turns about the hand's axes, and of the shifts that go with them."""
        turn = np.eye(3) if self.in_hand else reading[:3, :3]
        place = np.zeros(3) if self.in_hand else reading[:3, 3]
        shifts = np.concatenate([REACH_M * turn.T, np.zeros((3, 3))], axis=1)
        turns = np.concatenate([np.cross(place, turn.T), turn.T], axis=1)
        twists = np.concatenate([shifts, turns])
        return -twists if self.in_hand else twists

    def offsets(self, reading: np.ndarray) -> np.ndarray:
        """Return no twists: nothing is known of joints."""
        return np.zeros((0, 6))


def _turns(axis: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return turns (count, 4, 4) about a unit axis (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    found = np.tile(np.eye(4), (len(angles), 1, 1))
    sine, rest = np.sin(angles)[:, None, None], (1 - np.cos(angles))[:, None, None]
    found[:, :3, :3] += sine * cross + rest * (cross @ cross)
    return found


def _links_to(specification: RobotSpecification, arm: str, hand: str) -> Sequence:  # type: ignore[type-arg]
    """Return the links of an arm from its base to its hand."""
    for name in specification.kinematics.points:
        links, _ = specification.kinematics.links_to(name)
        names = [link.name for link in links]
        if hand in names and f"{arm}{specification.base_body}" in names:
            return links[: names.index(hand) + 1]
    raise UsageError(f"the {specification.name} has no link '{hand}'", "name the body that carries the camera")
