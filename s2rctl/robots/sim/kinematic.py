"""A robot without dynamics: it reaches every target at once. For tests of the loop and for dry runs without MuJoCo."""

import numpy as np

from s2rctl.core.clock import Clock
from s2rctl.core.spatial import from_matrix
from s2rctl.robots.protocol import Identity, RobotSpecification, State, StopLevel, Target


class KinematicRobot:
    """Obeys targets exactly, within the joint limits; counts what it was told."""

    def __init__(self, specification: RobotSpecification, clock: Clock) -> None:
        self.specification = specification
        self._clock = clock
        self._joints = specification.joints_from_targets(np.array(specification.home))
        self._home_rotation = specification.kinematics.pose(specification.tools[0], self._joints)[1]
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
        if target.kind == "joint":
            self._joints = spec.joints_from_targets(target.values)
            return
        self._joints, _ = spec.kinematics.solve(
            spec.tools[0],
            target.values,
            self._home_rotation,
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


def home_target(specification: RobotSpecification) -> Target:
    """Return the target of the home pose in the robot's kind of command."""
    home = np.array(specification.home)
    if specification.command == "joint":
        return Target("joint", home)
    joints = specification.joints_from_targets(home)
    return Target("tool", specification.kinematics.point(specification.tools[0], joints))


def tool_poses(specification: RobotSpecification, joint_pos: np.ndarray) -> np.ndarray:
    """Return (arms, 7): position m and quaternion w x y z of each tool for measured joints (n,)."""
    kinematics = specification.kinematics
    poses = [kinematics.pose(tool, joint_pos) for tool in specification.tools]
    return np.stack([np.concatenate([position, from_matrix(rotation)]) for position, rotation in poses])
