"""Stage: where the camera is, found from pictures of a board and rehearsed against a known truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from s2rctl.calibration import overlay
from s2rctl.calibration.board import BoardDetector, Detection, draw_detection, write_board
from s2rctl.calibration.hand_eye import MIN_POSES, Check, Solution, check, pose_error, reprojection, solve
from s2rctl.calibration.intrinsics import FLIP, calibrate_intrinsics, from_fovy
from s2rctl.calibration.rehearse import Rig, Session, draw_truth, rig_of, take_pictures, with_camera
from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import GateError, RunError
from s2rctl.core.spatial import from_matrix
from s2rctl.render.film import Film
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.schema.calibration import Calibration, CameraPose, Intrinsics, PoseResidual
from s2rctl.schema.deployment import Calibration as Settings
from s2rctl.stages.protocol import Context, Result
from s2rctl.systems import system_named

_OVERLAYS = 3


def run(context: Context) -> Result:
    """Rehearse the calibration of ``calibration.camera``; raise GateError when the profile's gate is not met."""
    profile, settings = context.profile, context.profile.calibration
    rng = np.random.default_rng(context.seed)
    model = SCENES.load(system_named(profile.system).scene)(profile.simulation.timestep_s)
    rig = rig_of(ROBOTS.load(profile.robot.name), model, settings.camera)
    intrinsics = from_fovy(settings.width, settings.height, float(model.cam_fovy[rig.camera]))
    context.reporter.start("calibrate-camera", settings.poses, "poses")
    session = _pictures(rig, settings, intrinsics, rng)
    motions, views, used = _views(session, settings)
    context.reporter.update(len(views), {})

    solution = solve(intrinsics, motions, views, rig.in_hand)
    checked = check(intrinsics, motions, views, solution)
    result = _result(profile.robot.name, rig, settings, intrinsics, solution, checked, views)
    iou, overlays = _overlays(rig, settings, intrinsics, solution, session)
    metrics = _metrics(result, solution, session, iou, views)

    folder = context.run_folder
    png, pdf = write_board(settings.board, folder)
    errors = reprojection(intrinsics, motions, views, solution)
    plot = overlay.residual_plot(errors, checked.train_px, checked.held_out_px)
    sheet = _contact_sheet([draw_detection(session.images[i], view) for i, view in zip(used, views, strict=True)])
    files: dict[str, Path] = {
        "calibration.json": _write(folder / "calibration.json", result.model_dump_json(indent=1).encode()),
        "overlay.png": _write_png(folder / "overlay.png", overlays),
        "residuals.png": _write_png(folder / "residuals.png", plot),
        "views.png": _write_png(folder / "views.png", sheet),
        "board.png": png,
        "board.pdf": pdf,
    }
    _gate(settings, metrics)
    context.reporter.finish(
        f"{metrics['position_error_mm']:.2f} mm and {metrics['rotation_error_deg']:.3f}° from the truth, "
        f"held out {metrics['held_out_px']:.2f} px"
    )
    return Result(files=files, metrics=metrics)


def _pictures(rig: Rig, settings: Settings, intrinsics: Intrinsics, rng: np.random.Generator) -> Session:
    truth = draw_truth(rig, settings.board, rng)
    with Film(with_camera(rig, truth.camera, intrinsics), settings.camera, settings.width, settings.height) as film:
        return take_pictures(rig, settings, intrinsics, truth, film.frame, rng)


def _views(session: Session, settings: Settings) -> tuple[list[np.ndarray], list[Detection], list[int]]:
    """Return motions, views and their places in the session, where the board was found."""
    detector = BoardDetector(settings.board)
    found = [(i, detector.detect(image)) for i, image in enumerate(session.images)]
    views = [(i, view) for i, view in found if view is not None]
    if len(views) < MIN_POSES:
        raise RunError(
            f"the board was found in {len(views)} of {len(found)} pictures",
            "use a larger board (calibration.board.square_m) or larger pictures (calibration.width, height)",
        )
    return [session.motions[i] for i, _ in views], [view for _, view in views], [i for i, _ in views]


def _result(
    robot: str,
    rig: Rig,
    settings: Settings,
    intrinsics: Intrinsics,
    solution: Solution,
    checked: Check,
    views: list[Detection],
) -> Calibration:
    degrees = np.rad2deg(checked.held_out_rotation_rad)
    rotation = solution.camera[:3, :3]
    residuals = tuple(
        PoseResidual(
            corners=len(view.ids),
            train_px=float(checked.train_px[i]),
            held_out_px=float(checked.held_out_px[i]),
            held_out_position_m=float(checked.held_out_position_m[i]),
            held_out_rotation_deg=float(degrees[i]),
        )
        for i, view in enumerate(views)
    )
    return Calibration(
        camera=settings.camera,
        robot=robot,
        mode="rehearse",
        mounting="eye-in-hand" if rig.in_hand else "eye-to-hand",
        method="Park and Martin, then generalised least squares of the reprojection error with Huber loss",
        board=settings.board,
        intrinsics=intrinsics,
        pose=CameraPose(
            parent=rig.parent,
            position_m=_numbers(solution.camera[:3, 3]),
            quaternion_opencv=_numbers(from_matrix(rotation)),
            quaternion_mujoco=_numbers(from_matrix(rotation @ FLIP)),
        ),
        covariance=tuple(_numbers(row) for row in checked.covariance),
        spread_position_m=float(np.linalg.norm(checked.shift[:, :3], axis=1).max()),
        spread_rotation_deg=float(np.rad2deg(np.linalg.norm(checked.shift[:, 3:], axis=1).max())),
        poses=len(views),
        train_px=_rms(checked.train_px),
        held_out_px=_rms(checked.held_out_px),
        held_out_position_m=float(np.median(checked.held_out_position_m)),
        held_out_rotation_deg=float(np.median(degrees)),
        residuals=residuals,
    )


def _metrics(
    result: Calibration, solution: Solution, session: Session, iou: float, views: list[Detection]
) -> dict[str, Any]:
    position, rotation = pose_error(solution.camera, session.truth.camera)
    estimated, intrinsics_px = calibrate_intrinsics(views, result.intrinsics.width, result.intrinsics.height)
    deviation = np.sqrt(np.diag(np.array(result.covariance)))
    return {
        "poses": result.poses,
        "position_error_mm": 1000 * position,
        "rotation_error_deg": float(np.rad2deg(rotation)),
        "held_out_px": result.held_out_px,
        "held_out_position_mm": 1000 * result.held_out_position_m,
        "held_out_rotation_deg": result.held_out_rotation_deg,
        "train_px": result.train_px,
        "sigma_position_mm": 1000 * float(np.linalg.norm(deviation[:3])),
        "sigma_rotation_deg": float(np.rad2deg(np.linalg.norm(deviation[3:]))),
        "hand_sigma_deg": float(np.rad2deg(solution.hand_sigma_rad)),
        "silhouette_iou": iou,
        "focal_from_board_error_percent": 100 * abs(estimated.fy / result.intrinsics.fy - 1),
        "intrinsics_px": intrinsics_px,
    }


def _gate(settings: Settings, metrics: Mapping[str, float]) -> None:
    """Raise GateError naming every limit that is exceeded: held out, as on the robot, and against the truth."""
    position, rotation = 1000 * settings.max_position_error_m, settings.max_rotation_error_deg
    limits = (
        ("held_out_px", settings.max_reprojection_px, "px"),
        ("held_out_position_mm", position, "mm"),
        ("held_out_rotation_deg", rotation, "°"),
        ("position_error_mm", position, "mm"),
        ("rotation_error_deg", rotation, "°"),
    )
    beyond = [
        f"{name} is {metrics[name]:.3g} {unit}, the limit {limit:.3g} {unit}"
        for name, limit, unit in limits
        if not metrics[name] <= limit
    ]
    if beyond:
        raise GateError(
            f"the calibration is not good enough: {'; '.join(beyond)}",
            "take more poses (--set calibration.poses=30), tilt the board more, and check the joints' zero first",
        )


def _overlays(
    rig: Rig, settings: Settings, intrinsics: Intrinsics, solution: Solution, session: Session
) -> tuple[float, np.ndarray]:
    """Return the mean silhouette overlap, and per picture: photo, edges of the render on it, blend of both."""
    model = rig.model
    robot = model.body_rootid[model.geom_bodyid] == model.body_rootid[rig.hand]
    alone = np.where(robot[:, None], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    size = (settings.camera, settings.width, settings.height)
    rows, overlaps = [], []
    with (
        Film(with_camera(rig, session.truth.camera, intrinsics), *size) as real,
        Film(with_camera(rig, solution.camera, intrinsics), *size) as found,
    ):
        for qpos, photo in list(zip(session.qpos, session.images, strict=True))[:_OVERLAYS]:
            render = found.frame(qpos)
            masks = [np.asarray(film.frame(qpos, geom_rgba=alone).any(axis=-1)) for film in (real, found)]
            overlaps.append(overlay.silhouette_iou(masks[0], masks[1]))
            outlined = overlay.outline_over(overlay.edges_over(photo, render), masks[1], (40, 220, 60))
            rows.append(np.hstack([photo, outlined, overlay.blend(photo, render)]))
    return float(np.mean(overlaps)), np.vstack(rows)


def _contact_sheet(images: list[np.ndarray], columns: int = 5) -> np.ndarray:
    """Return all pictures at a third of their size, in rows."""
    small = [cv2.resize(image, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA) for image in images]
    small += [np.zeros_like(small[0])] * (-len(small) % columns)
    return np.vstack([np.hstack(small[i : i + columns]) for i in range(0, len(small), columns)])


def _write(path: Path, content: bytes) -> Path:
    write_atomic(path, content)
    return path


def _write_png(path: Path, image: np.ndarray) -> Path:
    _, encoded = cv2.imencode(".png", image[..., ::-1])
    return _write(path, encoded.tobytes())


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _numbers(values: np.ndarray) -> Any:
    return tuple(float(value) for value in values)
