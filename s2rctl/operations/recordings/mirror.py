"""The simulated mirror of a recording: the robot's scene, posed by recorded joints, without the objects."""

import mujoco
import numpy as np

from s2rctl.control.recording import Recording
from s2rctl.core.errors import ArtifactError
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.systems import system_of_robot

TIMESTEP_S = 0.005
_OTHER = "choose a recording of deploy with one of the robots " + ", ".join(ROBOTS.rows)


class Mirror:
    """A robot's scene whose free bodies can neither be seen nor touched."""

    def __init__(self, robot: str) -> None:
        self.specification = ROBOTS.load(robot)
        self.model: mujoco.MjModel = SCENES.load(system_of_robot(robot).scene)(TIMESTEP_S)
        model = self.model
        free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
        hidden = np.isin(model.geom_bodyid, model.jnt_bodyid[free])
        model.geom_contype[hidden] = model.geom_conaffinity[hidden] = 0
        model.vis.quality.shadowsize, model.vis.quality.offsamples = 1024, 0  # small pictures, often without a GPU
        self.rgba = model.geom_rgba.copy()
        self.rgba[hidden, 3] = 0.0
        self._address = np.array([int(model.joint(name).qposadr[0]) for name in self.specification.joints])
        self._ctrl = np.array([model.actuator(name).id for name in self.specification.targets])
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
        self._home, self._home_ctrl = data.qpos.copy(), data.ctrl.copy()

    def qpos(self, joint_pos: np.ndarray) -> np.ndarray:
        """Return the model's positions (nq,) for recorded joints (n,); joints that were not finite stay at home."""
        qpos = self._home.copy()
        qpos[self._address] = np.where(np.isfinite(joint_pos), joint_pos, self._home[self._address])
        return qpos

    def ctrl(self, joint_pos: np.ndarray) -> np.ndarray:
        """Return actuator targets (nu,) that hold recorded joints (n,)."""
        ctrl = self._home_ctrl.copy()
        spec = self.specification
        ctrl[self._ctrl] = np.clip(joint_pos[list(spec.target_joint)], spec.target_low, spec.target_high)
        return ctrl


def robot_of(recording: Recording) -> str:
    """Return the recorded robot; older recordings do not name it, but only one robot has as many joints."""
    name = recording.header.get("robot")
    joints = len((recording.steps[0].get("joint_pos") or ()) if recording.steps else ())
    fitting = [row for row, robot in ROBOTS.usable() if len(robot.joints) == joints]
    if name is not None and name not in ROBOTS.names():
        raise ArtifactError("the recording is from a robot unknown to s2rctl", _OTHER)
    if name is not None and joints and name not in fitting:
        raise ArtifactError(f"the recording claims to be from '{name}', but has {joints} joints", _OTHER)
    if name is None and len(fitting) != 1:
        raise ArtifactError(f"the recording does not say which robot it is from ({joints} joints)", _OTHER)
    return name or fitting[0]


def rate_of(recording: Recording) -> float:
    """Return the recorded control rate in Hz; ArtifactError for one that is none.

    Older recordings do not name it; the times of their steps do.
    """
    text = recording.header.get("rate_hz")
    try:
        rate = float(text) if text is not None else round(1.0 / float(np.median(np.diff(recording.column("t")))), 1)
    except (ValueError, ZeroDivisionError):
        rate = 0.0
    if not 0.0 < rate < 1e6:
        raise ArtifactError("the recording has an invalid control rate", "omit this recording")
    return rate
