"""What every robot offers, real or emulated, and what is known about it before it is connected.

Positions are in the robot's base frame (for Aloha the world frame of the scene, midway between the arms), metres and
radians; times are seconds of the loop's clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Protocol

import numpy as np

from s2rctl.core.kinematics import Kinematics
from s2rctl.robots.command import CommandSpace, Entry


@dataclass(frozen=True)
class RobotSpecification:
    """A robot's fixed figures.

    Joints are what is measured, targets what the model's actuators take, command entries what a policy moves.
    """

    name: str
    joints: tuple[str, ...]  # order of State.joint_pos; model joint names, e.g. "left/waist"
    joint_low: tuple[float, ...]  # rad (m for fingers)
    joint_high: tuple[float, ...]
    joint_speed: tuple[float, ...]  # rad/s (m/s): what the device can do
    targets: tuple[str, ...]  # actuator names in the order of ctrl, e.g. "left/gripper"
    target_joint: tuple[int, ...]  # for each target the index of the joint it drives
    target_low: tuple[float, ...]  # ctrlrange
    target_high: tuple[float, ...]
    home: tuple[float, ...]  # targets of the home and parking pose
    arms: tuple[str, ...]  # prefix of each arm: ("left/", "right/") or ("",)
    tools: tuple[str, ...]  # for each arm the kinematics point that is its tool
    kinematics: Kinematics  # over ``joints``
    base_body: str  # body of the scene at the foot of each arm, without the arm's prefix
    hand_body: str  # body that carries the tool, without the prefix
    tool_axis: tuple[float, float, float]  # unit vector out of the hand, in the hand body's frame
    command: tuple[Entry, ...]  # what the policy's action moves, and the order of Target.values
    grip: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, from the tool to where a hand holds things, in its axes
    mimic: Mapping[int, int] = field(default_factory=dict)  # joint index -> joint index it copies (second fingers)

    @cached_property
    def space(self) -> CommandSpace:
        """The command's entries as arrays."""
        return CommandSpace(self.command)

    def joints_from_targets(self, targets: np.ndarray) -> np.ndarray:
        """Return the joint positions (n,) at which all targets are reached exactly."""
        return self._with(np.zeros(len(self.joints)), list(self.target_joint), targets)

    def joints_from_command(self, values: np.ndarray, joint_pos: np.ndarray) -> np.ndarray:
        """Return joint positions (n,): the driven ones as a command (m,) has them, the others as in ``joint_pos``."""
        space = self.space
        return self._with(np.array(joint_pos, float), space.joints, values[space.driven])

    def _with(self, positions: np.ndarray, joints: Sequence[int] | np.ndarray, values: np.ndarray) -> np.ndarray:
        positions[joints] = values
        for joint, source in self.mimic.items():
            positions[joint] = positions[source]
        return positions


@dataclass(frozen=True)
class Identity:
    """Who answered at the other end."""

    model: str
    serial: str
    firmware: str
    kinematics: tuple[float, ...] = ()  # the arm's own figures, as the device gives them; empty where it does not


@dataclass(frozen=True)
class State:
    """One measurement."""

    t: float  # s, when it was measured
    joint_pos: np.ndarray  # (n,) rad, m
    joint_vel: np.ndarray  # (n,) rad/s, m/s
    tool: np.ndarray  # (arms, 7): position m and quaternion w x y z of each arm's tool
    codes: tuple[str, ...] = ()  # device errors in force, as text; empty when healthy


@dataclass(frozen=True)
class Target:
    """One command (m,) in the order of the specification's entries; tools keep their home orientation."""

    values: np.ndarray


class StopLevel(Enum):
    """How to stop."""

    SOFT = "soft"  # decelerate and hold
    HARD = "hard"  # the device's own stop; needs recover()


class Robot(Protocol):
    """A robot. Calls never block longer than a control period; errors are S2rError with the device's own words."""

    specification: RobotSpecification

    def connect(self) -> Identity:
        """Bring the robot up until it holds its position, or raise MissingEnvironmentError or SafetyStop."""

    def read(self) -> State:
        """Return the newest measurement; its ``t`` tells how old it is."""

    def send(self, target: Target) -> None:
        """Move towards the target, replacing the one before."""

    def hold(self) -> None:
        """Keep the last target and accept no motion until the next ``send``."""

    def stop(self, level: StopLevel) -> None:
        """Stop. Safe from any thread and at any time, also when not connected."""

    def parking(self) -> Target:
        """Return where to park; the loop moves there step by step, starting at the last command."""

    def recover(self) -> None:
        """Clear errors and make ready. Only a person's explicit command calls this."""

    def close(self) -> None:
        """Let go of the connection without dropping the arm."""


@dataclass(frozen=True)
class Frame:
    """One camera image as the policy takes it, first row on top."""

    t: float  # s, when it was captured
    rgb: np.ndarray  # (H, W, 3) uint8
    depth: np.ndarray | None = None  # (H, W) uint16 in the camera's depth unit; 0 = no measurement


class CameraSource(Protocol):
    """A camera that keeps only its newest frame."""

    name: str

    def latest(self) -> Frame | None:
        """Return the newest frame, or None before the first one. Never waits."""

    def close(self) -> None:
        """Stop the stream."""
