"""What an action means: how numbers in the trained range become the robot's next target.

The same rules as the tasks that the policies were trained on: a change of the last *commanded* target, so that sag and
contact do not drift into the command.
"""

from collections.abc import Sequence

import numpy as np

from s2rctl.core.errors import ArtifactError
from s2rctl.robots.command import CommandSpace
from s2rctl.robots.protocol import RobotSpecification, State
from s2rctl.schema.contract import Contract


class ActionMapping:
    """Turns actions into targets, entry by entry: target = clip(last + scale * action), in each entry's unit.

    Where a commanded tool is further than ``tolerance`` m from the last command (it was pushed, or stopped), its
    measured position takes the command's place, so that the command does not run away.
    """

    def __init__(
        self,
        space: CommandSpace,
        low: Sequence[float],
        high: Sequence[float],
        scale: Sequence[float],
        tolerance: float,
    ) -> None:
        """``low`` and ``high`` (m,) are the trained range; ArtifactError when they or the scale are of another size."""
        for words, numbers in (("scales", scale), ("bounds", low), ("bounds", high)):
            if len(numbers) != len(space):
                raise ArtifactError(f"the policy {words} {len(numbers)} actions, not {len(space)}")
        self.low, self.high = np.array(low, float), np.array(high, float)
        self.size = len(space)
        self._space = space
        self._scale = np.asarray(scale, float)
        self._tolerance = tolerance

    def start(self, state: State) -> np.ndarray:
        """Return the target (m,) at which the robot stands, within the entries' limits."""
        return np.clip(self._space.values(state.joint_pos, state.tool), self._space.low, self._space.high)

    def apply(self, last: np.ndarray, action: np.ndarray, state: State) -> np.ndarray:
        """Return the target (m,) that ``action`` (m,) asks for after the command ``last``."""
        anchor = last.copy()
        for arm, entries in self._space.tools.items():
            measured = state.tool[arm, :3]
            error = last[entries] - measured
            if float(error @ error) > self._tolerance**2:
                anchor[entries] = measured
        return np.minimum(np.maximum(anchor + self._scale * action, self._space.low), self._space.high)


def action_mapping(
    specification: RobotSpecification, contract: Contract, tolerance: float, speed: float = 1.0
) -> ActionMapping:
    """Return the mapping that a contract asks for; ``tolerance`` (m) is that of commanded tools.

    An action with a unit is already a displacement; one without is in [-1, 1] and is multiplied by the scale. ``speed``
    in (0, 1] shortens every motion and keeps its direction: the arm goes the same way, more slowly.
    """
    space = specification.space
    action = next(tensor for tensor in contract.outputs if tensor.name == "action")
    if action.unit in ("", "1"):
        scale = [speed * value for value in contract.action_scale]
        return ActionMapping(space, [-1.0] * len(scale), [1.0] * len(scale), scale, tolerance)
    high = action.high if action.high is not None else contract.action_scale
    low = action.low if action.low is not None else [-value for value in high]
    return ActionMapping(space, low, high, [speed] * len(space), tolerance)
