"""Two ViperX-300 arms: names, limits, home pose.

Figures: MuJoCo Playground PR 76 (Apache-2.0), after MuJoCo Menagerie's ALOHA 2 (BSD-3-Clause); a test compares them
with the model in assets/aloha. Joint speeds: the no-load speed of the servos at 12 V in their data sheets (XM540-W270
30 rpm, XM430-W350 46 rpm), of which the safety filter allows less.
"""

import math

from s2rctl.robots.aloha.kinematics import ARM_JOINTS, BASES, GRIP, JOINTS, KINEMATICS
from s2rctl.robots.command import joint_entries
from s2rctl.robots.protocol import RobotSpecification

ARM_HOME = (0.25, -0.4, 1.5, 0.0, -0.73, 0.0)
"""Joint positions at home, rad."""
FINGER_HOME = 0.037
"""Finger travel at home, m: open."""

_ARM_TARGETS = (*ARM_JOINTS[:6], "gripper")
_LIMITS = {
    "waist": (-3.14158, 3.14158),
    "shoulder": (-1.85005, 1.25664),
    "elbow": (-1.76278, 1.6057),
    "forearm_roll": (-3.14158, 3.14158),
    "wrist_angle": (-1.8675, 2.23402),
    "wrist_rotate": (-3.14158, 3.14158),
    "left_finger": (0.0, 0.041),
    "right_finger": (0.0, 0.041),
}
_GRIPPER_TARGETS = (0.002, 0.037)
_RPM = 2.0 * math.pi / 60.0
# XM540-W270 up to the wrist's pitch, XM430-W350 for its roll. Finger targets (m/s) may cross the whole travel in two
# control steps, as the policy's action does: the servo itself is the limit there.
_SPEED = {
    "waist": 30 * _RPM,
    "shoulder": 30 * _RPM,
    "elbow": 30 * _RPM,
    "forearm_roll": 30 * _RPM,
    "wrist_angle": 30 * _RPM,
    "wrist_rotate": 46 * _RPM,
    "left_finger": 0.5,
    "right_finger": 0.5,
}
_PER_ARM = len(ARM_JOINTS)
_ARMS = tuple(BASES)
_TARGET_JOINT = tuple(arm * _PER_ARM + joint for arm in range(len(_ARMS)) for joint in range(7))
_TARGET_LIMITS = (*(_LIMITS[joint] for joint in ARM_JOINTS[:6]), _GRIPPER_TARGETS)
_TARGETS = tuple(f"{arm}{target}" for arm in _ARMS for target in _ARM_TARGETS)
_TARGET_LOW = tuple(low for _ in _ARMS for low, _ in _TARGET_LIMITS)
_TARGET_HIGH = tuple(high for _ in _ARMS for _, high in _TARGET_LIMITS)
_JOINT_SPEED = tuple(_SPEED[joint] for _ in _ARMS for joint in ARM_JOINTS)

SPECIFICATION = RobotSpecification(
    name="aloha",
    joints=JOINTS,
    joint_low=tuple(_LIMITS[joint][0] for _ in _ARMS for joint in ARM_JOINTS),
    joint_high=tuple(_LIMITS[joint][1] for _ in _ARMS for joint in ARM_JOINTS),
    joint_speed=_JOINT_SPEED,
    targets=_TARGETS,
    target_joint=_TARGET_JOINT,
    target_low=_TARGET_LOW,
    target_high=_TARGET_HIGH,
    home=(*ARM_HOME, FINGER_HOME) * len(_ARMS),
    arms=_ARMS,
    tools=tuple(f"{arm}gripper" for arm in _ARMS),
    kinematics=KINEMATICS,
    base_body="base_link",
    hand_body="gripper_link",
    tool_axis=(1.0, 0.0, 0.0),
    grip=GRIP,
    command=joint_entries(
        _TARGETS,
        _TARGET_JOINT,
        _TARGET_LOW,
        _TARGET_HIGH,
        _JOINT_SPEED,
        grippers=tuple(f"{arm}gripper" for arm in _ARMS),
    ),
    mimic={arm * _PER_ARM + 7: arm * _PER_ARM + 6 for arm in range(len(_ARMS))},
)
