"""The link tree of two ViperX-300 arms facing each other.

Figures: MuJoCo Playground PR 76 (Apache-2.0), after MuJoCo Menagerie's ALOHA 2 (BSD-3-Clause). The gripper base is
turned by the Euler angles (0, 1.57, -1.57), not by a right angle; the figure is kept because the scenes have it.
"""

from s2rctl.core.kinematics import Kinematics, Link, Point

ARM_JOINTS = (
    "waist",
    "shoulder",
    "elbow",
    "forearm_roll",
    "wrist_angle",
    "wrist_rotate",
    "left_finger",
    "right_finger",
)
BASES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float, float]]] = {
    "left/": ((-0.469, -0.019, 0.02), (1.0, 0.0, 0.0, 0.0)),
    "right/": ((0.469, -0.019, 0.02), (0.0, 0.0, 0.0, 1.0)),
}
_GRIPPER_BASE = (0.5003981633553667, -0.49960183664463337, 0.49999984146591736, -0.49999984146591736)


def _arm(prefix: str) -> tuple[Link, ...]:
    """Return the links of one arm, base first."""
    position, quaternion = BASES[prefix]
    chain = (
        # link, parent, position in the parent, joint, axis
        ("shoulder_link", "base_link", (0.0, 0.0, 0.079), "waist", (0.0, 0.0, 1.0)),
        ("upper_arm_link", "shoulder_link", (0.0, 0.0, 0.04805), "shoulder", (0.0, 1.0, 0.0)),
        ("upper_forearm_link", "upper_arm_link", (0.05955, 0.0, 0.3), "elbow", (0.0, 1.0, 0.0)),
        ("lower_forearm_link", "upper_forearm_link", (0.2, 0.0, 0.0), "forearm_roll", (1.0, 0.0, 0.0)),
        ("wrist_link", "lower_forearm_link", (0.1, 0.0, 0.0), "wrist_angle", (0.0, 1.0, 0.0)),
        ("gripper_link", "wrist_link", (0.069744, 0.0, 0.0), "wrist_rotate", (1.0, 0.0, 0.0)),
    )
    p = prefix
    return (
        Link(f"{p}base_link", "", position, quaternion),
        *(
            Link(f"{p}{name}", f"{p}{parent}", at, joint=f"{p}{joint}", axis=axis)
            for name, parent, at, joint, axis in chain
        ),
        Link(f"{p}gripper_base", f"{p}gripper_link", (0.035, 0.0, 0.0), _GRIPPER_BASE),
        _finger(p, "left_finger", 0.0191, (1.0, -1.0, -1.0, 1.0)),
        _finger(p, "right_finger", -0.0191, (1.0, 1.0, 1.0, 1.0)),
    )


def _finger(p: str, name: str, x: float, quaternion: tuple[float, float, float, float]) -> Link:
    position = (x, -0.0141637, 0.0211727)
    axis = (0.0, 0.0, -1.0)
    return Link(f"{p}{name}_link", f"{p}gripper_base", position, quaternion, f"{p}{name}", axis, slide=True)


def _points(p: str) -> dict[str, Point]:
    """Return the named sites of one arm."""
    return {
        f"{p}gripper": Point(f"{p}gripper_link", (0.13, 0.0, -0.003)),
        f"{p}left_fingertip": Point(f"{p}left_finger_link", (0.0175, -0.0827, 0.0228)),
        f"{p}right_fingertip": Point(f"{p}right_finger_link", (0.0175, 0.0827, 0.0228)),
    }


JOINTS = tuple(f"{prefix}{joint}" for prefix in BASES for joint in ARM_JOINTS)
KINEMATICS = Kinematics(
    links=[link for prefix in BASES for link in _arm(prefix)],
    joints=JOINTS,
    points={name: point for prefix in BASES for name, point in _points(prefix).items()},
)
GRIP = (0.0089, 0.0, -0.0003)
"""m, from the tool ``gripper`` to the midpoint of the fingertips, in the gripper's axes; the fingers are mirrored."""
