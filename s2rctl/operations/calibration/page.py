"""A calibration as a page: one file with everything in it."""

import base64
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from s2rctl.core.atomic import write_atomic
from s2rctl.evaluation.templates import render
from s2rctl.schema.calibration import Calibration

PAGE = "report.html"
_PICTURES = {
    "views.png": "views with the corners that were found",
    "coverage.png": "where in the image corners were seen",
    "residuals.png": "residuals",
    "ellipsoid.png": "95 % ellipsoid of the camera's position, in the camera's own axes",
    "overlay.png": "photo, edges of the render, both blended",
}


def write_page(folder: Path, found: Calibration, files: Mapping[str, Path]) -> Path:
    """Write ``report.html`` into a folder and return its path; ``files`` are the calibration's pictures by name."""
    pictures = [
        (f"data:image/png;base64,{base64.b64encode(files[name].read_bytes()).decode()}", caption)
        for name, caption in _PICTURES.items()
        if name in files
    ]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.made_at)) if found.made_at else "in the pipeline"
    how = "rehearsed" if found.mode == "rehearse" else "measured"
    page = render(
        "calibration",
        title=f"Camera {found.camera} of the {found.robot}",
        about=f"{found.mounting}, {how} {when}, {found.poses} views",
        verdict=found.verdict,
        figures=_figures(found),
        pictures=pictures,
        views=[
            (
                view.view,
                view.corners,
                round(view.train_px, 3),
                round(view.held_out_px, 3),
                round(1000 * view.held_out_position_m, 2),
                round(view.held_out_rotation_deg, 3),
            )
            for view in found.residuals
        ],
        left_out=", ".join(found.left_out),
    )
    write_atomic(folder / PAGE, page.encode())
    return folder / PAGE


def _figures(found: Calibration) -> list[tuple[str, str]]:
    lens, pose = found.intrinsics, found.pose
    board = found.board
    rows = [
        ("frame", f"{pose.parent}, metres"),
        ("position", _listed(pose.position_m, 4) + " m"),
        ("orientation, w x y z, OpenCV's axes", _listed(pose.quaternion_opencv, 5)),
        ("orientation, w x y z, MuJoCo's axes", _listed(pose.quaternion_mujoco, 5)),
        ("95 % ellipsoid, half axes", _listed([1000 * axis for axis in found.ellipsoid_m()], 2) + " mm"),
        ("held-out reprojection", f"{found.held_out_px:.2f} px (all views {found.train_px:.2f} px)"),
        ("held-out board", f"{1000 * found.held_out_position_m:.2f} mm, {found.held_out_rotation_deg:.3f}°"),
        ("detector, joints", f"{found.pixel_sigma:.3f} px, {found.joint_sigma_deg:.3f}°"),
        ("bootstrap over the model of noise", f"{found.bootstrap_ratio:.2f}"),
        ("focal lengths, principal point", f"{lens.fx:.2f} {lens.fy:.2f}, {lens.cx:.2f} {lens.cy:.2f} px"),
        ("distortion k1 k2 p1 p2 k3", _listed(lens.distortion, 5)),
        ("board", f"{board.columns} x {board.rows} squares of {1000 * board.square_m:.2f} mm"),
        ("link figures", found.kinematics),
        ("camera, robot", f"{found.camera_serial or 'unknown'}, {found.robot_serial or 'unknown'}"),
    ]
    rows += [
        (f"zero of {zero.joint}", f"{zero.offset_deg:+.2f}° ± {zero.sigma_deg:.2f}°") for zero in found.joint_zeros
    ]
    if found.delay_s is not None:
        rows.append(("joints before picture", f"{1000 * found.delay_s:.0f} ms"))
    if found.rehearsed_error_m is not None:
        rows.append(("distance from the rehearsal's truth", f"{1000 * found.rehearsed_error_m:.2f} mm"))
    return rows


def _listed(values: Sequence[float], digits: int) -> str:
    return " ".join(f"{value:.{digits}f}" for value in values)
