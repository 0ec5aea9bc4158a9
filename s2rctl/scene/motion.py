"""Gives a scene's joints the motors that a robot was found to have (``robot.motion``)."""

from collections.abc import Mapping

import mujoco

from s2rctl.core.errors import ProfileError
from s2rctl.schema.robots import JointMotion


def set_motion(model: mujoco.MjModel, motion: Mapping[str, JointMotion]) -> None:
    """Write figures of joints, by name, into a model that is not simulated yet; what is left out stays.

    A joint that the scene does not have is passed over: a scene may have one arm of two. ProfileError where it has none
    of them, or a joint without a position motor.
    """
    known = {model.joint(number).name: number for number in range(model.njnt)}
    motors = {int(model.actuator_trnid[number, 0]): number for number in range(model.nu)}
    if motion and not motion.keys() & known.keys():
        raise ProfileError(
            f"robot.motion: the scene has no joint '{next(iter(motion))}'", f"use {', '.join(filter(None, known))}"
        )
    for name, figures in motion.items():
        if name not in known:
            continue
        joint = known[name]
        if joint not in motors:
            raise ProfileError(f"robot.motion: the joint '{name}' has no motor", "leave it out")
        dof, motor = int(model.jnt_dofadr[joint]), motors[joint]
        if figures.armature is not None:
            model.dof_armature[dof] = figures.armature
        if figures.damping is not None:
            model.dof_damping[dof] = figures.damping
        if figures.friction_loss is not None:
            model.dof_frictionloss[dof] = figures.friction_loss
        if figures.gain is not None:
            model.actuator_gainprm[motor, 0] = figures.gain
            model.actuator_biasprm[motor, 1] = -figures.gain
    if motion:
        mujoco.mj_setConst(model, mujoco.MjData(model))
