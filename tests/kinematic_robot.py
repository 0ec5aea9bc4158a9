"""A robot without dynamics: it reaches every target at once. For tests of the loop."""

import numpy as np

from s2rctl.core.clock import Clock
from s2rctl.robots.poses import home_target, tool_poses
from s2rctl.robots.protocol import Identity, RobotSpecification, State, StopLevel, Target


class KinematicRobot:
    """Obeys targets exactly, within the joint limits; counts what it was told."""

    def __init__(self, specification: RobotSpecification, clock: Clock) -> None:
        self.specification = specification
        self._clock = clock
        self._joints = specification.joints_from_targets(np.array(specification.home))
        self._home = {tool: specification.kinematics.pose(tool, self._joints)[1] for tool in specification.tools}
        self.sent: list[Target] = []
        self.stops: list[StopLevel] = []

    def connect(self) -> Identity:
        """Return a made-up identity."""
        return Identity(f"kinematic {self.specification.name}", "0", "0")

    def read(self) -> State:
        """Return the exact state, measured now."""
        return State(
            t=self._clock.now(),
            joint_pos=self._joints.copy(),
            joint_vel=np.zeros(len(self._joints)),
            tool=tool_poses(self.specification, self._joints),
        )

    def send(self, target: Target) -> None:
        """Be there."""
        self.sent.append(target)
        spec = self.specification
        self._joints = spec.joints_from_command(target.values, self._joints)
        for arm, entries in spec.space.tools.items():
            self._joints, _ = spec.kinematics.solve(
                spec.tools[arm],
                target.values[entries],
                self._home[spec.tools[arm]],
                self._joints,
                np.array(spec.joint_low),
                np.array(spec.joint_high),
            )

    def hold(self) -> None:
        """Stay."""

    def stop(self, level: StopLevel) -> None:
        """Note the stop."""
        self.stops.append(level)

    def parking(self) -> Target:
        """Return the home pose."""
        return home_target(self.specification)

    def recover(self) -> None:
        """There is nothing to recover from."""

    def close(self) -> None:
        """There is nothing to close."""
