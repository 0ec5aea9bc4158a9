"""From a solution to what is published: the calibration, its figures, its pictures and a verdict in one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from s2rctl.calibration import optics, overlay
from s2rctl.calibration.adjust import errors_of
from s2rctl.calibration.board import draw_detection, write_board
from s2rctl.calibration.hand_eye import Check, Solution, pose_error
from s2rctl.calibration.intrinsics import FLIP
from s2rctl.calibration.rehearse import Truth
from s2rctl.calibration.stand import Stand
from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import GateError
from s2rctl.core.spatial import from_matrix
from s2rctl.operations.calibration.session import write_picture
from s2rctl.schema.calibration import Calibration, CameraPose, JointZero, PoseResidual, hotelling
from s2rctl.schema.deployment import Calibration as Settings

_ZERO_DEG = 1.0
"""A joint zero that is further off, and surely so, has to be set before anything else is done with the arm."""
DOUBTFUL = 1.5
"""Ratio of the bootstrap's deviation to the information matrix's from which the larger one is published."""
_DIFFERENT = 3.0


@dataclass(frozen=True)
class Origin:
    """Where a calibration comes from."""

    mode: str
    robot: str
    made_at: float = 0.0
    camera_serial: str = ""
    robot_serial: str = ""
    robot_model: str = ""
    kinematics: str = "nominal"
    names: Sequence[str] = field(default_factory=tuple)  # of all views
    truth: Truth | None = None


def calibration_of(stand: Stand, settings: Settings, solution: Solution, checked: Check, origin: Origin) -> Calibration:
    """Return the calibration as it is published."""
    degrees = np.rad2deg(checked.held_out_rotation_rad)
    covariance, problem = solution.covariance, solution.problem
    names = list(origin.names) or [str(number) for number in range(max(solution.kept) + 1)]
    residuals = tuple(
        PoseResidual(
            corners=len(view.seen.ids),
            train_px=float(checked.train_px[i]),
            held_out_px=float(checked.held_out_px[i]),
            held_out_position_m=float(checked.held_out_position_m[i]),
            held_out_rotation_deg=float(degrees[i]),
            view=names[solution.kept[i]],
        )
        for i, view in enumerate(problem.views)
    )
    jacobian = float(np.sqrt(np.trace(covariance[:3, :3])))
    ratio = float(np.sqrt(np.trace(checked.bootstrap[:3, :3]))) / max(jacobian, 1e-12)
    if ratio > DOUBTFUL:  # the views scatter more than detector and joints explain: believe the views
        covariance = covariance * ratio**2
    found = Calibration(
        camera=settings.camera,
        robot=origin.robot,
        mode="rehearse" if origin.mode == "rehearse" else "live",
        mounting="eye-in-hand" if stand.in_hand else "eye-to-hand",
        method="two closed forms that agree, then bundle adjustment weighted by the joints' own errors",
        board=settings.board,
        intrinsics=optics.with_figures(problem.lens, solution.fit.state.figures),
        pose=pose_of(stand.parent, solution.camera),
        covariance=tuple(_numbers(row) for row in covariance),
        spread_position_m=float(np.linalg.norm(checked.shift[:, :3], axis=1).max()),
        spread_rotation_deg=float(np.rad2deg(np.linalg.norm(checked.shift[:, 3:], axis=1).max())),
        poses=len(problem.views),
        train_px=_rms(checked.train_px),
        held_out_px=_rms(checked.held_out_px),
        held_out_position_m=float(np.median(checked.held_out_position_m)),
        held_out_rotation_deg=float(np.median(degrees)),
        residuals=residuals,
        made_at=origin.made_at,
        camera_serial=origin.camera_serial,
        robot_serial=origin.robot_serial,
        robot_model=origin.robot_model,
        kinematics="factory" if origin.kinematics == "factory" else "nominal",
        pixel_sigma=solution.noise.pixel,
        joint_sigma_deg=float(np.rad2deg(solution.noise.joint)),
        freedom=solution.freedom,
        bootstrap_ratio=ratio,
        joint_zeros=_zeros(solution),
        delay_s=solution.fit.state.delay if problem.free.delay else None,
        left_out=tuple(names[number] for number in solution.left_out),
        rehearsed_error_m=None if origin.truth is None else pose_error(solution.camera, origin.truth.camera)[0],
    )
    return found.model_copy(update={"verdict": verdict(found, settings)})


def pose_of(parent: str, camera: np.ndarray) -> CameraPose:
    """Return a camera's pose (4, 4; OpenCV axes) in both conventions."""
    rotation = camera[:3, :3]
    return CameraPose(
        parent=parent,
        position_m=_numbers(camera[:3, 3]),
        quaternion_opencv=_numbers(from_matrix(rotation)),
        quaternion_mujoco=_numbers(from_matrix(rotation @ FLIP)),
    )


def faults(found: Calibration, settings: Settings) -> list[str]:
    """Return every limit of the profile that a calibration exceeds.

    Held-out errors are none of them: a single view is off by what its joints read wrong, with 0.1° by two pixels and
    two millimetres, and fifteen such views tell the camera several times better. How well they do is what is judged.
    """
    limits = (
        ("corners' error", found.pixel_sigma, settings.max_reprojection_px, "px"),
        ("joints' error", found.joint_sigma_deg, settings.max_joint_error_deg, "°"),
        ("the position's 95 % half axis", 1000 * found.ellipsoid_m()[0], 1000 * settings.max_position_error_m, "mm"),
        ("the rotation's 95 % half axis", found.ellipsoid_deg()[0], settings.max_rotation_error_deg, "°"),
    )
    return [
        f"{name} is {value:.3g} {unit}, the limit {limit:.3g} {unit}"
        for name, value, limit, unit in limits
        if not value <= limit
    ]


def verdict(found: Calibration, settings: Settings) -> str:
    """Return in one sentence whether the calibration can be used, and what to do next where it cannot."""
    longest, *_ = found.ellipsoid_m()
    sure = f"the camera stands within {1000 * longest:.2g} mm of where it was found (95 %)"
    off = [zero for zero in found.joint_zeros if abs(zero.offset_deg) > max(_ZERO_DEG, 3 * zero.sigma_deg)]
    if off:
        words = ", ".join(f"{zero.joint} by {zero.offset_deg:+.1f}° ± {zero.sigma_deg:.1f}°" for zero in off)
        return f"Set the zero of {words} first, then calibrate again: {sure}, but the arm itself is off."
    beyond = faults(found, settings)
    if beyond:
        return f"Not good enough: {'; '.join(beyond)}."
    if found.bootstrap_ratio > _DIFFERENT:
        return f"Usable with care: {sure}; the views scatter {found.bootstrap_ratio:.1f} times as much as they should."
    return f"Good: {sure}, from {found.poses} views."


def figures(found: Calibration, solution: Solution, truth: Truth | None) -> dict[str, Any]:
    """Return the figures of a calibration; with the truth, how far it is from it."""
    deviation = np.sqrt(np.diag(np.array(found.covariance)))
    values: dict[str, Any] = {
        "poses": found.poses,
        "left_out": len(found.left_out),
        "held_out_px": found.held_out_px,
        "held_out_position_mm": 1000 * found.held_out_position_m,
        "held_out_rotation_deg": found.held_out_rotation_deg,
        "train_px": found.train_px,
        "sigma_position_mm": 1000 * float(np.linalg.norm(deviation[:3])),
        "sigma_rotation_deg": float(np.rad2deg(np.linalg.norm(deviation[3:]))),
        "ellipsoid_mm": [round(1000 * axis, 3) for axis in found.ellipsoid_m()],
        "bootstrap_ratio": found.bootstrap_ratio,
        "hand_sigma_deg": found.joint_sigma_deg,
        "pixel_sigma": found.pixel_sigma,
        "verdict": found.verdict,
    }
    if truth is not None:
        position, rotation = pose_error(solution.camera, truth.camera)
        values |= {"position_error_mm": 1000 * position, "rotation_error_deg": float(np.rad2deg(rotation))}
    return values


def gate(found: Calibration, settings: Settings, values: Mapping[str, Any]) -> None:
    """Raise GateError naming every limit that is exceeded: as on the robot, and in a rehearsal against the truth."""
    beyond = faults(found, settings)
    truths = (
        ("position_error_mm", 1000 * settings.max_position_error_m, "mm"),
        ("rotation_error_deg", settings.max_rotation_error_deg, "°"),
    )
    beyond += [
        f"{name} is {values[name]:.3g} {unit}, the limit {limit:.3g} {unit}"
        for name, limit, unit in truths
        if name in values and not values[name] <= limit
    ]
    if beyond:
        raise GateError(
            f"the calibration is not good enough: {'; '.join(beyond)}",
            "take more poses (--set calibration.poses=30), tilt the board more, and check the joints' zero first "
            "(--set calibration.joint_offsets=true)",
        )


def write_pictures(
    folder: Path,
    settings: Settings,
    solution: Solution,
    checked: Check,
    found: Calibration,
    images: Sequence[np.ndarray],
) -> dict[str, Path]:
    """Write residuals, views with their corners, coverage and the board; return the files by name."""
    problem = solution.problem
    plot = overlay.residual_plot(errors_of(problem, solution.fit.state), checked.train_px, checked.held_out_px)
    shown = [
        draw_detection(images[number], view.seen) for number, view in zip(solution.kept, problem.views, strict=True)
    ]
    png, pdf = write_board(settings.board, folder)
    files = {"residuals.png": plot, "views.png": _contact_sheet(shown)}
    files["coverage.png"] = overlay.coverage_plot([view.seen for view in problem.views], problem.lens)
    files["ellipsoid.png"] = overlay.ellipsoid_plot(np.array(found.covariance), hotelling(3, found.freedom))
    written = {"board.png": png, "board.pdf": pdf}
    for name, image in files.items():
        write_picture(folder / name, image)
        written[name] = folder / name
    return written


def write_calibration(folder: Path, found: Calibration) -> Path:
    """Write the calibration's file."""
    write_atomic(folder / "calibration.json", found.model_dump_json(indent=1).encode())
    return folder / "calibration.json"


def _zeros(solution: Solution) -> tuple[JointZero, ...]:
    problem = solution.problem
    free, begin = problem.free, 12 + problem.free.optics
    deviation = np.sqrt(np.diag(solution.fit.covariance))
    return tuple(
        JointZero(
            joint=problem.geometry.joints[joint],
            offset_deg=float(np.rad2deg(solution.fit.state.offsets[joint])),
            sigma_deg=float(np.rad2deg(deviation[begin + place])),
        )
        for place, joint in enumerate(free.offsets)
    )


def _contact_sheet(images: list[np.ndarray], columns: int = 5) -> np.ndarray:
    """Return all pictures at a third of their size, in rows."""
    small = [cv2.resize(image, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA) for image in images]
    small += [np.zeros_like(small[0])] * (-len(small) % columns)
    return np.vstack([np.hstack(small[i : i + columns]) for i in range(0, len(small), columns)])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _numbers(values: np.ndarray) -> Any:
    return tuple(float(value) for value in values)
