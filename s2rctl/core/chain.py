"""Where one point of a kinematic tree is, in plain numbers.

As fast as numpy in a row, and hardly slower after a pause: every numpy function that is called for the first time after
a control loop's sleep costs some 10 µs, because its code has left the processor's caches.
"""

from collections.abc import Sequence
from math import cos, sin

import numpy as np

Triple = tuple[float, float, float]

Segment = tuple[int, bool, float, float, float, tuple[float, ...]]
"""A link's pose in its parent, first the joint's motion, then a constant rotation and offset: index into the joint
positions (-1: welded), whether it slides, its axis (of unit length, in the link), and the pose (12,), 3x4 by rows, m.
"""


class Chain:
    """The links from a point to the world."""

    def __init__(self, point: Sequence[float], segments: Sequence[Segment]) -> None:
        x, y, z = point
        self._point = (float(x), float(y), float(z))
        self._segments = _without_welds(segments)

    def position(self, joint_pos: Sequence[float]) -> Triple:
        """Return the point's place (3,) m in the world for joint positions (n,), by Rodrigues' formula."""
        x, y, z = self._point
        for joint, slide, i, j, k, (a, b, c, u, d, e, f, v, g, h, m, w) in self._segments:
            if slide:
                q = joint_pos[joint]
                x, y, z = x + q * i, y + q * j, z + q * k
            elif joint >= 0:
                q = joint_pos[joint]
                near, far = cos(q), sin(q)
                along = (1.0 - near) * (i * x + j * y + k * z)
                x, y, z = (
                    near * x + far * (j * z - k * y) + along * i,
                    near * y + far * (k * x - i * z) + along * j,
                    near * z + far * (i * y - j * x) + along * k,
                )
            x, y, z = a * x + b * y + c * z + u, d * x + e * y + f * z + v, g * x + h * y + m * z + w
        return x, y, z


def segment(pose: np.ndarray, joint: int, axis: Sequence[float], slide: bool) -> Segment:
    """Return a segment from its pose (4, 4) when the joint is at 0."""
    i, j, k = (float(value) for value in axis)
    return joint, slide, i, j, k, tuple(pose[:3].ravel().tolist())


def _without_welds(segments: Sequence[Segment]) -> list[Segment]:
    """Return segments with the same product, the welded ones taken into those that they carry."""
    result: list[Segment] = []
    weld = np.eye(4)
    for link in reversed(segments):  # from the world outwards
        joint, slide, *axis, pose = link
        weld = weld @ np.vstack([np.reshape(pose, (3, 4)), [0.0, 0.0, 0.0, 1.0]])
        if joint >= 0 or link is segments[0]:
            result.append(segment(weld, joint, axis, slide))
            weld = np.eye(4)
    return result[::-1]
