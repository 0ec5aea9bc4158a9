"""Helpers of the scene tests: worlds at home, settled worlds, poses of the gripper."""

import mujoco
import numpy as np

from s2rctl.robots.aloha.specification import SPECIFICATION


def at_home(model: mujoco.MjModel) -> mujoco.MjData:
    """Return the world of the keyframe home with everything computed."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    return data


def run(model: mujoco.MjModel, data: mujoco.MjData, seconds: float) -> None:
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_step(model, data)


def left_arm_at(position: np.ndarray, rotation: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return all Aloha joint positions (16,) that bring the left gripper site to a pose, m."""
    found, reached = SPECIFICATION.kinematics.solve(
        "left/gripper",
        position,
        rotation,
        start,
        np.array(SPECIFICATION.joint_low),
        np.array(SPECIFICATION.joint_high),
        300,
    )
    assert reached
    return found


def inside(model: mujoco.MjModel, data: mujoco.MjData, geom: int, point: np.ndarray) -> bool:
    """Return whether a world point is inside a geom that is drawn."""
    local = data.geom_xmat[geom].reshape(3, 3).T @ (point - data.geom_xpos[geom])
    size = model.geom_size[geom]
    kind = mujoco.mjtGeom(model.geom_type[geom])
    if kind == mujoco.mjtGeom.mjGEOM_PLANE:
        return bool(local[2] < 0)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return bool((np.abs(local) < size).all())
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return bool(np.sum((local / size) ** 2) < 1)
    radius = np.hypot(local[0], local[1])
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return bool(radius < size[0] and abs(local[2]) < size[1])
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        beyond = max(abs(local[2]) - size[1], 0.0)
        return bool(np.hypot(radius, beyond) < size[0])
    raise AssertionError(f"geom {geom} is a {kind.name}, which the ray caster does not know")
