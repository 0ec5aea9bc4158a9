"""Pictures of the board held by hand, for the camera's optics."""

import time
from pathlib import Path

import numpy as np

from s2rctl.calibration.board import board_size
from s2rctl.calibration.hand_eye import board_in_camera
from s2rctl.calibration.intrinsics import from_fovy
from s2rctl.calibration.quality import Judge
from s2rctl.calibration.rehearse import Printer, jitter
from s2rctl.core.errors import ArtifactError, Interrupted, UsageError
from s2rctl.core.spatial import from_rotation_vector, transform
from s2rctl.operations.calibration.session import read_picture, write_picture
from s2rctl.operations.calibration.work import Work, board_of, given_optics, stand_for

OPTICS_VIEWS = 12
_KINDS = ("*.png", "*.jpg", "*.jpeg")
_PATIENCE_S = 300.0


def for_optics(work: Work) -> list[np.ndarray]:
    """Return pictures of the board: from a folder, rendered, or from the camera while a person moves it.

    Those of the camera are kept in the session, so that an interrupted collection goes on.
    """
    if work.mode == "folder":
        assert work.folder is not None
        return _of_one_size([(path, read_picture(path)) for path in _paths(work.folder)], work.folder)
    if work.mode == "rehearse":
        return _rendered(work)
    return _live(work)


def _paths(folder: Path) -> list[Path]:
    found = sorted(path for kind in _KINDS for path in folder.glob(kind))
    if not found:
        raise ArtifactError(f"there are no pictures in {folder}", "put PNG or JPEG files there")
    return found


def _of_one_size(pictures: list[tuple[Path, np.ndarray]], folder: Path) -> list[np.ndarray]:
    first = pictures[0][1].shape
    for path, image in pictures:
        if image.shape != first:
            raise UsageError(
                f"{path.name} is {image.shape[1]} x {image.shape[0]}, the first in {folder} {first[1]} x {first[0]}",
                "take all pictures at one size, the one that deployment uses",
            )
    return [image for _, image in pictures]


def _rendered(work: Work) -> list[np.ndarray]:
    settings = work.profile.calibration.model_copy(update={"board": board_of(work)})
    stand, rng = stand_for(work.profile), np.random.default_rng([work.seed, 11])
    lens = given_optics(work, stand)
    printer = Printer(settings, lens)
    images: list[np.ndarray] = []
    width, height = board_size(settings.board)
    corner = transform((-width / 2, -height / 2, 0.0), np.eye(3))
    grey = np.full((lens.height, lens.width, 3), 110, np.uint8)
    while len(images) < OPTICS_VIEWS:
        tilt = transform((0.0, 0.0, rng.uniform(0.3, 0.6)), from_rotation_vector(rng.uniform(-0.6, 0.6, 3)))
        pose = tilt @ jitter(rng, 0.1, 0.0) @ corner
        if stand.shows(settings.board, lens, pose):
            images.append(printer.photograph(grey, pose, rng))
    return images


def _live(work: Work) -> list[np.ndarray]:
    """Take pictures whenever the board stands somewhere new."""
    from s2rctl.operations.calibration.eyes import open_eye

    folder = work.session.folder / "optics"
    images = [read_picture(path) for path in sorted(folder.glob("*.png"))]
    guess = None
    poses: list[np.ndarray] = []
    eye = open_eye(work.profile)
    work.reporter.start("intrinsics", OPTICS_VIEWS, "views")
    work.reporter.note("hold the board before the camera: near and far, in every corner, tilted each way")
    end = time.monotonic() + _PATIENCE_S
    try:
        while len(images) < OPTICS_VIEWS and time.monotonic() < end:
            if work.interrupt.requested:
                raise Interrupted("stopped; the pictures so far are kept", "run the same command again to go on")
            shot = eye.shot()
            if shot is not None:
                guess = guess or from_fovy(shot.rgb.shape[1], shot.rgb.shape[0], 50.0)
                judged = Judge(board_of(work), None).judge(shot.rgb)
                if judged.good and judged.seen is not None:
                    pose = board_in_camera(guess, judged.seen)
                    if all(np.linalg.norm(pose[:3] - other[:3]) > 0.25 for other in poses):
                        poses.append(pose)
                        folder.mkdir(parents=True, exist_ok=True)
                        write_picture(folder / f"{len(images):03d}.png", shot.rgb)
                        images.append(shot.rgb)
                        work.reporter.update(len(images), {})
            time.sleep(0.2)
    finally:
        eye.close()
    return images
