"""What a distillation is made of: the worlds, the teacher and its pilot, the student, from a stage's inputs."""

from collections.abc import Callable

import jax
import numpy as np

from s2rctl.core.errors import ProfileError
from s2rctl.env.build import make_env, make_images, make_model, training_dynamics
from s2rctl.env.dynamics import Draws
from s2rctl.env.keys import make_key
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.camera_edge import Edge, EdgeCameras
from s2rctl.experts import make_expert
from s2rctl.learning.policy_files import load_policy
from s2rctl.learning.student.distill import Distiller, make_replay
from s2rctl.learning.student.pushes import Pushes
from s2rctl.learning.student.settings import StudentSettings, student_settings
from s2rctl.learning.teacher.handover import Pilot, kept_bank
from s2rctl.robots import ROBOTS
from s2rctl.schema.distillation import Distill
from s2rctl.schema.learning import Encoder
from s2rctl.schema.profile import Profile
from s2rctl.stages.protocol import Context
from s2rctl.systems import system_named
from s2rctl.systems.protocol import Policy
from s2rctl.tasks.protocol import Start, World

BANK_WORLDS = 256
"""Episodes of the pick teacher from which the starts at the switch are taken."""


def _taught(context: Context) -> Policy:
    """Return the teacher that the student imitates: the one that does its task."""
    system = system_named(context.profile.system)
    task = system.policy(context.stage.kind, context.stage.output).task
    return next(policy for policy in system.policies if policy.kind == "teacher" and policy.task == task)


def _settings(context: Context, distill: Distill, taught: Policy, env: VecEnv) -> StudentSettings:
    """Return what the student is made of."""
    profile = context.profile
    return student_settings(
        profile.vision.cameras,
        profile.section("encoder", Encoder),
        distill,
        profile.robot.name,
        ready=env.task.ready,
        switched=taught.pilot is not None,
        estimates=_estimates(env) if distill.estimates else 0,
        ends=_ends(env) if distill.mating else None,
    )


def _estimates(env: VecEnv) -> int:
    """Return how many numbers the task asks of each camera's image; ProfileError if it asks none."""
    targets = env.task.image_targets
    if targets is None:
        raise ProfileError(f"the task {env.task.name} does not say what its images show", "set distill.estimates to 0")
    require_hands_in_order(env)
    told = jax.eval_shape(lambda state: jax.vmap(targets)(env.world(state)), env.shapes)
    return int(told.shape[-1])


def _ends(env: VecEnv) -> tuple[float, float]:
    """Return the ends of the parts that the task puts together; ProfileError if it does not."""
    if env.task.ends is None:
        raise ProfileError(f"the task {env.task.name} puts no parts together", "set distill.mating to false")
    return env.task.ends


def require_hands_in_order(env: VecEnv) -> None:
    """Raise ProfileError for cameras that are not in the order of the arms that carry them, as image targets are."""
    model, images = env.model, env.images
    bodies = [int(model.cam_bodyid[model.camera(camera.name).id]) for camera in images.cameras] if images else []
    if bodies != sorted(bodies):
        raise ProfileError(
            "vision.cameras: what images show is told in the order of the arms", "list the cameras in that order"
        )


def make_distiller(context: Context, *, acts: bool = True, learns: bool = True) -> Distiller:
    """Return the distillation that the profile describes, of the teacher among the inputs and of its pilot.

    Who only ``learns`` needs no worlds that begin as the profile says; who only ``acts`` needs no aggregate buffer.
    """
    profile, taught = context.profile, _taught(context)
    distill, task, make_pilot = profile.section("distill", Distill), taught.task, taught.load_pilot()
    pilot = None
    if make_pilot is not None:
        actions = len(ROBOTS.load(profile.robot.name).command)
        pilot = make_pilot(load_policy(context.inputs[taught.pilot_role].folder()), actions)
    from_switch = np.arange(distill.worlds) < distill.from_switch * distill.worlds
    if from_switch.any() and pilot is None:
        raise ProfileError(f"the {task} teacher has no pilot, so there is no switch", "set distill.from_switch to 0")
    env = make_env(
        profile,
        task,
        distill.worlds,
        seed=context.seed,
        hide=distill.hide_object,
        bank=_bank(context, task, pilot) if acts and from_switch.any() and pilot is not None else None,
        bank_probability=from_switch.astype(float),
        dynamics=_physics(profile, task, distill, context.seed) if acts else None,
        imaging=_cameras(profile, task, distill.camera_edge) if acts and distill.camera_edge else None,
    )
    settings = _settings(context, distill, taught, env)
    return Distiller(
        env=env,
        settings=settings,
        distill=distill,
        teacher=load_policy(context.inputs[taught.name].folder()).reflex(),
        pilot=pilot,
        seed=context.seed,
        touch=_touch(profile, env) if distill.touch else None,
        from_home=~from_switch,
        pushes=_pushes(profile, distill, context.seed) if distill.pushed else None,
        replay=make_replay(distill, settings, context.run_folder / "aggregate") if learns else None,
    )


def _touch(profile: Profile, env: VecEnv) -> Callable[[World, jax.Array], jax.Array]:
    """Return who labels where no camera sees; ProfileError if the task always shows everything."""
    if env.task.blind is None:
        raise ProfileError(f"the task {env.task.name} hides nothing from its cameras", "set distill.touch to false")
    return make_expert(profile, env.task.name, by_touch=True)


def _pushes(profile: Profile, distill: Distill, seed: int) -> Pushes:
    """Return the pushes that the profile describes; grippers are spared, which would drop what they hold."""
    entries = np.array([entry.kind != "gripper" for entry in ROBOTS.load(profile.robot.name).command])
    return Pushes(distill.worlds, distill.pushed, distill.push, entries, seed)


def _cameras(profile: Profile, task: str, share: float) -> EdgeCameras:
    """Return the profile's cameras, of which a share stands as far off as they may."""
    model = make_model(profile, task)
    return EdgeCameras(make_images(profile, task, model), model, Edge(profile, beyond=False), share)


def _physics(profile: Profile, task: str, distill: Distill, seed: int) -> Draws | None:
    return training_dynamics(profile, task, distill.worlds, seed, distill.dynamics, mildest=distill.mildest)


def _bank(context: Context, task: str, pilot: Pilot) -> Start:
    """Return states at which the pilot hands over, made once and kept in the run folder."""
    profile = context.profile
    env = make_env(profile, task, BANK_WORLDS, seed=context.seed, images=False)
    path = context.run_folder / "bank.safetensors"
    return kept_bank(path, env, pilot, make_expert(profile, task), make_key(context.seed), context.reporter)
