"""Puts a scene's cameras where calibrations have found them."""

from typing import Any

import mujoco
import numpy as np

from s2rctl.core.errors import ProfileError
from s2rctl.core.spatial import inverse, to_matrix, transform
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.simulation import CameraMount, Vision

FLIP = np.diag([1.0, -1.0, -1.0])
"""Turns OpenCV's camera axes (x right, y down, z forward) into MuJoCo's (y up, z backward) and back."""


def place_cameras(model: Any, vision: Vision) -> None:
    """Move the policy cameras that have a mount; ProfileError for a mount on a body that the scene does not have.

    Only the place is taken from a calibration. The policy's camera stays the pinhole of the scene that looks along the
    middle of its image: the robot side cuts that window out of the real picture around the real principal point.
    """
    for camera in vision.cameras:
        if camera.mount is not None:
            number = model.camera(camera.name).id
            set_pose(model, number, in_body(model, number, camera.mount))


def in_body(model: Any, camera: int, mount: CameraMount) -> np.ndarray:
    """Return a mount's pose (4, 4; OpenCV axes) in the body that carries the scene's camera."""
    bodies = {model.body(number).name: number for number in range(model.nbody)}
    if mount.parent not in bodies:
        raise ProfileError(
            f"a camera is mounted on '{mount.parent}', which the scene does not have", "calibrate with this profile"
        )
    data = mujoco.MjData(model)
    if model.nkey:
        data.qpos[:] = model.key_qpos[0]
    mujoco.mj_kinematics(model, data)

    def world(body: int) -> np.ndarray:
        return transform(data.xpos[body].copy(), data.xmat[body].reshape(3, 3).copy())

    pose = transform(mount.position_m, to_matrix(mount.quaternion) @ FLIP)
    return inverse(world(int(model.cam_bodyid[camera]))) @ world(bodies[mount.parent]) @ pose


def set_pose(model: Any, camera: int, pose: np.ndarray) -> None:
    """Give a camera a pose (4, 4; in its body, OpenCV axes), and no other body to follow."""
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(pose[:3, :3] @ FLIP).ravel())
    model.cam_pos[camera], model.cam_quat[camera] = pose[:3, 3], quaternion
    model.cam_mode[camera] = mujoco.mjtCamLight.mjCAMLIGHT_FIXED


def set_optics(model: Any, camera: int, lens: Intrinsics) -> None:
    """Give a camera exact focal lengths and principal point; MuJoCo draws no lens distortion.

    MuJoCo's ``principalpixel`` is the offset of the image centre from the principal point, right and up.
    """
    model.cam_fovy[camera] = np.rad2deg(2 * np.arctan(lens.height / 2 / lens.fy))
    model.cam_resolution[camera] = lens.width, lens.height
    # As wide for its height as the picture: MuJoCo Warp cuts any other sensor to that shape.
    model.cam_sensorsize[camera] = lens.width / lens.height, 1.0
    model.cam_intrinsic[camera] = (
        lens.fx / lens.height,
        lens.fy / lens.height,
        (lens.width / 2 - (lens.cx + 0.5)) / lens.height,
        (lens.height / 2 - (lens.cy + 0.5)) / lens.height,
    )
