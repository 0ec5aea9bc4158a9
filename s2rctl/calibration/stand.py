"""Where a camera is calibrated: the robot's model, which of its bodies hold camera and board, and which poses are safe.

Positions of joints come in two orders: ``reading`` (n,) as the robot's driver gives them, ``qpos`` (nq,) of the model.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mujoco
import numpy as np

from s2rctl.calibration.board import board_size
from s2rctl.calibration.chain import Chain
from s2rctl.calibration.intrinsics import FLIP, project
from s2rctl.core.errors import UsageError
from s2rctl.core.spatial import inverse, transform
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.calibration import Intrinsics
from s2rctl.schema.deployment import Board, Safety

CLEARANCE_M = 0.04
"""Distance of arm and board from the table, and of the hand from the arm's own base links."""
LIMIT_MARGIN_RAD = 0.06
"""Kept from each joint's limit on top of the safety filter's own margin."""
_BORDER_PX = 10.0
_TILT_DEG = 55.0
_PATH_STEP_RAD = 0.08


@dataclass(frozen=True)
class Stand:
    """Which parts of a robot a camera is calibrated with."""

    model: Any
    specification: RobotSpecification
    chain: Chain
    camera: int
    base: int  # body whose frame the robot's controller reports in
    hand: int  # body that moves
    in_hand: bool  # whether the hand carries the camera, or the board
    board: np.ndarray  # (4, 4) nominal centre of the board in the hand, or in the base when the camera is in the hand
    depth: tuple[float, float]  # m, distance of the board from the camera
    qpos_of: np.ndarray  # (n,) place in qpos of each joint of a reading
    moving: np.ndarray  # (k,) joints of a reading that move the hand
    low: np.ndarray  # (k,) rad
    high: np.ndarray
    tool: str  # kinematics point that the workspace box holds
    box: tuple[np.ndarray, np.ndarray] | None  # corners (3,) m of the tool's box
    home: np.ndarray  # (n,) reading
    _data: Any = field(repr=False)

    @property
    def parent(self) -> str:
        """Name of the body in whose frame the camera's pose is sought."""
        return str(self.model.body(self.hand if self.in_hand else self.base).name)

    def qpos(self, reading: np.ndarray) -> np.ndarray:
        """Return the model's positions (nq,) at a reading (n,); other bodies stay where the scene has them."""
        qpos = np.array(self.model.key_qpos[0] if self.model.nkey else self.model.qpos0)
        qpos[self.qpos_of] = reading
        return qpos

    def nominal_camera(self) -> np.ndarray:
        """Return the scene's camera (4, 4) in its parent, OpenCV axes."""
        data = self._at(self.home)
        mujoco.mj_camlight(self.model, data)
        world = transform(data.cam_xpos[self.camera], data.cam_xmat[self.camera].reshape(3, 3) @ FLIP)
        parent = self.hand if self.in_hand else self.base
        return inverse(transform(data.xpos[parent].copy(), data.xmat[parent].reshape(3, 3))) @ world

    def nominal_board(self, board: Board) -> np.ndarray:
        """Return where a board's origin (4, 4) should be, in the hand or in the base."""
        width, height = board_size(board)
        return self.board @ transform((-width / 2, -height / 2, 0.0), np.eye(3))

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return readings (count, n) with the hand's joints anywhere within their limits, the others at home."""
        readings = np.tile(self.home, (count, 1))
        readings[:, self.moving] = rng.uniform(self.low, self.high, (count, len(self.moving)))
        return readings

    def motions(self, readings: np.ndarray) -> np.ndarray:
        """Return A_i (count, 4, 4) of many readings (count, n)."""
        return self.chain.motions(readings)

    def shows(self, board: Board, lens: Intrinsics, poses: np.ndarray) -> np.ndarray:
        """Return whether the whole board at ``poses`` (..., 4, 4) in the camera is in sight, near and facing enough."""
        width, height = board_size(board)
        corners = np.array([[0, 0, 0], [width, 0, 0], [0, height, 0], [width, height, 0]])
        placed = corners @ np.swapaxes(poses[..., :3, :3], -1, -2) + poses[..., None, :3, 3]
        depth = placed[..., 2]
        near = (depth.min(axis=-1) >= self.depth[0]) & (depth.max(axis=-1) <= self.depth[1])
        centre = placed.mean(axis=-2)
        facing = (poses[..., :3, 2] * centre).sum(axis=-1) >= np.cos(np.deg2rad(_TILT_DEG)) * np.linalg.norm(
            centre, axis=-1
        )
        safe = np.where(near[..., None, None], placed, 1.0)
        pixels = project(lens, safe)
        upper = np.array([lens.width, lens.height]) - _BORDER_PX
        inside = ((pixels > _BORDER_PX) & (pixels < upper)).all(axis=(-1, -2))
        return np.asarray(near & facing & inside)

    def safe(self, reading: np.ndarray, board: Board) -> bool:
        """Return whether arm and board are clear of table and arm, and joints and tool within their limits."""
        joints = reading[self.moving]
        if (joints < self.low).any() or (joints > self.high).any():
            return False
        if self.box is not None:
            place = self.specification.kinematics.point(self.tool, reading)
            if (place < self.box[0]).any() or (place > self.box[1]).any():
                return False
        data = self._at(reading)
        height = data.xpos[self.base, 2] + CLEARANCE_M
        if data.xpos[self._moving_links, 2].min() < height or self._board_low(data, board) < height:
            return False
        return not self._folded(data)

    def safe_path(self, begin: np.ndarray, end: np.ndarray, board: Board) -> bool:
        """Return whether the straight way in joint space between two readings (n,) is safe all along."""
        steps = max(2, int(np.ceil(np.abs(end - begin).max() / _PATH_STEP_RAD)))
        return all(self.safe(begin + share * (end - begin), board) for share in np.linspace(0, 1, steps + 1)[1:])

    def _at(self, reading: np.ndarray) -> Any:
        self._data.qpos[:] = self.qpos(reading)
        mujoco.mj_kinematics(self.model, self._data)
        return self._data

    def _board_low(self, data: Any, board: Board) -> float:
        """Return the lowest height (m) of a board that the hand holds."""
        if self.in_hand:
            return float("inf")
        width, height = board_size(board)
        corners = np.array([[0, 0, 0], [width, 0, 0], [0, height, 0], [width, height, 0]])
        held = transform(data.xpos[self.hand].copy(), data.xmat[self.hand].reshape(3, 3)) @ self.nominal_board(board)
        return float((corners @ held[2, :3] + held[2, 3]).min())

    def _folded(self, data: Any) -> bool:
        """Return whether the hand is near the arm's first links."""
        model, (near, far) = self.model, self._ends
        centres, radii = data.geom_xpos, model.geom_rbound
        gaps = np.linalg.norm(centres[near][:, None] - centres[far][None], axis=-1)
        close = gaps - radii[near][:, None] - radii[far][None] < CLEARANCE_M  # only these can touch
        return any(
            mujoco.mj_geomDistance(model, data, int(near[a]), int(far[b]), 0.1, None) < CLEARANCE_M
            for a, b in np.argwhere(close)
        )

    @cached_property
    def _moving_links(self) -> np.ndarray:
        """Return the bodies that move with the arm."""
        model = self.model
        root = model.body_rootid[self.hand]
        bodies = [b for b in range(model.nbody) if model.body_rootid[b] == root]
        return np.array([b for b in bodies if model.body_weldid[b] != model.body_weldid[self.base]])

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the drawn geoms of the arm's first links, and those of the hand and what hangs on it."""
        model = self.model
        first = {self.base, *(int(b) for b in self._moving_links[: max(1, len(self.moving) // 2 - 1)])}
        last = {b for b in range(model.nbody) if b == self.hand or int(model.body_parentid[b]) == self.hand}
        drawn = np.flatnonzero((model.geom_group <= 2) & (model.geom_rgba[:, 3] > 0))
        near = [g for g in drawn if int(model.geom_bodyid[g]) in first]
        far = [g for g in drawn if int(model.geom_bodyid[g]) in last]
        return np.array(near, int), np.array(far, int)


def stand_of(specification: RobotSpecification, model: Any, camera: str, safety: Safety | None = None) -> Stand:
    """Return the stand of a camera of a scene; raise UsageError for a camera that the scene does not have."""
    names = [model.camera(i).name for i in range(model.ncam)]
    if camera not in names:
        raise UsageError(f"the scene has no camera '{camera}'", f"set calibration.camera to one of {', '.join(names)}")
    number = names.index(camera)
    carrier = int(model.cam_bodyid[number])
    in_hand = carrier != 0
    arm = specification.arms[0]
    if in_hand:
        arm = next(prefix for prefix in specification.arms if model.body(carrier).name.startswith(prefix))
    base = model.body(f"{arm}{specification.base_body}").id
    hand = carrier if in_hand else model.body(f"{arm}{specification.hand_body}").id
    board, depth = (
        (_on_table(model, base), (0.15, 0.5)) if in_hand else (_held(np.array(specification.tool_axis)), (0.35, 0.95))
    )
    chain = Chain(specification, arm, str(model.body(hand).name), in_hand)
    moving = np.array(chain.places)
    margin = LIMIT_MARGIN_RAD + (safety.joint_margin if safety else 0.0)
    low, high = np.array(specification.joint_low)[moving], np.array(specification.joint_high)[moving]
    home = specification.joints_from_targets(np.array(specification.home))
    box = None
    if safety is not None and safety.workspace_low is not None and safety.workspace_high is not None:
        box = np.array(safety.workspace_low) + 0.01, np.array(safety.workspace_high) - 0.01
    return Stand(
        model,
        specification,
        chain,
        number,
        base,
        hand,
        in_hand,
        board,
        depth,
        np.array([int(model.joint(name).qposadr[0]) for name in specification.joints]),
        moving,
        np.clip(low, -np.pi, np.pi) + margin,
        np.clip(high, -np.pi, np.pi) - margin,
        specification.tools[specification.arms.index(arm)],
        box,
        home,
        mujoco.MjData(model),
    )


def _on_table(model: Any, base: int) -> np.ndarray:
    """Return the centre of a board that lies on the table, face up, 0.4 m before the base; in the base frame."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    height = float(data.xpos[base, 2])
    return transform((0.4, 0.0, 0.003 - height), np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]]))


def _held(axis: np.ndarray, distance: float = 0.19) -> np.ndarray:
    """Return the centre of a board that the hand holds before its tool, face away from the hand; in the hand frame."""
    side = np.roll(axis, 1)
    return transform(distance * axis, np.stack([side, np.cross(-axis, side), -axis], axis=1))
