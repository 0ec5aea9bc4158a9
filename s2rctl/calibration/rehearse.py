"""A camera calibration without a camera: pictures of the board as a camera of known pose would take them.

The robot's poses come from its MuJoCo model. The board is drawn by its exact projection, so the pictures are as sharp
as the camera's pixels allow, and what is found can be compared with what is true.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import mujoco
import numpy as np

from s2rctl.calibration.board import board_image, board_size
from s2rctl.calibration.intrinsics import matrix
from s2rctl.calibration.stand import Stand
from s2rctl.core.errors import RunError
from s2rctl.core.spatial import from_rotation_vector, inverse, transform
from s2rctl.scene.mount import set_optics, set_pose
from s2rctl.schema.calibration import Intrinsics
from s2rctl.schema.deployment import Board
from s2rctl.schema.deployment import Calibration as Settings

Picture = Callable[[np.ndarray], np.ndarray]
"""qpos (nq,) -> what the camera sees without the board, (H, W, 3) uint8."""

_BATCH, _BATCHES = 20_000, 12
_FINE = 3  # pictures are drawn this much larger on both axes, then averaged


@dataclass(frozen=True)
class Truth:
    """What a rehearsal knows and a calibration must find."""

    camera: np.ndarray  # (4, 4) in its parent, OpenCV axes
    board: np.ndarray  # (4, 4) origin of the board in the hand, or in the base


@dataclass(frozen=True)
class Pictures:
    """Pictures and joint readings of a rehearsed calibration."""

    images: list[np.ndarray]  # (H, W, 3) uint8
    readings: list[np.ndarray]  # (n,) as read
    qpos: list[np.ndarray]  # (nq,) true positions


def with_camera(stand: Stand, camera: np.ndarray, intrinsics: Intrinsics) -> Any:
    """Return a copy of the model whose camera stands at ``camera`` (4, 4; in its parent, OpenCV axes) with its optics.

    Focal lengths and principal point are exact; lens distortion has no place in the model.
    """
    model = copy.deepcopy(stand.model)
    pose = camera if stand.in_hand else _body_pose(stand, stand.base) @ camera
    set_pose(model, stand.camera, pose)
    set_optics(model, stand.camera, intrinsics)
    return model


def draw_truth(stand: Stand, board: Board, rng: np.random.Generator) -> Truth:
    """Return where camera and board really are: near the model's poses, as after mounting by hand."""
    width, height = board_size(board)
    corner = transform((-width / 2, -height / 2, 0.0), np.eye(3))
    camera = stand.nominal_camera() @ jitter(rng, 0.01, 2.0)
    return Truth(camera, stand.board @ jitter(rng, 0.005, 2.0) @ corner)


def take_pictures(
    stand: Stand,
    settings: Settings,
    intrinsics: Intrinsics,
    truth: Truth,
    background: Picture,
    rng: np.random.Generator,
    errors: tuple[np.ndarray, np.ndarray],
) -> Pictures:
    """Return pictures of ``settings.poses`` robot poses that show the whole board; raise RunError if none are found.

    ``errors`` are zero errors and noise (n,) rad of the joint readings.
    """
    printer = Printer(settings, intrinsics)
    taken = Pictures([], [], [])
    for _ in range(_BATCHES):
        readings = stand.draw(rng, _BATCH)
        seen = inverse(truth.camera) @ stand.motions(readings) @ truth.board
        for number in np.flatnonzero(stand.shows(settings.board, intrinsics, seen)):
            if len(taken.images) == settings.poses:
                return taken
            if not stand.safe(readings[number], settings.board):
                continue
            qpos = stand.qpos(readings[number])
            taken.images.append(printer.photograph(background(qpos), seen[number], rng))
            taken.readings.append(readings[number] + errors[0] + errors[1] * rng.normal(size=len(errors[1])))
            taken.qpos.append(qpos)
    raise RunError(
        f"only {len(taken.images)} of {settings.poses} robot poses show the board to camera '{settings.camera}'",
        "lower calibration.poses, or choose another camera",
    )


class Printer:
    """The printed board on white paper, drawn into pictures, and what a camera does to them."""

    def __init__(self, settings: Settings, lens: Intrinsics) -> None:
        board = settings.board
        self._settings, self._lens = settings, lens
        self._per_metre = 40 / board.square_m
        printed = board_image(board, self._per_metre)
        self._margin = 13
        self._paper = np.pad(printed, self._margin, constant_values=255)

    def photograph(self, background: np.ndarray, pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the picture (H, W, 3) uint8 with the board at ``pose`` (4, 4), with blur, exposure and noise."""
        settings = self._settings
        picture = self.draw(background, pose)
        if settings.blur_px > 0:
            picture = cv2.GaussianBlur(picture, (0, 0), settings.blur_px)
        picture = picture * settings.exposure + settings.pixel_noise * rng.normal(size=picture.shape)
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    def draw(self, image: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Return a copy of the image (H, W, 3) with the board at ``pose`` (4, 4) in the camera; no lens distortion."""
        camera = self._lens
        offset = (0.5 - self._margin) / self._per_metre
        to_board = np.array([[1 / self._per_metre, 0, offset], [0, 1 / self._per_metre, offset], [0, 0, 1]])
        shift = (_FINE - 1) / 2
        to_fine = np.array([[_FINE, 0, shift], [0, _FINE, shift], [0, 0, 1]], float)
        homography = to_fine @ matrix(camera) @ pose[:3, [0, 1, 3]] @ to_board
        if not self._before_the_camera(pose):
            return image.astype(float)
        size = (camera.width * _FINE, camera.height * _FINE)
        paper = cv2.warpPerspective(self._paper, homography, size, flags=cv2.INTER_LINEAR).astype(np.float32)
        cover = cv2.warpPerspective(np.full_like(self._paper, 255), homography, size).astype(np.float32) / 255
        small = (camera.width, camera.height)
        # ink on paper in a room: black reflects a little, white not all
        ink = cv2.resize(25 * cover + paper * (200 / 255), small, interpolation=cv2.INTER_AREA)
        part = cv2.resize(cover, small, interpolation=cv2.INTER_AREA)
        return np.asarray(image * (1 - part[..., None]) + ink[..., None])

    def _before_the_camera(self, pose: np.ndarray) -> bool:
        """Return whether the paper's front side is turned to the camera and all of it lies before the lens."""
        width, height = board_size(self._settings.board)
        depths = [pose[2, 3] + pose[2, 0] * x + pose[2, 1] * y for x in (0, width) for y in (0, height)]
        centre = pose[:3, :3] @ [width / 2, height / 2, 0] + pose[:3, 3]
        return min(depths) > 0.05 and bool(pose[:3, 2] @ centre > 0)


def _body_pose(stand: Stand, body: int) -> np.ndarray:
    data = mujoco.MjData(stand.model)
    data.qpos[:] = stand.qpos(stand.home)
    mujoco.mj_kinematics(stand.model, data)
    return transform(data.xpos[body].copy(), data.xmat[body].reshape(3, 3).copy())


def jitter(rng: np.random.Generator, metres: float, degrees: float) -> np.ndarray:
    """Return a transform (4, 4) with shifts of up to ``metres`` and turns of up to ``degrees`` on each axis."""
    turn = np.deg2rad(degrees) * rng.uniform(-1, 1, 3)
    return transform(metres * rng.uniform(-1, 1, 3), from_rotation_vector(turn))
