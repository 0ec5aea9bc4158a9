"""Which elements of a model are objects, arms and fingers: what axes of dynamics change, by the model's structure.

Objects are the trees that a free joint begins, arms are what other joints move, fingers are what the task calls gripper
actions.
"""

from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np

from s2rctl.tasks.protocol import Task

_BOX = int(mujoco.mjtGeom.mjGEOM_BOX)
_FREE, _HINGE = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_HINGE)
_JOINT, _JOINT_EQUALITY = int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtEq.mjEQ_JOINT)
_AFFINE = int(mujoco.mjtBias.mjBIAS_AFFINE)


@dataclass(frozen=True)
class Anatomy:
    """Which elements of a model are objects, arms and fingers."""

    model: mujoco.MjModel
    task: Task

    @cached_property
    def objects(self) -> np.ndarray:
        """Bodies of handled objects."""
        return self._bodies(loose=True)

    @cached_property
    def arms(self) -> np.ndarray:
        """Bodies that joints move and that are no objects."""
        return self._bodies(loose=False)

    @cached_property
    def geoms(self) -> np.ndarray:
        """Geoms of handled objects."""
        return np.flatnonzero(np.isin(self.model.geom_bodyid, self.objects))

    @cached_property
    def touching(self) -> np.ndarray:
        """Geoms that can collide."""
        return np.flatnonzero((self.model.geom_contype | self.model.geom_conaffinity) != 0)

    @cached_property
    def turning(self) -> np.ndarray:
        """Geoms whose contacts resist turning about their normal."""
        return self.touching[self.model.geom_condim[self.touching] >= 4]

    @cached_property
    def inserts(self) -> np.ndarray:
        """Boxes of objects that collide with geoms of another object, so they are what fits into it."""
        m, found = self.model, []
        for geom in self.geoms[self.model.geom_type[self.geoms] == _BOX]:
            others = self.geoms[m.body_rootid[m.geom_bodyid[self.geoms]] != m.body_rootid[m.geom_bodyid[geom]]]
            if np.any(m.geom_contype[geom] & m.geom_conaffinity[others]):
                found.append(geom)
        return np.array(found, int)

    @cached_property
    def grippers(self) -> np.ndarray:
        """Actuators of grippers, where actions are actuators one by one."""
        if self.task.action_size != self.model.nu:
            return np.zeros(0, int)
        return np.array(self.task.gripper_actions, int)

    @cached_property
    def fingers(self) -> np.ndarray:
        """Degrees of freedom that grippers move, by themselves or through a coupling of two joints."""
        m = self.model
        joints = {int(m.actuator_trnid[a, 0]) for a in self.grippers if m.actuator_trntype[a] == _JOINT}
        for kind, first, second in zip(m.eq_type, m.eq_obj1id, m.eq_obj2id, strict=True):
            if kind == _JOINT_EQUALITY and {int(first), int(second)} & joints:
                joints |= {int(first), int(second)} - {-1}
        return np.array(sorted(int(m.jnt_dofadr[joint]) for joint in joints), int)

    @cached_property
    def hinges(self) -> np.ndarray:
        """Joints that turn the arms, each the only one of its body."""
        m = self.model
        alone = m.body_jntnum[m.jnt_bodyid] == 1
        return np.flatnonzero((m.jnt_type == _HINGE) & alone & np.isin(m.jnt_bodyid, self.arms))

    @cached_property
    def give(self) -> float:
        """How far gravity alone deflects the joint that gives way most at the home pose, rad; 0 without motors that do.

        Statics: torque of gravity, uncompensated, over the motor's position gain. Home is the first key frame.
        """
        m = self.model
        data = mujoco.MjData(m)
        if m.nkey:
            mujoco.mj_resetDataKeyframe(m, data, 0)
        mujoco.mj_forward(m, data)
        largest = 0.0
        for actuator in range(m.nu):
            joint, stiffness = int(m.actuator_trnid[actuator, 0]), -float(m.actuator_biasprm[actuator, 1])
            turns = m.actuator_trntype[actuator] == _JOINT and joint in self.hinges
            if turns and m.actuator_biastype[actuator] == _AFFINE and stiffness > 0:
                pull = float(data.qfrc_bias[m.jnt_dofadr[joint]])
                largest = max(largest, abs(pull) / stiffness / float(m.actuator_gear[actuator, 0]) ** 2)
        return largest

    def _bodies(self, loose: bool) -> np.ndarray:
        m = self.model
        kinds = list(zip((int(body) for body in m.jnt_bodyid), m.jnt_type, strict=True))
        free = {body for body, kind in kinds if kind == _FREE}
        jointed = {body for body, _ in kinds}
        found = []
        for body in range(m.nbody):
            chain, at = [], body
            while at:
                chain.append(at)
                at = int(m.body_parentid[at])
            hangs = any(b in free for b in chain)
            if hangs if loose else not hangs and any(b in jointed for b in chain):
                found.append(body)
        return np.array(found, int)
