"""A robot that takes a tool position and a gripper: three rails that its own controller moves, and two fingers."""

import mujoco

from s2rctl.core.kinematics import Kinematics, Link, Point
from s2rctl.robots.command import Entry, tool_entries
from s2rctl.robots.protocol import RobotSpecification

JOINTS = ("rail_x", "rail_y", "rail_z", "left_finger", "right_finger")
LOW, HIGH = (-0.5, -0.5, -0.2, 0.0, 0.0), (0.5, 0.5, 0.2, 0.04, 0.04)
GRIPPER = Entry("gripper", "gripper", "m", low=0.002, high=0.037, rate=0.1, joint=3)

SPECIFICATION = RobotSpecification(
    name="gantry",
    joints=JOINTS,
    joint_low=LOW,
    joint_high=HIGH,
    joint_speed=(2.0, 2.0, 2.0, 0.1, 0.1),
    targets=("rail_x", "rail_y", "rail_z", "gripper"),
    target_joint=(0, 1, 2, 3),
    target_low=(-0.5, -0.5, -0.2, 0.002),
    target_high=(0.5, 0.5, 0.2, 0.037),
    home=(0.1, 0.0, 0.05, 0.03),
    arms=("",),
    tools=("grip",),
    kinematics=Kinematics(
        links=(
            Link("bridge", "", (0.0, 0.0, 0.5), joint="rail_x", axis=(1.0, 0.0, 0.0), slide=True),
            Link("cart", "bridge", joint="rail_y", axis=(0.0, 1.0, 0.0), slide=True),
            Link("hand", "cart", joint="rail_z", axis=(0.0, 0.0, 1.0), slide=True),
            Link("left_tip", "hand", (0.0, 0.0, -0.1), joint="left_finger", axis=(0.0, 1.0, 0.0), slide=True),
            Link("right_tip", "hand", (0.0, 0.0, -0.1), joint="right_finger", axis=(0.0, -1.0, 0.0), slide=True),
        ),
        joints=JOINTS,
        points={"grip": Point("hand", (0.0, 0.0, -0.1))},
    ),
    base_body="bridge",
    hand_body="hand",
    tool_axis=(0.0, 0.0, -1.0),
    command=(*tool_entries(), GRIPPER),
    mimic={4: 3},
)


def _actuator(name: str, joint: str, gain: float) -> str:
    return f'<position name="{name}" joint="{joint}" kp="{gain}" dampratio="1" ctrllimited="false"/>'


MJCF = f"""
<mujoco>
  <option timestep="0.005" integrator="implicitfast" gravity="0 0 0"/>
  <default><geom size="0.02" mass="0.2" contype="0" conaffinity="0"/><joint type="slide"/></default>
  <worldbody>
    <body name="bridge" pos="0 0 0.5"><joint name="rail_x" axis="1 0 0"/><geom/>
      <body name="cart"><joint name="rail_y" axis="0 1 0"/><geom/>
        <body name="hand"><joint name="rail_z" axis="0 0 1"/><geom/>
          <body name="left_tip" pos="0 0 -0.1"><joint name="left_finger" axis="0 1 0"/><geom/></body>
          <body name="right_tip" pos="0 0 -0.1"><joint name="right_finger" axis="0 -1 0"/><geom/></body>
        </body>
      </body>
    </body>
  </worldbody>
  <equality><joint joint1="right_finger" joint2="left_finger"/></equality>
  <actuator>
    {_actuator("rail_x", "rail_x", 2000)}
    {_actuator("rail_y", "rail_y", 2000)}
    {_actuator("rail_z", "rail_z", 2000)}
    {_actuator("gripper", "left_finger", 500)}
  </actuator>
</mujoco>
"""


def build() -> mujoco.MjModel:
    """The scene."""
    return mujoco.MjModel.from_xml_string(MJCF)
