"""A small scene with every shape, two kinds of light and two cameras, one of them with its own intrinsics."""

import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.scene.poses import Poses

MJCF = """
<mujoco>
  <visual>
    <headlight ambient="0.2 0.2 0.2" diffuse="0.1 0.1 0.1" specular="0 0 0"/>
    <map znear="0.01" zfar="12"/>
    <global offwidth="640" offheight="480"/>
  </visual>
  <statistic extent="1" center="0 0 0"/>
  <asset><material name="green" rgba="0.1 0.6 0.2 1" specular="0"/></asset>
  <worldbody>
    <light type="spot" pos="0.5 -0.5 2" dir="-0.2 0.2 -1" cutoff="90" exponent="0" diffuse="0.5 0.5 0.4"
      specular="0 0 0"/>
    <light type="directional" pos="0 0 2" dir="0.3 0.4 -1" diffuse="0.2 0.2 0.3" specular="0 0 0" castshadow="false"/>
    <geom name="floor" type="plane" size="1.2 1.2 1" rgba="0.6 0.6 0.5 1"/>
    <geom name="tile" type="plane" size="0.1 0.15 1" pos="-0.3 -0.2 0.02" euler="0 0 30" rgba="0.7 0.3 0.6 1"/>
    <geom name="hidden" type="box" size="0.4 0.4 0.4" pos="0 0 0.2" rgba="1 0 1 0"/>
    <geom name="collision" type="box" size="0.4 0.4 0.4" pos="0 0 0.2" rgba="1 0 1 1" group="3"/>
    <body name="a" pos="0 0 0.2">
      <freejoint/>
      <geom name="box" type="box" size="0.08 0.05 0.03" rgba="0.8 0.2 0.1 1"/>
      <geom name="capsule" type="capsule" size="0.03 0.1" pos="0.2 0 0" euler="50 20 0" material="green"/>
      <geom name="cylinder" type="cylinder" size="0.05 0.06" pos="-0.2 0.05 0" euler="70 10 0" rgba="0.2 0.3 0.9 1"/>
      <geom name="sphere" type="sphere" size="0.06" pos="0 0.2 0.02" rgba="0.9 0.9 0.2 1"/>
      <geom name="ellipsoid" type="ellipsoid" size="0.1 0.04 0.06" pos="0.05 -0.2 0" euler="0 20 40"
        rgba="0.2 0.8 0.8 1"/>
    </body>
    <camera name="above" pos="0.1 -0.7 0.8" xyaxes="1 0 0 0 0.75 0.65" fovy="50"/>
    <camera name="pinhole" pos="-0.6 0.1 0.5" xyaxes="0 -1 0 0.45 0 0.9" resolution="64 48" sensorsize="0.0064 0.0048"
      focalpixel="60 50" principalpixel="6 -4"/>
  </worldbody>
</mujoco>
"""
CAMERAS = ("above", "pinhole")


def small_model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(MJCF)


def poses_of(model: mujoco.MjModel, worlds: int, seed: int = 0) -> Poses:
    """Poses of ``worlds`` worlds; the first is the model's reference, the others have a turned and moved body."""
    rng = np.random.default_rng(seed)
    data = mujoco.MjData(model)
    rows = []
    for world in range(worlds):
        mujoco.mj_resetData(model, data)
        if world:
            data.qpos[:3] += rng.uniform(-0.05, 0.05, 3)
            data.qpos[3:7] = rng.normal(size=4)
        mujoco.mj_forward(model, data)
        axes = data.geom_xmat.reshape(-1, 3, 3), data.cam_xmat.reshape(-1, 3, 3)
        rows.append([leaf.copy() for leaf in (data.geom_xpos, axes[0], data.cam_xpos, axes[1])])
    return Poses(*(jnp.asarray(np.stack(column), jnp.float32) for column in zip(*rows, strict=True)))
