"""A camera calibration without a camera: pictures of the board as a camera of known pose would take them.

The robot's poses come from its MuJoCo model. The board is drawn by its exact projection, so the pictures are as sharp
as the camera's pixels allow, and what is found can be compared with what is true.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import mujoco
import numpy as np

from s2rctl.calibration.board import board_image, board_size
from s2rctl.calibration.intrinsics import FLIP, fovy_deg, matrix, project
from s2rctl.core.errors import RunError, UsageError
from s2rctl.core.spatial import from_rotation_vector, inverse, transform
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.calibration import Intrinsics
from s2rctl.schema.deployment import Board
from s2rctl.schema.deployment import Calibration as Settings

Picture = Callable[[np.ndarray], np.ndarray]
"""qpos (nq,) -> what the camera sees without the board, (H, W, 3) uint8."""

_ATTEMPTS = 60_000
_FINE = 3  # pictures are drawn this much larger on both axes, then averaged
_BORDER_PX = 10.0
_TILT_DEG = 55.0


@dataclass(frozen=True)
class Rig:
    """Which parts of a robot a camera is calibrated with."""

    model: Any
    camera: int
    base: int  # body whose frame the robot's controller reports in
    hand: int  # body that moves
    in_hand: bool  # whether the hand carries the camera, or the board
    board: np.ndarray  # (4, 4) nominal centre of the board in the hand, or in the base when the camera is in the hand
    depth: tuple[float, float]  # m, distance of the board from the camera
    joints: np.ndarray  # (n,) positions in qpos
    low: np.ndarray  # (n,) rad
    high: np.ndarray  # (n,)
    home: np.ndarray  # (nq,)

    @property
    def parent(self) -> str:
        """Name of the body in whose frame the camera's pose is sought."""
        return str(self.model.body(self.hand if self.in_hand else self.base).name)


@dataclass(frozen=True)
class Truth:
    """What a rehearsal knows and a calibration must find."""

    camera: np.ndarray  # (4, 4) in its parent, OpenCV axes
    board: np.ndarray  # (4, 4) origin of the board in the hand, or in the base


@dataclass(frozen=True)
class Session:
    """Pictures and joint readings of a rehearsed calibration."""

    images: list[np.ndarray]  # (H, W, 3) uint8
    motions: list[np.ndarray]  # A_i (4, 4) from the joint readings, see hand_eye
    qpos: list[np.ndarray]  # (nq,) true positions
    truth: Truth


def rig_of(robot: RobotSpecification, model: Any, camera: str) -> Rig:
    """Return the rig of a camera of a scene; raise UsageError for a camera that the scene does not have."""
    names = [model.camera(i).name for i in range(model.ncam)]
    if camera not in names:
        raise UsageError(f"the scene has no camera '{camera}'", f"set calibration.camera to one of {', '.join(names)}")
    number = names.index(camera)
    carrier = int(model.cam_bodyid[number])
    in_hand = carrier != 0
    arm = robot.arms[0]
    if in_hand:
        arm = next(prefix for prefix in robot.arms if model.body(carrier).name.startswith(prefix))
    base = model.body(f"{arm}{robot.base_body}").id
    if in_hand:
        hand, board, depth = carrier, _on_table(model, base), (0.15, 0.5)
    else:
        hand = model.body(f"{arm}{robot.hand_body}").id
        board, depth = _held(np.array(robot.tool_axis), 0.19), (0.35, 0.95)
    hinges = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)
    moving = [int(joint) for joint in hinges if _moves(model, int(joint), hand)]
    limits = np.clip(model.jnt_range[moving], -np.pi, np.pi)
    home = np.array(model.key_qpos[0] if model.nkey else model.qpos0)
    return Rig(
        model, number, base, hand, in_hand, board, depth, model.jnt_qposadr[moving], limits[:, 0], limits[:, 1], home
    )


def with_camera(rig: Rig, camera: np.ndarray, intrinsics: Intrinsics) -> Any:
    """Return a copy of the model whose camera stands at ``camera`` (4, 4; in its parent, OpenCV axes)."""
    import copy

    model = copy.deepcopy(rig.model)
    pose = camera if rig.in_hand else _body_pose(rig.model, mujoco.MjData(rig.model), rig.base, rig.home) @ camera
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, (pose[:3, :3] @ FLIP).ravel())
    model.cam_pos[rig.camera], model.cam_quat[rig.camera] = pose[:3, 3], quaternion
    model.cam_fovy[rig.camera] = fovy_deg(intrinsics)
    return model


def motion_at(rig: Rig, data: Any, qpos: np.ndarray) -> np.ndarray:
    """Return A_i (4, 4) of ``hand_eye`` at joint positions (nq,)."""
    base, hand = (_body_pose(rig.model, data, body, qpos) for body in (rig.base, rig.hand))
    return inverse(hand) @ base if rig.in_hand else inverse(base) @ hand


def draw_truth(rig: Rig, board: Board, rng: np.random.Generator) -> Truth:
    """Return where camera and board really are: near the model's poses, as after mounting by hand."""
    model, data = rig.model, mujoco.MjData(rig.model)
    _body_pose(model, data, rig.base, rig.home)
    mujoco.mj_camlight(model, data)
    in_world = transform(data.cam_xpos[rig.camera], data.cam_xmat[rig.camera].reshape(3, 3) @ FLIP)
    parent = _body_pose(model, data, rig.hand if rig.in_hand else rig.base, rig.home)
    camera = inverse(parent) @ in_world @ _jitter(rng, 0.01, 2.0)
    width, height = board_size(board)
    corner = transform((-width / 2, -height / 2, 0.0), np.eye(3))
    return Truth(camera, rig.board @ _jitter(rng, 0.005, 2.0) @ corner)


def take_pictures(
    rig: Rig, settings: Settings, intrinsics: Intrinsics, truth: Truth, background: Picture, rng: np.random.Generator
) -> Session:
    """Return pictures of ``settings.poses`` robot poses that show the whole board; raise RunError if none are found."""
    data = mujoco.MjData(rig.model)
    texture = _Texture(settings.board)
    images: list[np.ndarray] = []
    motions: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    for _ in range(_ATTEMPTS):
        if len(images) == settings.poses:
            return Session(images, motions, positions, truth)
        qpos = rig.home.copy()
        qpos[rig.joints] = rng.uniform(rig.low, rig.high)
        in_camera = inverse(truth.camera) @ motion_at(rig, data, qpos) @ truth.board
        if not (_shows(rig, settings.board, intrinsics, in_camera) and _above_table(rig, data)):
            continue
        reading = qpos.copy()
        reading[rig.joints] += np.deg2rad(settings.joint_noise_deg) * rng.normal(size=len(rig.joints))
        picture = texture.draw(background(qpos), intrinsics, in_camera).astype(float)
        picture += settings.pixel_noise * rng.normal(size=picture.shape)
        images.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
        motions.append(motion_at(rig, data, reading))
        positions.append(qpos)
    raise RunError(
        f"only {len(images)} of {settings.poses} robot poses show the board to camera '{settings.camera}'",
        "lower calibration.poses, or choose another camera",
    )


class _Texture:
    """The printed board on white paper, drawn into pictures."""

    def __init__(self, board: Board) -> None:
        self._per_metre = 40 / board.square_m
        printed = board_image(board, self._per_metre)
        self._margin = 13
        self._paper = np.pad(printed, self._margin, constant_values=255)

    def draw(self, image: np.ndarray, camera: Intrinsics, pose: np.ndarray) -> np.ndarray:
        """Return a copy of the image (H, W, 3) with the board at ``pose`` (4, 4) in the camera; no lens distortion."""
        offset = (0.5 - self._margin) / self._per_metre
        to_board = np.array([[1 / self._per_metre, 0, offset], [0, 1 / self._per_metre, offset], [0, 0, 1]])
        shift = (_FINE - 1) / 2
        to_fine = np.array([[_FINE, 0, shift], [0, _FINE, shift], [0, 0, 1]], float)
        homography = to_fine @ matrix(camera) @ pose[:3, [0, 1, 3]] @ to_board
        size = (camera.width * _FINE, camera.height * _FINE)
        paper = cv2.warpPerspective(self._paper, homography, size, flags=cv2.INTER_LINEAR).astype(np.float32)
        cover = cv2.warpPerspective(np.full_like(self._paper, 255), homography, size).astype(np.float32) / 255
        small = (camera.width, camera.height)
        # ink on paper in a room: black reflects a little, white not all
        ink = cv2.resize(25 * cover + paper * (200 / 255), small, interpolation=cv2.INTER_AREA)
        part = cv2.resize(cover, small, interpolation=cv2.INTER_AREA)
        return np.asarray(image * (1 - part[..., None]) + ink[..., None])


def _shows(rig: Rig, board: Board, camera: Intrinsics, pose: np.ndarray) -> bool:
    """Return whether the whole board is in the picture, near enough and not tilted too much."""
    width, height = board_size(board)
    corners = np.array([[0, 0, 0], [width, 0, 0], [0, height, 0], [width, height, 0]]) @ pose[:3, :3].T + pose[:3, 3]
    if corners[:, 2].min() < rig.depth[0] or corners[:, 2].max() > rig.depth[1]:
        return False
    centre = corners.mean(axis=0)
    if pose[:3, 2] @ centre / np.linalg.norm(centre) < np.cos(np.deg2rad(_TILT_DEG)):
        return False
    pixels = project(camera, corners)
    upper = np.array([camera.width, camera.height]) - _BORDER_PX
    return bool((pixels > _BORDER_PX).all() and (pixels < upper).all())


def _above_table(rig: Rig, data: Any) -> bool:
    """Return whether all links behind the first are at least 5 cm above the base."""
    bodies = [b for b in range(rig.model.nbody) if rig.model.body_rootid[b] == rig.model.body_rootid[rig.hand]]
    moving = [b for b in bodies if rig.model.body_weldid[b] != rig.model.body_weldid[rig.base]]
    return bool(data.xpos[moving, 2].min() > data.xpos[rig.base, 2] + 0.05)


def _moves(model: Any, joint: int, body: int) -> bool:
    """Return whether a joint moves a body."""
    while body:
        if model.jnt_bodyid[joint] == body:
            return True
        body = int(model.body_parentid[body])
    return False


def _body_pose(model: Any, data: Any, body: int, qpos: np.ndarray) -> np.ndarray:
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    return transform(data.xpos[body].copy(), data.xmat[body].reshape(3, 3).copy())


def _on_table(model: Any, base: int) -> np.ndarray:
    """Return the centre of a board that lies on the table, face up, 0.4 m before the base; in the base frame."""
    height = float(_body_pose(model, mujoco.MjData(model), base, model.qpos0)[2, 3])
    return transform((0.4, 0.0, 0.003 - height), np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]]))


def _held(axis: np.ndarray, distance: float) -> np.ndarray:
    """Return the centre of a board that the hand holds before its tool, face away from the hand; in the hand frame."""
    side = np.roll(axis, 1)
    return transform(distance * axis, np.stack([side, np.cross(-axis, side), -axis], axis=1))


def _jitter(rng: np.random.Generator, metres: float, degrees: float) -> np.ndarray:
    turn = np.deg2rad(degrees) * rng.uniform(-1, 1, 3)
    return transform(metres * rng.uniform(-1, 1, 3), from_rotation_vector(turn))
