"""What an OpenPI client says and hears, in this project's terms.

Two forms of observation are understood. The plain one has the policy's inputs by their contract names and without a
batch: ``joint_pos``, ``rgb_<camera>`` (H, W, 3), ``depth_<camera>`` (H, W) in the contract's unit, ``goal``. The one of
OpenPI's Aloha runtime has ``state`` (14: per arm six joints in rad and the gripper, 0 closed to 1 open) and ``images``
(``cam_left_wrist``, …: uint8, channels first or last, any size, padded to a square by the stock client). That runtime
drops depth, so a policy with depth needs ``depth_<camera>`` beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.robots.cameras.view import Fit, View
from s2rctl.robots.protocol import Frame, RobotSpecification
from s2rctl.schema.cameras import CameraDevice, Intrinsics
from s2rctl.schema.contract import Contract

IMAGE_NAMES = {"cam_left_wrist": "wrist_cam_left", "cam_right_wrist": "wrist_cam_right", "cam_high": "overhead_cam"}
"""OpenPI's camera names -> ours."""
PER_ARM = 7  # six joints and the gripper


@dataclass(frozen=True)
class Observation:
    """One observation of a client."""

    joint_pos: np.ndarray  # (n,) rad, m
    joint_vel: np.ndarray
    frames: Mapping[str, Frame]
    goal: np.ndarray | None
    ages: Mapping[str, float]  # s, where the client says how old its measurements are
    aloha: bool  # the client speaks the Aloha runtime's form


class Layout:
    """Reads observations and writes actions for one policy and robot."""

    def __init__(
        self, contract: Contract, specification: RobotSpecification, devices: Mapping[str, CameraDevice]
    ) -> None:
        self._spec = specification
        self._views = {camera.name: View.of(camera) for camera in contract.cameras}
        self._devices = devices
        self._fits: dict[tuple[str, tuple[int, ...]], Fit] = {}
        grips = [i for i, name in enumerate(specification.targets) if name.endswith("gripper")]
        self._grips = np.array(grips, int)
        self._grip_low = np.array([specification.target_low[i] for i in grips])
        self._grip_span = np.array([specification.target_high[i] for i in grips]) - self._grip_low

    def read(self, message: Any) -> Observation:
        """Return the observation in a message; UsageError that says what is missing or misshapen."""
        if not isinstance(message, Mapping):
            raise UsageError("an observation is a map", "send the policy's inputs by name")
        aloha = "joint_pos" not in message and "state" in message
        joints = self._joints_of_state(message["state"]) if aloha else self._vector(message, "joint_pos")
        velocity = self._vector(message, "joint_vel") if "joint_vel" in message else np.zeros(len(self._spec.joints))
        pictures = dict(message)
        for name, image in _map(message, "images").items():
            pictures.setdefault(f"rgb_{IMAGE_NAMES.get(name, name)}", image)
        frames = {name: self._frame(name, view, pictures) for name, view in self._views.items()}
        goal = None if message.get("goal") is None else np.asarray(message["goal"], float).reshape(-1)
        ages = {str(name): float(age) for name, age in _map(message, "ages").items()}
        return Observation(joints, velocity, frames, goal, ages, aloha)

    def write(self, target: np.ndarray, aloha: bool) -> np.ndarray:
        """Return targets (m,) as the action chunk (1, m) float32 that the client expects."""
        values = target.copy()
        if aloha:
            values[self._grips] = (values[self._grips] - self._grip_low) / self._grip_span
        return values[None].astype(np.float32)

    def reset_pose(self) -> list[float]:
        """Return the home pose of the first arm without its gripper, as OpenPI's Aloha runtime wants it."""
        return [float(value) for value in self._spec.home[: PER_ARM - 1]]

    def _vector(self, message: Mapping[str, Any], name: str) -> np.ndarray:
        if name not in message:
            raise UsageError(f"the observation has no '{name}'", "send joint_pos, or state for Aloha")
        values = np.asarray(message[name], float).reshape(-1)
        if values.size != len(self._spec.joints):
            raise UsageError(f"'{name}' has {values.size} numbers, the robot has {len(self._spec.joints)} joints")
        return values

    def _joints_of_state(self, state: Any) -> np.ndarray:
        values = np.asarray(state, float).reshape(-1)
        if self._spec.command != "joint" or values.size != len(self._spec.targets):
            raise UsageError(
                f"'state' has {values.size} numbers, {self._spec.name} has {len(self._spec.targets)} targets",
                "send joint_pos with the joints in the contract's order",
            )
        values[self._grips] = self._grip_low + values[self._grips] * self._grip_span
        return self._spec.joints_from_targets(values)

    def _frame(self, name: str, view: View, message: Mapping[str, Any]) -> Frame:
        rgb, depth = message.get(f"rgb_{name}"), message.get(f"depth_{name}")
        if rgb is None:
            raise UsageError(f"the observation has no picture 'rgb_{name}'", "send it, or images with OpenPI's names")
        if view.depth_unit_m is not None and depth is None:
            raise UsageError(
                f"the policy needs depth, and the observation has no 'depth_{name}'",
                f"send uint16 ({view.height}, {view.width}), {view.depth_unit_m:g} m per count; OpenPI's own Aloha "
                "client drops depth",
            )
        if depth is not None:
            depth = np.asarray(depth)
            if depth.shape != (view.height, view.width) or depth.dtype != np.uint16:
                raise UsageError(f"'depth_{name}' is {depth.dtype} {depth.shape}, not uint16 {view.height, view.width}")
        return Frame(0.0, self._picture(name, view, np.asarray(rgb)), depth)

    def _picture(self, name: str, view: View, image: np.ndarray) -> np.ndarray:
        """Return the policy's picture (h, w, 3) of an image of any size, channels first or last."""
        if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
            image = image.transpose(1, 2, 0)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UsageError(f"'rgb_{name}' is {image.dtype} {image.shape}, not a uint8 picture with three channels")
        if image.shape[:2] == (view.height, view.width):
            return np.ascontiguousarray(image)
        key = (name, image.shape)
        if key not in self._fits:
            self._fits[key] = Fit(view, self._lens(name, image.shape[0], image.shape[1]), name)
        return self._fits[key].colour(np.ascontiguousarray(image))

    def _lens(self, name: str, height: int, width: int) -> Intrinsics:
        """Return the intrinsics of a picture that was scaled, and padded equally on both sides, by the client."""
        device = self._devices.get(name)
        lens = device.intrinsics if device is not None else None
        if device is not None and lens is None and device.fovy_deg is not None:
            focal = 0.5 * device.height / np.tan(np.radians(device.fovy_deg) / 2)
            size = {"width": device.width, "height": device.height}
            centre = {"cx": (device.width - 1) / 2, "cy": (device.height - 1) / 2}
            lens = Intrinsics(**size, **centre, fx=focal, fy=focal)
        if lens is None:
            view = self._views[name]
            raise UsageError(
                f"'rgb_{name}' is {width} x {height} and the policy wants {view.width} x {view.height}, but nothing is "
                "known of the camera's optics",
                f"send it at the policy's size, or set robot.cameras.{name}.intrinsics (or .fovy_deg)",
            )
        scale = min(width / lens.width, height / lens.height)
        left, top = (width - scale * lens.width) / 2, (height - scale * lens.height) / 2
        return Intrinsics(
            width=width,
            height=height,
            fx=lens.fx * scale,
            fy=lens.fy * scale,
            cx=(lens.cx + 0.5) * scale - 0.5 + left,
            cy=(lens.cy + 0.5) * scale - 0.5 + top,
        )


def _map(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = message.get(name) or {}
    if not isinstance(value, Mapping):
        raise UsageError(f"'{name}' is not a map")
    return value
