"""The link chain of the xArm7 with its gripper; the world is the robot's base frame (``link_base``).

Figures: MuJoCo Menagerie's ufactory_xarm7 (BSD-3-Clause); the flange agrees with the controller's own model.
"""

from s2rctl.core.kinematics import Kinematics, Link, Point

JOINTS = tuple(f"joint{number}" for number in range(1, 8))
_UP, _DOWN = (1.0, 1.0, 0.0, 0.0), (1.0, -1.0, 0.0, 0.0)

KINEMATICS = Kinematics(
    links=(
        Link("link_base", ""),
        Link("link1", "link_base", (0.0, 0.0, 0.267), joint="joint1"),
        Link("link2", "link1", (0.0, 0.0, 0.0), _DOWN, "joint2"),
        Link("link3", "link2", (0.0, -0.293, 0.0), _UP, "joint3"),
        Link("link4", "link3", (0.0525, 0.0, 0.0), _UP, "joint4"),
        Link("link5", "link4", (0.0775, -0.3425, 0.0), _UP, "joint5"),
        Link("link6", "link5", (0.0, 0.0, 0.0), _UP, "joint6"),
        Link("link7", "link6", (0.076, 0.097, 0.0), _DOWN, "joint7"),
        Link("xarm_gripper_base_link", "link7", quaternion=(0.0, 0.0, 0.0, 1.0)),
    ),
    joints=JOINTS,
    points={
        "flange": Point("link7", (0.0, 0.0, 0.0)),
        "tcp": Point("xarm_gripper_base_link", (0.0, 0.0, 0.172)),
    },
)
