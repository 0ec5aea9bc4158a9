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
from s2rctl.schema.tensors import GOAL, JOINT_POS, JOINT_VEL, depth_name, rgb_name

IMAGE_NAMES = {"cam_left_wrist": "wrist_cam_left", "cam_right_wrist": "wrist_cam_right", "cam_high": "overhead_cam"}
"""OpenPI's camera names -> ours."""
PER_ARM = 7  # six joints and the gripper
LARGEST_SIDE = 8192
"""Pixels of a client's picture."""
MOST_NUMBERS, LARGEST_NUMBER = 1024, 1e6
MOST_FITS = 16
"""Sizes of pictures whose cutting is remembered: a client that changes its size each time costs time, not memory."""


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
        space = specification.space
        self._grips = np.flatnonzero(space.of_kind("gripper"))
        self._grip_low = space.low[self._grips]
        self._grip_span = space.high[self._grips] - self._grip_low

    def read(self, message: Any) -> Observation:
        """Return the observation in a message; UsageError that says what is missing or misshapen."""
        if not isinstance(message, Mapping):
            raise UsageError("an observation must be a map", "send the policy's inputs by name")
        aloha = JOINT_POS not in message and "state" in message
        joints = self._joints_of_state(_numbers(message, "state")) if aloha else self._vector(message, JOINT_POS)
        velocity = self._vector(message, JOINT_VEL) if JOINT_VEL in message else np.zeros(len(self._spec.joints))
        pictures = dict(message)
        for name, image in _map(message, "images").items():
            pictures.setdefault(rgb_name(IMAGE_NAMES.get(name, name)), image)
        frames = {name: self._frame(name, view, pictures) for name, view in self._views.items()}
        goal = None if message.get(GOAL) is None else _numbers(message, GOAL)
        ages = {str(name): _age(name, age) for name, age in _map(message, "ages").items()}
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
        values = _numbers(message, name)
        if values.size != len(self._spec.joints):
            raise UsageError(f"'{name}' has {values.size} numbers, the robot has {len(self._spec.joints)} joints")
        return values

    def _joints_of_state(self, values: np.ndarray) -> np.ndarray:
        space, home = self._spec.space, self._spec.joints_from_targets(np.array(self._spec.home))
        if space.tools or values.size != len(space):
            raise UsageError(
                f"'state' has {values.size} numbers, {self._spec.name} has {len(self._spec.targets)} targets",
                "send joint_pos with the joints in the contract's order",
            )
        values[self._grips] = self._grip_low + values[self._grips] * self._grip_span
        return self._spec.joints_from_command(values, home)

    def _frame(self, name: str, view: View, message: Mapping[str, Any]) -> Frame:
        rgb_key, depth_key = rgb_name(name), depth_name(name)
        rgb, depth = message.get(rgb_key), message.get(depth_key)
        if rgb is None:
            raise UsageError(f"the observation has no image '{rgb_key}'", "send it, or images with OpenPI's names")
        if view.depth_unit_m is not None and depth is None:
            raise UsageError(
                f"the policy needs depth, and the observation has no '{depth_key}'",
                f"send uint16 ({view.height}, {view.width}), {view.depth_unit_m:g} m per count; OpenPI's own Aloha "
                "client drops depth",
            )
        if depth is not None:
            depth = _array(depth_key, depth)
            if depth.shape != (view.height, view.width) or depth.dtype != np.uint16:
                raise UsageError(f"'{depth_key}' is {depth.dtype} {depth.shape}, not uint16 {view.height, view.width}")
        return Frame(0.0, self._picture(name, view, _array(rgb_key, rgb)), depth)

    def _picture(self, name: str, view: View, image: np.ndarray) -> np.ndarray:
        """Return the policy's picture (h, w, 3) of an image of any size, channels first or last."""
        if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
            image = image.transpose(1, 2, 0)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UsageError(
                f"'{rgb_name(name)}' is {image.dtype} {image.shape}, not a uint8 image with three channels"
            )
        if image.shape[:2] == (view.height, view.width):
            return np.ascontiguousarray(image)
        if not 1 <= min(image.shape[:2]) <= max(image.shape[:2]) <= LARGEST_SIDE:
            raise UsageError(
                f"'{rgb_name(name)}' has the size {image.shape[:2]}", f"send 1 to {LARGEST_SIDE} pixels a side"
            )
        key = (name, image.shape)
        if key not in self._fits:
            if len(self._fits) >= MOST_FITS:
                self._fits.clear()
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
                f"'{rgb_name(name)}' is {width} x {height}, the policy expects {view.width} x {view.height}, "
                "and the camera's intrinsics are unknown",
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


def _numbers(message: Mapping[str, Any], name: str) -> np.ndarray:
    """Return the numbers (n,) under a name; UsageError when there is anything else."""
    value = message[name]
    if not isinstance(value, np.ndarray | np.generic | list | bool | int | float):
        raise UsageError(f"'{name}' must hold numbers, not {type(value).__name__}")
    if isinstance(value, np.ndarray) and value.size > MOST_NUMBERS:
        raise UsageError(f"'{name}' has {value.size} numbers, and no robot has that many")
    try:
        # a copy: the values are scaled in place, and the message may still be needed as it came
        numbers = np.array(value, float).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"'{name}' is not a list of numbers") from None
    if np.any(np.abs(numbers) > LARGEST_NUMBER):  # NaN passes: the filter names it
        raise UsageError(f"'{name}' has a number beyond ±{LARGEST_NUMBER:g}", "send rad and m")
    return numbers


def _array(name: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise UsageError(
            f"'{name}' must be an array, not {type(value).__name__}", "send a NumPy array with openpi-client"
        )
    return value


def _age(name: Any, value: Any) -> float:
    if not isinstance(value, int | float | np.number):
        raise UsageError(f"the age of '{name}' is not a number", "send seconds")
    return float(value)


def _map(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"'{name}' is not a map")
    return value
