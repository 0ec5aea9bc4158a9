"""The robot: two links in a plane above a table, and a camera that looks down on it."""

import mujoco

from s2rctl.core.kinematics import Kinematics, Link, Point
from s2rctl.robots.command import joint_entries
from s2rctl.robots.protocol import RobotSpecification

LENGTH = 0.2  # m, of either link
JOINTS = ("shoulder", "elbow")

MJCF = f"""
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.005" integrator="implicitfast" jacobian="dense" gravity="0 0 0"/>
  <worldbody>
    <light name="lamp" pos="0 0 2" dir="0 0 -1"/>
    <camera name="eye" pos="0.1 0 0.9" fovy="50"/>
    <geom name="table" type="plane" size="1 1 0.1" rgba="0.3 0.3 0.3 1"/>
    <body name="base" pos="0 0 0.05">
      <geom type="cylinder" size="0.03 0.03" rgba="0.2 0.2 0.8 1" contype="0" conaffinity="0"/>
      <body name="upper" pos="0 0 0.04">
        <joint name="shoulder" axis="0 0 1" range="-2.5 2.5" damping="0.5"/>
        <geom type="capsule" fromto="0 0 0 {LENGTH} 0 0" size="0.015" mass="0.3" contype="0" conaffinity="0"/>
        <body name="fore" pos="{LENGTH} 0 0">
          <joint name="elbow" axis="0 0 1" range="-2.5 2.5" damping="0.5"/>
          <geom type="capsule" fromto="0 0 0 {LENGTH} 0 0" size="0.015" mass="0.2" contype="0" conaffinity="0"/>
          <site name="tip" pos="{LENGTH} 0 0"/>
        </body>
      </body>
    </body>
    <body name="ball" pos="0 0 0.09">
      <joint name="ball_x" type="slide" axis="1 0 0" damping="50"/>
      <joint name="ball_y" type="slide" axis="0 1 0" damping="50"/>
      <geom name="ball" type="sphere" size="0.03" mass="1" rgba="0.9 0.1 0.1 1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <position name="shoulder" joint="shoulder" kp="20" ctrlrange="-2.5 2.5"/>
    <position name="elbow" joint="elbow" kp="20" ctrlrange="-2.5 2.5"/>
  </actuator>
  <sensor>
    <jointpos name="joint_pos/shoulder" joint="shoulder"/>
    <jointpos name="joint_pos/elbow" joint="elbow"/>
    <framepos name="tip_pos" objtype="site" objname="tip"/>
    <framepos name="ball_pos" objtype="body" objname="ball"/>
  </sensor>
  <keyframe><key name="home" qpos="0.5 -1 0.3 0" ctrl="0.5 -1"/></keyframe>
</mujoco>
"""

SPECIFICATION = RobotSpecification(
    name="reacher",
    joints=JOINTS,
    joint_low=(-2.5, -2.5),
    joint_high=(2.5, 2.5),
    joint_speed=(3.0, 3.0),
    targets=JOINTS,
    target_joint=(0, 1),
    target_low=(-2.5, -2.5),
    target_high=(2.5, 2.5),
    home=(0.5, -1.0),
    arms=("",),
    tools=("tip",),
    kinematics=Kinematics(
        links=(
            Link("base", "", (0.0, 0.0, 0.05)),
            Link("upper", "base", (0.0, 0.0, 0.04), joint="shoulder"),
            Link("fore", "upper", (LENGTH, 0.0, 0.0), joint="elbow"),
        ),
        joints=JOINTS,
        points={"tip": Point("fore", (LENGTH, 0.0, 0.0))},
    ),
    base_body="base",
    hand_body="fore",
    tool_axis=(1.0, 0.0, 0.0),
    command=joint_entries(JOINTS, (0, 1), (-2.5, -2.5), (2.5, 2.5), (3.0, 3.0)),
)


def build(timestep: float) -> mujoco.MjModel:
    """The scene."""
    model = mujoco.MjModel.from_xml_string(MJCF)
    model.opt.timestep = timestep
    return model
