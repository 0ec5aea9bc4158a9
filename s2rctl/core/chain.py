"""Where one point of a kinematic tree is, in plain numbers.

As fast as numpy in a row, and hardly slower after a pause: every numpy function that is called for the first time after
a control loop's sleep costs some 10 µs, because its code has left the processor's caches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, sin

import numpy as np

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Segment:
    """A link's pose in its parent: first the joint's motion, then a constant rotation and offset."""

    joint: int  # index into the joint positions; -1: welded
    axis: Triple  # of unit length, in the link
    slide: bool
    rotation: tuple[float, ...]  # (9,) by rows
    position: Triple  # m

    def moved(self, point: Triple, joint_pos: Sequence[float]) -> Triple:
        """Return a point (3,) m of the link in its parent (Rodrigues' formula)."""
        x, y, z = point
        if self.joint >= 0:
            q, (i, j, k) = joint_pos[self.joint], self.axis
            if self.slide:
                x, y, z = x + q * i, y + q * j, z + q * k
            else:
                c, s = cos(q), sin(q)
                d = (1.0 - c) * (i * x + j * y + k * z)
                x, y, z = (
                    c * x + s * (j * z - k * y) + d * i,
                    c * y + s * (k * x - i * z) + d * j,
                    c * z + s * (i * y - j * x) + d * k,
                )
        a, b, c, d, e, f, g, h, m = self.rotation
        u, v, w = self.position
        return a * x + b * y + c * z + u, d * x + e * y + f * z + v, g * x + h * y + m * z + w


class Chain:
    """The links from a point to the world."""

    def __init__(self, point: Sequence[float], segments: Sequence[Segment]) -> None:
        x, y, z = point
        self._point = (float(x), float(y), float(z))
        self._segments = _without_welds(segments)

    def position(self, joint_pos: Sequence[float]) -> Triple:
        """Return the point's place (3,) m in the world for joint positions (n,)."""
        point = self._point
        for segment in self._segments:
            point = segment.moved(point, joint_pos)
        return point


def segment(pose: np.ndarray, joint: int, axis: np.ndarray, slide: bool) -> Segment:
    """Return a segment from its pose (4, 4) when the joint is at 0."""
    i, j, k = axis.tolist()
    x, y, z = pose[:3, 3].tolist()
    return Segment(joint, (i, j, k), slide, tuple(pose[:3, :3].ravel().tolist()), (x, y, z))


def _without_welds(segments: Sequence[Segment]) -> list[Segment]:
    """Return segments with the same product, the welded ones taken into those that they carry."""
    result: list[Segment] = []
    weld = np.eye(4)
    for link in reversed(segments):  # from the world outwards
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = np.reshape(link.rotation, (3, 3)), link.position
        weld = weld @ pose
        if link.joint >= 0 or link is segments[0]:
            result.append(segment(weld, link.joint, np.array(link.axis), link.slide))
            weld = np.eye(4)
    return result[::-1]
