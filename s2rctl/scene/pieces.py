"""Reading and composing MJCF pieces from the assets folder."""

import mujoco

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.resources import data_folder


def load(path: str) -> mujoco.MjSpec:
    """Return the piece ``path`` (below assets/); raise MissingEnvironmentError when it is not installed."""
    file = data_folder("assets") / path
    if not file.is_file():
        raise MissingEnvironmentError(f"the model file {path} is missing", "reinstall s2rctl")
    return mujoco.MjSpec.from_file(str(file))


def set_options(spec: mujoco.MjSpec, timestep: float) -> None:
    """Set the physics options that all scenes share.

    Integrator, iterations and impratio: MuJoCo Playground PR 76. With pyramidal cones the normal direction of a contact
    is as soft as friction squared over impratio: at 10 a held object creeps half as fast (0.3 instead of 0.6 mm/s), but
    at half the friction its contacts are so stiff for this time step that fingers bounce off it (1.4 to 2.8 % of the
    control steps instead of 0.1 to 0.4 %), and every bounce lets it slide. The pyramidal cone holds every block of the
    pick task with these few iterations; the elliptic one threw some away. Dense Jacobians: the sparse Newton factor of
    MuJoCo 4.0.0 is wrong.
    """
    spec.option.timestep = timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = 10
    spec.option.ls_iterations = 10
    spec.option.impratio = 5
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE


def make_movable(spec: mujoco.MjSpec) -> None:
    """Let masses be moved and arms be heavier than compensated, world by world, in the model that is compiled next.

    MuJoCo compiles a free body whose centre of mass is its origin into a shorter formula, which leaves no room for
    another centre, and passes over ``body_gravcomp`` in a model where it is 0 everywhere: here a body that stands on
    the world has it, which changes nothing. The formula rounds differently, so only worlds that need it are built so.
    """
    for body in spec.bodies:
        if any(joint.type == mujoco.mjtJoint.mjJNT_FREE for joint in body.joints):
            body.simple = False
    for body in spec.worldbody.bodies:
        if not body.joints:
            body.gravcomp = 1.0
