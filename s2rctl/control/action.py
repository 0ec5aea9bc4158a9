"""What an action means: how numbers in the trained range become the robot's next target.

The same rules as the tasks that the policies were trained on: a change of the last *commanded* target, so that sag and
contact do not drift into the command.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

from s2rctl.core.errors import ArtifactError
from s2rctl.robots.protocol import RobotSpecification, State
from s2rctl.schema.contract import Contract


class ActionMapping(Protocol):
    """Turns actions into targets."""

    kind: Literal["joint", "tool"]
    size: int
    low: np.ndarray  # (size,) trained range
    high: np.ndarray

    def start(self, state: State) -> np.ndarray:
        """Return the target (size,) at which the robot stands."""

    def apply(self, last: np.ndarray, action: np.ndarray, state: State) -> np.ndarray:
        """Return the target (size,) that ``action`` (size,) asks for after the command ``last``."""


class JointDelta:
    """Changes of joint targets: target = clip(last + scale * action), rad (m for grippers)."""

    kind: Literal["joint", "tool"] = "joint"

    def __init__(self, specification: RobotSpecification, scale: Sequence[float]) -> None:
        self.low, self.high = -np.ones(len(scale)), np.ones(len(scale))
        self.size = len(specification.targets)
        self._scale = np.asarray(scale, float)
        self._low, self._high = np.array(specification.target_low), np.array(specification.target_high)
        self._joint = np.array(specification.target_joint)

    def start(self, state: State) -> np.ndarray:
        """Return the measured positions of the driven joints, within the target range."""
        return np.clip(state.joint_pos[self._joint], self._low, self._high)

    def apply(self, last: np.ndarray, action: np.ndarray, state: State) -> np.ndarray:
        """Return the next joint targets."""
        return np.minimum(np.maximum(last + self._scale * action, self._low), self._high)


class ToolDelta:
    """Displacements of the tool in the base frame: target = last + action, m.

    Where the arm is further than ``tolerance`` m from the last command (it was pushed, or stopped), the measured
    position takes the command's place, so that the command does not run away.
    """

    kind: Literal["joint", "tool"] = "tool"
    size = 3

    def __init__(self, low: Sequence[float], high: Sequence[float], unit_m: Sequence[float], tolerance: float) -> None:
        self.low, self.high = np.array(low), np.array(high)
        self._unit = np.asarray(unit_m, float)
        self._tolerance = tolerance

    def start(self, state: State) -> np.ndarray:
        """Return the measured tool position."""
        return state.tool[0, :3].copy()

    def apply(self, last: np.ndarray, action: np.ndarray, state: State) -> np.ndarray:
        """Return the next tool position."""
        measured = state.tool[0, :3]
        error = last - measured
        anchor = measured if float(error @ error) > self._tolerance**2 else last
        return anchor + self._unit * action


def action_mapping(
    specification: RobotSpecification, contract: Contract, tolerance: float, speed: float = 1.0
) -> ActionMapping:
    """Return the mapping that a contract asks for; ``tolerance`` (m) is ToolDelta's.

    An action with a unit is already a displacement; one without is in [-1, 1] and is multiplied by the scale. ``speed``
    in (0, 1] shortens every motion and keeps its direction: the arm goes the same way, more slowly.
    """
    scale = [speed * value for value in contract.action_scale]
    if specification.command == "joint":
        if len(scale) != len(specification.targets):
            raise ArtifactError(f"the policy scales {len(scale)} actions, not {len(specification.targets)}")
        return JointDelta(specification, scale)
    action = next(tensor for tensor in contract.outputs if tensor.name == "action")
    if action.unit in ("", "1"):
        return ToolDelta([-1.0] * 3, [1.0] * 3, scale, tolerance)
    high = action.high if action.high is not None else contract.action_scale
    low = action.low if action.low is not None else [-value for value in high]
    return ToolDelta(low, high, [speed] * 3, tolerance)
