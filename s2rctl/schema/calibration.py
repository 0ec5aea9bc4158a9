"""What a camera calibration found, and how sure it is of it."""

import math
from typing import Literal

from pydantic import ValidationError

from s2rctl.core.errors import ArtifactError
from s2rctl.schema.base import Model, quantity
from s2rctl.schema.cameras import Intrinsics as Intrinsics
from s2rctl.schema.deployment import Board
from s2rctl.schema.simulation import Appearance

Vector3 = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Row6 = tuple[float, float, float, float, float, float]
Covariance = tuple[Row6, Row6, Row6, Row6, Row6, Row6]


class CameraPose(Model):
    """Pose of the camera in its parent's frame, in both conventions for its axes."""

    parent: str = quantity(..., "", "body whose frame this is: the robot's base, or the body that carries the camera")
    position_m: Vector3 = quantity(..., "m", "optical centre")
    quaternion_opencv: Quaternion = quantity(..., "", "w x y z; camera axes: x right, y down, z forward")
    quaternion_mujoco: Quaternion = quantity(..., "", "w x y z; camera axes: x right, y up, z backward")


class PoseResidual(Model):
    """How well one robot pose agrees."""

    corners: int = quantity(..., "", "board corners seen", ge=1)
    train_px: float = quantity(..., "px", "reprojection error, root mean square, when all poses are used")
    held_out_px: float = quantity(..., "px", "the same when the camera is solved from the other poses")
    held_out_position_m: float = quantity(..., "m", "board position predicted from the other poses, error")
    held_out_rotation_deg: float = quantity(..., "deg", "board rotation predicted from the other poses, error")
    view: str = quantity("", "", "its picture")


class JointZero(Model):
    """Where a joint's zero was found."""

    joint: str
    offset_deg: float = quantity(..., "deg", "true position minus reading")
    sigma_deg: float = quantity(..., "deg", "standard deviation", ge=0)


class Calibration(Model):
    """Result of ``calibrate-camera``."""

    schema_version: Literal[1] = 1
    camera: str
    robot: str = quantity(..., "", "robot table name")
    mode: Literal["rehearse", "live"]
    mounting: Literal["eye-to-hand", "eye-in-hand"]
    method: str
    board: Board
    intrinsics: Intrinsics
    pose: CameraPose
    covariance: Covariance = quantity(
        ..., "m², m·rad, rad²", "6 x 6 of translation and rotation vector in the camera's own frame, OpenCV axes"
    )
    spread_position_m: float = quantity(..., "m", "largest shift of the camera when one pose is left out", ge=0)
    spread_rotation_deg: float = quantity(..., "deg", "largest turn of the camera when one pose is left out", ge=0)
    poses: int = quantity(..., "", "robot poses used", ge=3)
    train_px: float = quantity(..., "px", "reprojection error, root mean square")
    held_out_px: float = quantity(..., "px", "reprojection error of poses left out, root mean square")
    held_out_position_m: float = quantity(..., "m", "board position error of poses left out, median")
    held_out_rotation_deg: float = quantity(..., "deg", "board rotation error of poses left out, median")
    residuals: tuple[PoseResidual, ...]
    made_at: float = quantity(0.0, "s", "when, since 1970; 0: not known")
    camera_serial: str = quantity("", "", "serial number, or the device where it has none")
    robot_serial: str = ""
    robot_model: str = ""
    kinematics: Literal["nominal", "factory"] = quantity("nominal", "", "whose link figures the poses come from")
    pixel_sigma: float = quantity(0.0, "px", "the detector's error on one axis", ge=0)
    joint_sigma_deg: float = quantity(0.0, "deg", "error of the joints that the pictures show", ge=0)
    freedom: int = quantity(1, "", "degrees of freedom of the errors' size", ge=1)
    bootstrap_ratio: float = quantity(
        1.0,
        "",
        "deviation by resampling the views over that of the model of noise; above 1.5 the covariance is the former",
        ge=0,
    )
    joint_zeros: tuple[JointZero, ...] = quantity((), "", "zeros that were estimated")
    delay_s: float | None = quantity(None, "s", "joints are read this much before the picture; none: not estimated")
    left_out: tuple[str, ...] = quantity((), "", "views that contradict the others")
    rehearsed_error_m: float | None = quantity(None, "m", "distance from the truth, which only a rehearsal knows")
    verdict: str = ""

    def ellipsoid_m(self) -> tuple[float, float, float]:
        """Return the half axes (m) of the ellipsoid that holds the camera's position with 95 %, the longest first."""
        return self._axes(0)

    def ellipsoid_deg(self) -> tuple[float, float, float]:
        """Return those (deg) of the ellipsoid that holds its rotation with 95 %."""
        longest, middle, shortest = (math.degrees(axis) for axis in self._axes(3))
        return longest, middle, shortest

    def _axes(self, first: int) -> tuple[float, float, float]:
        """Return the 95 % half axes of three entries of the covariance."""
        import numpy as np

        part, scale = np.array(self.covariance)[first : first + 3, first : first + 3], hotelling(3, self.freedom)
        axes = np.sqrt(np.maximum(np.linalg.eigvalsh(part), 0.0) * scale)
        longest, middle, shortest = (float(axis) for axis in axes[::-1])
        return longest, middle, shortest

    def age_s(self, now: float) -> float | None:
        """Return the age (s) at a time since 1970; None where it is not known when it was made."""
        return now - self.made_at if self.made_at > 0 else None


def hotelling(dimensions: int, freedom: int) -> float:
    """Return the squared Mahalanobis length that holds 95 %.

    Wilson and Hilferty's approximation of chi², corrected to first order for a variance that is itself estimated with
    ``freedom`` degrees of freedom.
    """
    share = 2.0 / (9.0 * dimensions)
    chi = dimensions * (1.0 - share + 1.644854 * share**0.5) ** 3
    return chi * (1.0 + (chi + dimensions) / (2.0 * max(freedom, 2)))


def randomisation(calibration: Calibration, nominal: Appearance, sigmas: float = 2.0) -> Appearance:
    """Return ``nominal`` with camera ranges of ``sigmas`` standard deviations of the calibration.

    Positions are in the camera's own frame. OpenCV's and MuJoCo's camera axes differ by the signs of y and z, which a
    symmetric range does not see. The rotation range is that of the largest axis. ArtifactError for a calibration that
    is so unsure that no training could use it.
    """
    deviation = [max(calibration.covariance[i][i], 0.0) ** 0.5 for i in range(6)]
    position = (sigmas * deviation[0], sigmas * deviation[1], sigmas * deviation[2])
    degrees = sigmas * max(deviation[3:]) * 57.29577951308232
    ranges = {"camera_position_m": position, "camera_rotation_deg": degrees}
    try:
        return Appearance.model_validate({**nominal.model_dump(), **ranges})
    except ValidationError as error:
        raise ArtifactError(
            f"the calibration of {calibration.camera} is too uncertain: {sigmas:g} standard deviations are "
            f"{max(position):.3g} m and {degrees:.3g} deg",
            "calibrate again with more poses: --set calibration.poses=30",
        ) from error
