"""Published meshes of the ViperX-300 with ALOHA 2's gripper. Frames: MuJoCo Menagerie's ``aloha`` (BSD-3-Clause)."""

import math

from s2rctl.robots.meshes import Part, RobotMeshes

_BLACK = (0.15, 0.15, 0.15)
_CAMERA = (0.62, 0.63, 0.65)
_QUARTER = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
_ARM = "assets/robots/aloha/meshes"
_HAND = "assets/grippers/meshes/aloha_gripper"
_MILLIMETRES = 1e-3

MESHES = RobotMeshes(
    package="robosuite-models==1.0.0",
    module="robosuite_models",
    parts=(
        (_ARM, Part("base_link", "vx300s_1_base.stl", _BLACK, quaternion=_QUARTER, scale=_MILLIMETRES)),
        (
            _ARM,
            Part("shoulder_link", "vx300s_2_shoulder.stl", _BLACK, (0.0, 0.0, -0.003), _QUARTER, _MILLIMETRES),
        ),
        (_ARM, Part("upper_arm_link", "vx300s_3_upper_arm.stl", _BLACK, quaternion=_QUARTER, scale=_MILLIMETRES)),
        (_ARM, Part("upper_forearm_link", "vx300s_4_upper_forearm.stl", _BLACK, scale=_MILLIMETRES)),
        (
            _ARM,
            Part(
                "lower_forearm_link",
                "vx300s_5_lower_forearm.stl",
                _BLACK,
                quaternion=(0.0, 1.0, 0.0, 0.0),
                scale=_MILLIMETRES,
            ),
        ),
        (_ARM, Part("wrist_link", "vx300s_6_wrist.stl", _BLACK, quaternion=_QUARTER, scale=_MILLIMETRES)),
        (_HAND, Part("gripper_base", "vx300s_7_gripper_prop.stl", _BLACK)),
        (_HAND, Part("gripper_base", "vx300s_7_gripper_bar.stl", _BLACK)),
        (
            _HAND,
            Part(
                "gripper_base",
                "vx300s_7_gripper_wrist_mount.stl",
                _BLACK,
                (0.0, -0.03525, -0.0227),
                (0.0, -math.sqrt(0.5), 0.0, -math.sqrt(0.5)),
            ),
        ),
        (
            _HAND,
            Part(
                "gripper_base",
                "d405_solid.stl",
                _CAMERA,
                (0.0, -0.0824748, -0.0095955),
                (0.0, 0.0, -0.21644, -0.976296),
            ),
        ),
        (
            _HAND,
            Part(
                "left_finger_link",
                "vx300s_8_custom_finger_left.stl",
                _BLACK,
                (0.0141637, 0.0211727, 0.06),
                (0.5, 0.5, 0.5, -0.5),
            ),
        ),
        (
            _HAND,
            Part(
                "right_finger_link",
                "vx300s_8_custom_finger_right.stl",
                _BLACK,
                (0.0141637, -0.0211727, 0.0597067),
                (0.5, -0.5, -0.5, -0.5),
            ),
        ),
    ),
    menagerie="aloha",
    model="aloha",
    prefixes=("left/", "right/"),
)
