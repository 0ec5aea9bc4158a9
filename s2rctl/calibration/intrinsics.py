"""The pinhole camera, its intrinsic calibration, and the two conventions for camera axes.

OpenCV: x right, y down, z forward; the centre of the first pixel is (0, 0).
MuJoCo: x right, y up, z backward; ``principalpixel`` is the offset of the image centre from the principal point.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from pydantic import ValidationError

from s2rctl.calibration.board import Detection
from s2rctl.core.errors import RunError
from s2rctl.scene.mount import FLIP as FLIP
from s2rctl.schema.calibration import Intrinsics


def from_fovy(width: int, height: int, fovy_deg: float) -> Intrinsics:
    """Return the ideal camera with square pixels and the given vertical field of view."""
    focal = height / 2 / math.tan(math.radians(fovy_deg) / 2)
    return Intrinsics(width=width, height=height, fx=focal, fy=focal, cx=(width - 1) / 2, cy=(height - 1) / 2)


def fovy_deg(camera: Intrinsics) -> float:
    """Return the vertical field of view in degrees, the principal point taken as central."""
    return math.degrees(2 * math.atan(camera.height / 2 / camera.fy))


def matrix(camera: Intrinsics) -> np.ndarray:
    """Return K (3, 3)."""
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], float)


def project(camera: Intrinsics, points: np.ndarray) -> np.ndarray:
    """Return pixels (..., 2) of points (..., 3) m in camera axes (OpenCV), with its distortion model."""
    x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    k1, k2, p1, p2, k3 = camera.distortion
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    u = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
    v = y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y
    return np.stack([camera.fx * u + camera.cx, camera.fy * v + camera.cy], -1)


def calibrate_intrinsics(detections: Sequence[Detection], width: int, height: int) -> tuple[Intrinsics, float]:
    """Return camera and reprojection error (px) from views of the board.

    Raises RunError with fewer than 5 views, and when they do not tell the camera, e.g. all from one place.
    """
    if len(detections) < 5:
        raise RunError(f"{len(detections)} views of the board are too few", "take at least 5, tilted differently")
    points = [view.points.astype(np.float32) for view in detections]
    pixels = [view.pixels.astype(np.float32) for view in detections]
    try:
        error, k, distortion, _, _ = cv2.calibrateCamera(points, pixels, (width, height), None, None)  # type: ignore[call-overload]
        k1, k2, p1, p2, k3 = (float(value) for value in distortion.reshape(-1)[:5])
        sides = {"width": width, "height": height, "fx": k[0, 0], "fy": k[1, 1], "cx": k[0, 2], "cy": k[1, 2]}
        return Intrinsics(**sides, distortion=(k1, k2, p1, p2, k3)), float(error)
    except (cv2.error, ValidationError) as problem:
        raise RunError(
            f"{len(detections)} views of the board do not determine the camera's optics",
            "take pictures of the board from different places and tilted differently",
        ) from problem
