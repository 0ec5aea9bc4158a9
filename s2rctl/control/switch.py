"""The flag ``switched`` of the insertion policy, computed on the robot from measured joints alone.

In training the pick policies drive both arms until both fingertip midpoints are above a height; then the insertion
policy takes over for good. The deployed policy is told by the same latched flag.
"""

import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.scene.sizes import HANDOVER_HEIGHT


class Switch:
    """A latch over the height of the fingertip midpoints of all arms."""

    def __init__(self, specification: RobotSpecification, height: float = HANDOVER_HEIGHT) -> None:
        self._kinematics = specification.kinematics
        self._tips = [f"{arm}{side}_fingertip" for arm in specification.arms for side in ("left", "right")]
        missing = set(self._tips) - set(self._kinematics.points)
        if missing:
            raise RunError(f"the robot '{specification.name}' has no point {', '.join(sorted(missing))}")
        self._height = height
        self.switched = False

    def reset(self) -> None:
        """Forget, at the start of an episode."""
        self.switched = False

    def update(self, joint_pos: np.ndarray) -> bool:
        """Look at the measured joints (n,) and return the flag."""
        if not self.switched:
            heights = self._kinematics.points_of(self._tips, joint_pos)[:, 2].reshape(-1, 2).mean(axis=1)
            self.switched = bool(np.all(heights > self._height))
        return self.switched
