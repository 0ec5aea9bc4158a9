"""The limits that every command must keep, as arrays: from the profile's safety section and the robot's figures."""

from dataclasses import dataclass

import numpy as np

from s2rctl.robots.command import Entry
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.deployment import Safety

STATE = "robot"
"""The source of joint readings; the others are cameras."""

READING_SLACK = 0.1
"""rad (m): a joint measured further than this outside its mechanical range means a wrong robot or a broken encoder."""


@dataclass(frozen=True)
class Envelope:
    """Limits of each entry of the command, of the tools, and of the measured joints."""

    low: np.ndarray  # (m,) never passed
    high: np.ndarray
    margin: np.ndarray  # (m,) kept from low and high, unless the robot starts nearer
    rate: np.ndarray  # (m,) largest change per step; of a tool's entries together it is tool_step
    tool_step: float  # m per step
    tracking: np.ndarray  # (m,) rad (m): largest distance of a command from the measurement
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

    Only joints keep a margin. Grippers and slides move at the device's own speed: their range is millimetres. The
    workspace is the range of commanded tools.
    """
    if not 0.0 < speed <= 1.0:
        raise ValueError(f"speed is a part in (0, 1], not {speed}")
    dt = 1.0 / rate_hz
    joint_low, joint_high = np.array(specification.joint_low), np.array(specification.joint_high)
    workspace = None
    if safety.workspace_low is not None and safety.workspace_high is not None:
        workspace = (np.array(safety.workspace_low), np.array(safety.workspace_high))
    space = specification.space
    low, high = space.low.copy(), space.high.copy()
    if workspace is not None:
        for entries in space.tools.values():
            low[entries], high[entries] = (
                np.maximum(low[entries], workspace[0]),
                np.minimum(high[entries], workspace[1]),
            )
    return Envelope(
        low=low,
        high=high,
        margin=np.where(space.of_kind("joint"), safety.joint_margin, 0.0),
        rate=np.array([_fastest(entry, safety) for entry in space.entries]) * speed * dt,
        tool_step=speed * safety.tool_speed * dt,
        tracking=np.full(len(space), safety.tracking_error),
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


def _fastest(entry: Entry, safety: Safety) -> float:
    """Return the largest speed of an entry, unit/s: the device's, or less where the profile limits its kind."""
    limits = {"joint": safety.joint_speed, "tool_translation": safety.tool_speed}
    return min(entry.rate, limits.get(entry.kind, entry.rate))
