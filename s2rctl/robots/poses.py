"""Poses that follow from a robot's specification: where it parks, and where its tools are."""

import numpy as np

from s2rctl.core.spatial import from_matrix
from s2rctl.robots.protocol import RobotSpecification, Target


def home_target(specification: RobotSpecification) -> Target:
    """Return the command of the home pose."""
    joints = specification.joints_from_targets(np.array(specification.home))
    return Target(specification.space.values(joints, home_tools(specification)))


def home_tools(specification: RobotSpecification) -> np.ndarray:
    """Return where the tools (arms, 3) m are in the home pose."""
    joints = specification.joints_from_targets(np.array(specification.home))
    return np.stack([specification.kinematics.point(tool, joints) for tool in specification.tools])


def tool_poses(specification: RobotSpecification, joint_pos: np.ndarray) -> np.ndarray:
    """Return (arms, 7): position m and quaternion w x y z of each tool for measured joints (n,)."""
    kinematics = specification.kinematics
    poses = [kinematics.pose(tool, joint_pos) for tool in specification.tools]
    return np.stack([np.concatenate([position, from_matrix(rotation)]) for position, rotation in poses])
