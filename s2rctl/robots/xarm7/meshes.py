"""Published meshes of the xArm7 and its gripper. Frames: MuJoCo Menagerie's ``ufactory_xarm7`` (BSD-3-Clause)."""

import math

from s2rctl.robots.meshes import Part, RobotMeshes

_SHELL = (0.9, 0.9, 0.91)
_FLANGE = (0.753, 0.753, 0.753)
_DARK = (0.12, 0.12, 0.13)
_FOLDER = "tasks/assets/mesh"
JAW = 0.42
"""Angle of the jaws' four-bar linkage where our fixed jaws stand, rad: 42 mm between the pads."""
_TURN = (math.cos(JAW / 2), math.sin(JAW / 2), 0.0, 0.0)
_BACK = (math.cos(JAW / 2), -math.sin(JAW / 2), 0.0, 0.0)
_PIVOT = 0.035465 * math.cos(JAW) - 0.042039 * math.sin(JAW)
_REACH = 0.035465 * math.sin(JAW) + 0.042039 * math.cos(JAW)


def _jaw(side: float) -> tuple[Part, ...]:
    """Return knuckles and finger of one side (1 left, -1 right) in the frame of the last link."""
    name, turn = ("left", _TURN) if side > 0 else ("right", _BACK)
    return (
        Part("link7", f"{name}_outer_knuckle.stl", _DARK, (0.0, side * 0.035, 0.059098), turn),
        Part("link7", f"{name}_inner_knuckle.stl", _DARK, (0.0, side * 0.02, 0.074098), turn),
        Part("link7", f"{name}_finger.stl", _DARK, (0.0, side * (0.035 + _PIVOT), 0.059098 + _REACH)),
    )


MESHES = RobotMeshes(
    package="gym-xarm==0.1.1",
    module="gym_xarm",
    parts=tuple(
        (_FOLDER, part)
        for part in (
            Part("link_base", "link_base.stl", _SHELL),
            *(Part(f"link{number}", f"link{number}.stl", _SHELL) for number in range(1, 7)),
            Part("link7", "link7.stl", _FLANGE),
            Part("link7", "base_link.stl", _SHELL),
            *_jaw(1.0),
            *_jaw(-1.0),
        )
    ),
    menagerie="ufactory_xarm7",
    model="xarm7",
    posture=tuple(
        (joint, JAW)
        for side in ("left", "right")
        for joint in (f"{side}_driver_joint", f"{side}_finger_joint", f"{side}_inner_knuckle_joint")
    ),
)
