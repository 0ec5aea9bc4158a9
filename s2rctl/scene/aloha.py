"""The two ALOHA scenes: one arm with a block to pick, two arms with a peg and a socket.

World frame: midway between the arms on the table, x from the left to the right arm, z up. Each arm's own frame is its
``base_link``: x points over the table to the other arm.
"""

from collections.abc import Sequence

import mujoco

from s2rctl.robots.aloha.kinematics import ARM_JOINTS, BASES
from s2rctl.robots.aloha.specification import ARM_HOME, FINGER_HOME
from s2rctl.scene import pieces, props, sensors

_HAND_BODIES = ("base_link", "gripper_base", "left_finger_link", "right_finger_link")


def build_pick(timestep: float = 0.005, movable: bool = False) -> mujoco.MjModel:
    """Return the left arm and a block. qpos: 8 joints, block position and quaternion (7); ctrl: 7.

    ``movable``: see ``pieces.make_movable``.
    """
    spec = pieces.load("aloha/arena.xml")
    pieces.set_options(spec, timestep)
    _attach_arm(spec, "left")
    props.add_box(spec, -0.14, -0.019)
    sensors.add_arm(spec, "left", ARM_JOINTS)
    sensors.add_object(spec, "box", "left")
    sensors.add_frame(
        spec,
        "box_far_end_pos",
        mujoco.mjtSensor.mjSENS_FRAMEPOS,
        site="box_far_end",
        reference_body="left/base_link",
    )
    return _compile(spec, arms=1, objects=("box",), movable=movable)


def build_insertion(timestep: float = 0.005, movable: bool = False) -> mujoco.MjModel:
    """Return both arms, socket and peg. qpos: left 8, right 8, socket 7, peg 7; ctrl: left 7, right 7.

    ``movable``: see ``pieces.make_movable``.
    """
    spec = pieces.load("aloha/arena.xml")
    pieces.set_options(spec, timestep)
    for arm in ("left", "right"):
        _attach_arm(spec, arm)
    props.add_socket(spec, -0.14, -0.019)
    props.add_peg(spec, 0.14, -0.019)
    for item, other in (("socket", "right"), ("peg", "left")):
        for body in _HAND_BODIES:
            spec.add_exclude(bodyname1=item, bodyname2=f"{other}/{body}")
    for arm, item in (("left", "socket"), ("right", "peg")):
        sensors.add_arm(spec, arm, ARM_JOINTS)
        sensors.add_object(spec, item, arm)
    sensors.add_frame(
        spec,
        "peg_end_in_socket",
        mujoco.mjtSensor.mjSENS_FRAMEPOS,
        site="peg_end1",
        reference_site="socket_end",
    )
    return _compile(spec, arms=2, objects=("socket", "peg"), movable=movable)


def _attach_arm(spec: mujoco.MjSpec, arm: str) -> None:
    """Attach one ViperX with the prefix ``left/`` or ``right/`` at its place on the table."""
    prefix = f"{arm}/"
    position, quaternion = BASES[prefix]
    frame = spec.worldbody.add_frame(pos=position, quat=quaternion)
    spec.attach(pieces.load("aloha/arm.xml"), prefix=prefix, frame=frame)
    spec.camera(f"{prefix}wrist_cam").name = f"wrist_cam_{arm}"


def _compile(spec: mujoco.MjSpec, arms: int, objects: Sequence[str], movable: bool) -> mujoco.MjModel:
    """Compile with the keyframe ``home``: arms at home, objects where they were added."""
    qpos = [*ARM_HOME, FINGER_HOME, FINGER_HOME] * arms
    for name in objects:
        body = spec.body(name)
        qpos += [*body.pos, *body.quat]
    spec.add_key(name="home", qpos=qpos, ctrl=[*ARM_HOME, FINGER_HOME] * arms)
    if movable:
        pieces.make_movable(spec)
    return spec.compile()
