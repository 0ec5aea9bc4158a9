"""A tiny scene in which every axis of dynamics has something to change: an arm of two links with fingers, two objects.

The block slides and spins over the floor into the ball, which it could be put into as far as contacts are concerned,
and pushes a paddle aside. The fingers close against springs.
"""

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np

from s2rctl.tasks.protocol import Task
from tests.env import toy

MJCF = """
<mujoco>
  <option timestep="0.005" jacobian="dense" integrator="implicitfast" iterations="20" ls_iterations="20"/>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 0.1" contype="1" conaffinity="1"/>
    <body name="base" pos="0 0.5 0.6" gravcomp="1">
      <geom type="sphere" size="0.02" mass="1" contype="0" conaffinity="0"/>
      <body name="upper" pos="0 0 0.05">
        <joint name="shoulder" type="hinge" axis="0 1 0" damping="0.5" armature="0.01" frictionloss="0.1"/>
        <geom type="capsule" size="0.01" fromto="0 0 0 0.2 0 0" mass="0.3" contype="0" conaffinity="0"/>
        <body name="lower" pos="0.2 0 0">
          <joint name="elbow" type="hinge" axis="0 1 0" pos="0 0 0.01" damping="0.5" armature="0.01"/>
          <geom type="capsule" size="0.01" fromto="0 0 0 0.2 0 0" mass="0.2" contype="0" conaffinity="0"/>
          <site name="tool" pos="0.2 0 0"/>
          <body name="left" pos="0.2 0.01 0">
            <joint name="left" type="slide" axis="0 1 0" damping="2" armature="0.05" stiffness="5"/>
            <geom type="sphere" size="0.005" mass="0.02" contype="0" conaffinity="0"/>
          </body>
          <body name="right" pos="0.2 -0.01 0">
            <joint name="right" type="slide" axis="0 -1 0" damping="2" armature="0.05" stiffness="5"/>
            <geom type="sphere" size="0.005" mass="0.02" contype="0" conaffinity="0"/>
          </body>
        </body>
      </body>
    </body>
    <body name="block" pos="0 0 0.0199" simple="false">
      <freejoint/>
      <geom name="block" type="box" size="0.04 0.02 0.02" mass="0.2" contype="2" conaffinity="1" condim="4"
        friction="0.5 0.02 0.001"/>
      <geom name="mark" type="sphere" size="0.005" pos="0.03 0 0.02" mass="0" contype="0" conaffinity="0"/>
      <site name="grip" pos="0.02 0 0"/>
    </body>
    <body name="ball" pos="0.0595 0 0.0199" simple="false">
      <freejoint/>
      <geom name="ball" type="sphere" size="0.02" mass="0.05" contype="0" conaffinity="3" condim="4"/>
    </body>
    <body name="paddle" pos="0 -0.0395 0.02">
      <joint name="paddle" type="slide" axis="0 1 0" damping="1"/>
      <geom type="sphere" size="0.02" mass="0.05" contype="0" conaffinity="2"/>
    </body>
  </worldbody>
  <equality><joint joint1="left" joint2="right" polycoef="0 1 0 0 0"/></equality>
  <actuator>
    <position name="shoulder" joint="shoulder" kp="30"/>
    <position name="elbow" joint="elbow" kp="20"/>
    <position name="gripper" joint="left" kp="20"/>
  </actuator>
</mujoco>
"""
CTRL = (0.2, -0.2, 0.01)


def build() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(MJCF)


def task() -> Task:
    """Only what tells the fingers apart is of use here."""
    return replace(toy.make(), action_size=3, gripper_actions=(2,))


def start(model: mujoco.MjModel, worlds: int) -> tuple[Any, Any, Any]:
    """Return coordinates, speeds and targets of so many equal worlds: the block slides and spins."""
    qvel = np.zeros((worlds, model.nv), np.float32)
    block = int(model.jnt_dofadr[model.body("block").jntadr[0]])
    qvel[:, block] = 0.5
    qvel[:, block + 3 : block + 6] = (0.0, 0.5, 3.0)
    qpos = np.tile(model.qpos0, (worlds, 1)).astype(np.float32)
    return qpos, qvel, np.tile(np.array(CTRL, np.float32), (worlds, 1))
