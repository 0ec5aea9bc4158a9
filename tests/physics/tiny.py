"""A tiny contact scene: a slider pushes a box on a plane, a pendulum hangs beside."""

import mujoco

MJCF = """
<mujoco>
  <option timestep="0.005" jacobian="dense" integrator="implicitfast" iterations="20" ls_iterations="20"/>
  <worldbody>
    <light pos="0 0 2" dir="0 0 -1"/>
    <camera name="eye" pos="0 -1 0.5" xyaxes="1 0 0 0 0.4 1"/>
    <geom name="floor" type="plane" size="1 1 0.1" rgba="0.5 0.5 0.5 1"/>
    <body name="cart" pos="-0.2 0 0.05">
      <joint name="slide" type="slide" axis="1 0 0" damping="8" range="-0.5 0.5"/>
      <geom name="pusher" type="sphere" size="0.03" mass="0.5" rgba="0.1 0.2 0.9 1" contype="2" conaffinity="2"/>
    </body>
    <body name="pendulum" pos="0 0.4 0.6">
      <joint name="hinge" type="hinge" axis="1 0 0" damping="0.01"/>
      <geom name="rod" type="capsule" size="0.01" fromto="0 0 0 0 0 -0.2" mass="0.1" contype="0" conaffinity="0"/>
    </body>
    <body name="box" pos="0 0 0.0399">
      <freejoint/>
      <geom name="box" type="box" size="0.04 0.04 0.04" mass="0.2" rgba="0.9 0.1 0.1 1" contype="3" conaffinity="3"/>
    </body>
  </worldbody>
  <actuator><position name="push" joint="slide" kp="20" ctrlrange="-0.5 0.5"/></actuator>
  <sensor>
    <jointpos name="cart_pos" joint="slide"/>
    <jointvel name="cart_vel" joint="slide"/>
    <framepos name="box_pos" objtype="body" objname="box"/>
    <contact name="touch" geom1="pusher" geom2="box" num="1" data="found force" reduce="maxforce"/>
  </sensor>
</mujoco>
"""


def build(timestep: float = 0.005) -> mujoco.MjModel:
    model = mujoco.MjModel.from_xml_string(MJCF)
    model.opt.timestep = timestep
    return model
