"""How a pixel moves with the point that it shows and with the camera's own figures (OpenCV's model)."""

import numpy as np

from s2rctl.schema.cameras import Intrinsics

SIZES = (0, 4, 9)
"""Free figures of the optics: none; fx fy cx cy; these and k1 k2 p1 p2 k3."""


def figures(camera: Intrinsics) -> np.ndarray:
    """Return fx fy cx cy k1 k2 p1 p2 k3 (9,)."""
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion])


def with_figures(camera: Intrinsics, values: np.ndarray) -> Intrinsics:
    """Return the camera with other figures (9,)."""
    fx, fy, cx, cy, *distortion = (float(value) for value in values)
    return Intrinsics(
        width=camera.width, height=camera.height, fx=fx, fy=fy, cx=cx, cy=cy, distortion=tuple(distortion)
    )  # type: ignore[arg-type]


def project(values: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (n, 2) of points (n, 3) m in camera axes, and their derivatives.

    The derivatives are by the points (n, 2, 3) and by the nine figures (n, 2, 9).
    """
    fx, fy, cx, cy, k1, k2, p1, p2, k3 = values
    depth = points[:, 2]
    x, y = points[:, 0] / depth, points[:, 1] / depth
    s = x * x + y * y
    radial = 1 + s * (k1 + s * (k2 + s * k3))
    slope = k1 + s * (2 * k2 + 3 * k3 * s)  # of radial by s
    u = x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x)
    v = y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y
    ux = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    uy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    vy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    by_point = np.empty((len(points), 2, 3))
    by_point[:, 0] = fx * np.stack([ux, uy, -(ux * x + uy * y)], axis=1) / depth[:, None]
    by_point[:, 1] = fy * np.stack([uy, vy, -(uy * x + vy * y)], axis=1) / depth[:, None]
    by_figure = np.zeros((len(points), 2, 9))
    by_figure[:, 0, 0], by_figure[:, 1, 1] = u, v
    by_figure[:, 0, 2] = by_figure[:, 1, 3] = 1.0
    by_figure[:, 0, 4:] = fx * np.stack([x * s, x * s**2, 2 * x * y, s + 2 * x * x, x * s**3], axis=1)
    by_figure[:, 1, 4:] = fy * np.stack([y * s, y * s**2, s + 2 * y * y, 2 * x * y, y * s**3], axis=1)
    return np.stack([fx * u + cx, fy * v + cy], axis=1), by_point, by_figure
