"""The xArm7 reach scene: an arm on a table, seen from the side.

The world frame is the robot's base frame: x forward, z up, the foot of ``link_base`` at the origin on the table top.
With the tool at home at (0.400, 0, 0.228) m, goals lie within ±0.15 m of it: x 0.250…0.550, y ±0.150, z 0.078…0.378 m.
The camera ``side`` stands at y = -1.35 m and sees the whole arm with the tool anywhere in that box.
"""

import mujoco

from s2rctl.robots.xarm7.kinematics import JOINTS
from s2rctl.robots.xarm7.specification import HOME
from s2rctl.scene import pieces, sensors


def build_reach(timestep: float = 0.005) -> mujoco.MjModel:
    """Return the xArm7 with its gripper fixed half open, jaws down at home. qpos and ctrl: joint1 … joint7."""
    spec = pieces.load("xarm7/reach.xml")
    pieces.set_options(spec, timestep)
    sensors.add_joints(spec, "joint", "", JOINTS)
    for name, kind in (
        ("tcp_pos", mujoco.mjtSensor.mjSENS_FRAMEPOS),
        ("tcp_quat", mujoco.mjtSensor.mjSENS_FRAMEQUAT),
        ("tcp_linvel", mujoco.mjtSensor.mjSENS_FRAMELINVEL),
    ):
        sensors.add_frame(spec, name, kind, site="tcp", reference_body="link_base")
    spec.add_key(name="home", qpos=HOME, ctrl=HOME)
    return spec.compile()
