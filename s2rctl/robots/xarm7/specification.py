"""The xArm7: names, limits, home pose.

Figures: MuJoCo Menagerie's ufactory_xarm7 (BSD-3-Clause); a test compares them with the model in assets/xarm7. Joints
2 and 4 are narrower here than in the model: arms with serial numbers from 1305 on have J2 [-2.042, 2.0246] and
J4 [-0.10472, 3.92699], and what every arm can do is the intersection. Joint speed: 180 °/s (vendor's limit).
"""

import math
from dataclasses import replace

from s2rctl.robots.command import joint_entries, tool_entries
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.robots.xarm7.kinematics import JOINTS, KINEMATICS

HOME = (0.0, -0.247, 0.0, 0.909, 0.0, 1.15644, 0.0)
"""Joint positions at home, rad: tool straight down at (0.400, 0, 0.228) m."""

_LIMITS = (
    (-6.28319, 6.28319),
    (-2.042, 2.0246),
    (-6.28319, 6.28319),
    (-0.10472, 3.92699),
    (-6.28319, 6.28319),
    (-1.69297, 3.14159),
    (-6.28319, 6.28319),
)

SPECIFICATION = RobotSpecification(
    name="xarm7",
    joints=JOINTS,
    joint_low=tuple(low for low, _ in _LIMITS),
    joint_high=tuple(high for _, high in _LIMITS),
    joint_speed=(math.radians(180.0),) * len(JOINTS),
    targets=JOINTS,
    target_joint=tuple(range(len(JOINTS))),
    target_low=tuple(low for low, _ in _LIMITS),
    target_high=tuple(high for _, high in _LIMITS),
    home=HOME,
    arms=("",),
    tools=("tcp",),
    kinematics=KINEMATICS,
    base_body="link_base",
    hand_body="link7",
    tool_axis=(0.0, 0.0, 1.0),
    command=tool_entries(),
)

IN_JOINTS = replace(
    SPECIFICATION,
    command=joint_entries(
        JOINTS,
        range(len(JOINTS)),
        SPECIFICATION.joint_low,
        SPECIFICATION.joint_high,
        SPECIFICATION.joint_speed,
    ),
)
"""The same arm commanded by its joints, as calibration does."""
