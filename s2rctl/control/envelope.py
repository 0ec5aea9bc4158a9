"""The limits that every command must keep, as arrays: from the profile's safety section and the robot's figures."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.deployment import Safety

STATE = "robot"
"""The source of joint readings; the others are cameras."""

READING_SLACK = 0.1
"""rad (m): a joint measured further than this outside its mechanical range means a wrong robot or a broken encoder."""


@dataclass(frozen=True)
class Envelope:
    """Limits per target entry; for tool-commanded robots the entries are x, y, z in the base frame."""

    kind: Literal["joint", "tool"]
    low: np.ndarray  # (m,) never passed
    high: np.ndarray
    margin: np.ndarray  # (m,) kept from low and high, unless the robot starts nearer
    rate: np.ndarray  # (m,) largest change per step
    tool_step: float  # m per step
    tracking: float  # rad (m): largest distance of a command from the measurement
    tracking_patience: int  # consecutive limited steps after which the robot is stopped
    max_age: float  # s, of a picture
    max_state_age: float  # s, of joint readings
    workspace: tuple[np.ndarray, np.ndarray] | None  # corners of the tool's box
    joint_low: np.ndarray  # (n,) mechanical range of the measured joints
    joint_high: np.ndarray
    joint_margin: float
    joint_speed: float  # rad/s, largest measured speed that a tool command may cause
    dt: float  # s

    def oldest(self, source: str) -> float:
        """Return how old the newest measurement of a source may be, s."""
        return self.max_state_age if source == STATE else self.max_age


def envelope(specification: RobotSpecification, safety: Safety, rate_hz: float, speed: float = 1.0) -> Envelope:
    """Return the envelope of a robot at a control rate; ``speed`` in (0, 1] lowers every speed limit.

    Grippers (slides) keep no margin and move at the device's own speed: their range is millimetres.
    """
    if not 0.0 < speed <= 1.0:
        raise ValueError(f"speed is a part in (0, 1], not {speed}")
    dt = 1.0 / rate_hz
    joint_low, joint_high = np.array(specification.joint_low), np.array(specification.joint_high)
    workspace = None
    if safety.workspace_low is not None and safety.workspace_high is not None:
        workspace = (np.array(safety.workspace_low), np.array(safety.workspace_high))
    if specification.command == "tool":
        low, high = workspace if workspace is not None else (np.full(3, -np.inf), np.full(3, np.inf))
        margin, rate = np.zeros(3), np.full(3, speed * safety.tool_speed * dt)
    else:
        low, high = np.array(specification.target_low), np.array(specification.target_high)
        index = list(specification.target_joint)
        slide = np.array([specification.joints[joint].endswith("finger") for joint in index])
        margin = np.where(slide, 0.0, safety.joint_margin)
        fastest = np.array(specification.joint_speed)[index]
        rate = np.where(slide, fastest, np.minimum(fastest, safety.joint_speed)) * speed * dt
    return Envelope(
        kind=specification.command,
        low=low,
        high=high,
        margin=margin,
        rate=rate,
        tool_step=speed * safety.tool_speed * dt,
        tracking=safety.tracking_error,
        tracking_patience=10,
        max_age=safety.max_age_periods * dt,
        max_state_age=safety.max_state_age_periods * dt,
        workspace=workspace,
        joint_low=joint_low,
        joint_high=joint_high,
        joint_margin=safety.joint_margin,
        joint_speed=speed * safety.joint_speed,
        dt=dt,
    )
