"""Poses that follow from a robot's specification: where it parks, and where its tools are."""

import numpy as np

from s2rctl.core.spatial import from_matrix
from s2rctl.robots.protocol import RobotSpecification, Target


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
