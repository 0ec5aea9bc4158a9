"""What an arm's controller does with tool targets: plan the way there within limits, and solve for the joints."""

from collections import deque

import numpy as np

from s2rctl.core.lines import PlannerState, follow
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.robots import ToolLimits


class ToolDrive:
    """Joint targets over time of an arm that is given tool positions; ``tick`` is called once per time step."""

    def __init__(self, specification: RobotSpecification, limits: ToolLimits, arm: int = 0) -> None:
        self._specification, self._limits, self._tool = specification, limits, specification.tools[arm]
        prefix, driven = specification.arms[arm], {*specification.space.joints}
        self.targets = np.array(
            [
                number
                for number, joint in enumerate(specification.target_joint)
                if specification.joints[joint].startswith(prefix) and joint not in driven
            ]
        )  # indices of the specification's targets that it moves: the arm's, less what the command drives itself
        self._moved = np.array(specification.target_joint)[self.targets]
        home = specification.joints_from_targets(np.array(specification.home))
        self._rotation = specification.kinematics.pose(self._tool, home)[1]
        self._low, self._high = np.array(specification.joint_low), np.array(specification.joint_high)
        self._queue: deque[tuple[float, np.ndarray]] = deque()
        self.reset(home)

    def reset(self, joints: np.ndarray) -> None:
        """Stand still at the joints (n,) rad and forget all targets."""
        tool = self._specification.kinematics.point(self._tool, joints)
        self._joints, self._going = np.array(joints, float), PlannerState(np.array(tool, float), np.zeros(3))
        self._goal: np.ndarray | None = None
        self._queue.clear()

    def aim(self, position: np.ndarray, effective: float) -> None:
        """Let a tool position (3,) m be the target from time ``effective`` s on; a later one never overtakes."""
        if self._queue:
            effective = max(effective, self._queue[-1][0])
        self._queue.append((effective, np.array(position, float)))

    def tick(self, now: float, dt: float) -> np.ndarray | None:
        """Return the ``targets`` (k,) after the next ``dt`` s; None before the first position."""
        while self._queue and self._queue[0][0] <= now + 1e-9:
            self._goal = self._queue.popleft()[1]
        if self._goal is None:
            return None
        spec, limits = self._specification, self._limits
        self._going = follow(np, self._going, self._goal, limits.speed, limits.acceleration, dt)
        self._joints, _ = spec.kinematics.solve(
            self._tool, self._going.position, self._rotation, self._joints, self._low, self._high
        )
        return self._joints[self._moved]
