"""Stage: where the camera is, found from pictures of a board and rehearsed against a known truth.

The pipeline's rehearsal draws the pictures and reads the joints off the model. The command ``calibrate-camera``
rehearses the whole way: the robot's driver against an emulated robot (see ``operations/calibration``).
"""

from typing import Any

import numpy as np

from s2rctl.calibration import overlay
from s2rctl.calibration.adjust import View
from s2rctl.calibration.hand_eye import MIN_POSES, Solution, check, solve
from s2rctl.calibration.intrinsics import calibrate_intrinsics, from_fovy
from s2rctl.calibration.quality import Judge
from s2rctl.calibration.rehearse import Pictures, Truth, draw_truth, take_pictures, with_camera
from s2rctl.calibration.silhouette import robot_geoms
from s2rctl.calibration.stand import Stand
from s2rctl.core.errors import RunError
from s2rctl.operations.calibration.collect import problem_of
from s2rctl.operations.calibration.page import PAGE, write_page
from s2rctl.operations.calibration.rehearsal import joint_errors
from s2rctl.operations.calibration.result import (
    Origin,
    calibration_of,
    figures,
    gate,
    write_calibration,
    write_pictures,
)
from s2rctl.operations.calibration.session import write_picture
from s2rctl.operations.calibration.work import stand_for
from s2rctl.render.film import Film
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.deployment import Calibration as Settings
from s2rctl.stages.protocol import Context, Result

_OVERLAYS = 3


def run(context: Context) -> Result:
    """Rehearse the calibration of ``calibration.camera``; raise GateError when the profile's gate is not met."""
    settings = context.profile.calibration
    rng = np.random.default_rng(context.seed)
    stand = stand_for(context.profile)
    lens = from_fovy(settings.width, settings.height, float(stand.model.cam_fovy[stand.camera]))
    context.reporter.start("calibrate-camera", settings.poses, "poses")
    truth = draw_truth(stand, settings.board, rng)
    with Film(with_camera(stand, truth.camera, lens), settings.camera, settings.width, settings.height) as film:
        taken = take_pictures(stand, settings, lens, truth, film.frame, rng, joint_errors(stand, settings))
    views, used = _views(taken, settings, lens)
    context.reporter.update(len(views), {})

    solution = solve(problem_of(stand, lens, views, settings, joints=True))
    checked = check(solution, seed=context.seed)
    names = tuple(f"{number:03d}.png" for number in used)
    origin = Origin("rehearse", context.profile.robot.name, names=names, truth=truth)
    found = calibration_of(stand, settings, solution, checked, origin)
    iou, overlays = _overlays(stand, settings, lens, solution, truth, taken)
    values = figures(found, solution, truth) | _optics(views, lens) | {"silhouette_iou": iou}

    folder = context.run_folder
    files = write_pictures(folder, settings, solution, checked, found, [taken.images[number] for number in used])
    write_picture(folder / "overlay.png", overlays)
    files |= {"overlay.png": folder / "overlay.png", "calibration.json": write_calibration(folder, found)}
    files[PAGE] = write_page(folder, found, files)
    gate(found, settings, values)
    context.reporter.finish(
        f"{values['position_error_mm']:.2f} mm and {values['rotation_error_deg']:.3f}° from the truth; {found.verdict}"
    )
    return Result(files=files, metrics=values)


def _views(taken: Pictures, settings: Settings, lens: Intrinsics) -> tuple[list[View], list[int]]:
    """Return the views of the pictures that are good enough, and their numbers."""
    judge = Judge(settings.board, lens)
    views: list[View] = []
    used: list[int] = []
    poses: list[np.ndarray] = []
    reason = ""
    for number, image in enumerate(taken.images):
        judged = judge.judge(image, poses)
        if judged.good and judged.seen is not None and judged.pose is not None:
            views.append(View(judged.seen, taken.readings[number]))
            used.append(number)
            poses.append(judged.pose)
        else:
            reason = judged.reason
    if len(views) < MIN_POSES:
        raise RunError(
            f"{len(views)} of {len(taken.images)} pictures are good enough; the last that is not: {reason}",
            "use a larger board (calibration.board.square_m) or larger pictures (calibration.width, height)",
        )
    return views, used


def _optics(views: list[View], lens: Intrinsics) -> dict[str, Any]:
    """Return how well the optics come back from the same pictures."""
    estimated, error = calibrate_intrinsics([view.seen for view in views], lens.width, lens.height)
    return {"focal_from_board_error_percent": 100 * abs(estimated.fy / lens.fy - 1), "intrinsics_px": error}


def _overlays(
    stand: Stand, settings: Settings, lens: Intrinsics, solution: Solution, truth: Truth, taken: Pictures
) -> tuple[float, np.ndarray]:
    """Return the mean silhouette overlap, and per picture: photo, edges of the render on it, blend of both."""
    alone = np.where(robot_geoms(stand.model, stand.hand)[:, None], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    size = (settings.camera, settings.width, settings.height)
    rows, overlaps = [], []
    with (
        Film(with_camera(stand, truth.camera, lens), *size) as real,
        Film(with_camera(stand, solution.camera, lens), *size) as found,
    ):
        for qpos, photo in list(zip(taken.qpos, taken.images, strict=True))[:_OVERLAYS]:
            render = found.frame(qpos)
            masks = [np.asarray(film.frame(qpos, geom_rgba=alone).any(axis=-1)) for film in (real, found)]
            overlaps.append(overlay.silhouette_iou(masks[0], masks[1]))
            outlined = overlay.outline_over(overlay.edges_over(photo, render), masks[1], overlay.SEEN)
            rows.append(np.hstack([photo, outlined, overlay.blend(photo, render)]))
    return float(np.mean(overlaps)), np.vstack(rows)
