"""Stage: DAgger from the state teachers to the student that sees images."""

import shutil
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import Interrupted, ProfileError
from s2rctl.env.build import make_env, training_dynamics
from s2rctl.env.keys import make_key
from s2rctl.env.vec_env import VecEnv
from s2rctl.experts import make_expert
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.metrics_log import MetricsLog
from s2rctl.learning.policy_files import load_policy, save_policy
from s2rctl.learning.student import network as student
from s2rctl.learning.student.distill import Distiller, Snapshot, make_replay
from s2rctl.learning.student.network import StudentSettings
from s2rctl.learning.teacher.handover import Pilot, kept_bank
from s2rctl.learning.vision.encoder_files import load_encoder
from s2rctl.robots import ROBOTS
from s2rctl.schema.learning import Distill, Encoder
from s2rctl.stages.protocol import Context, Result
from s2rctl.systems import system_named
from s2rctl.systems.protocol import Policy
from s2rctl.tasks.protocol import Start

_PANELS = (("action_error", "pose_error"), ("success",), ("switched",))
BANK_WORLDS = 256
"""Episodes of the pick teacher from which the starts at the switch are taken."""
_RECENT = 50
"""Iterations over which the running success rate is counted."""


def run(context: Context) -> Result:
    """Write the student's policy files and training curves; metrics: action error and running success."""
    profile = context.profile
    distill = profile.section("distill", Distill)
    distiller = _distiller(context, distill, _taught(context))
    settings, replay = distiller.settings, distiller.replay
    context.reporter.start("distill", distill.iterations, "iterations")
    checkpoints = Checkpoints(context.run_folder / "checkpoints")
    snapshot = distiller.start(_params(context, distill, settings))
    if checkpoints.latest() is not None:
        snapshot = checkpoints.restore(snapshot)
        if replay is not None:
            replay.move_to(snapshot.replay)
        context.reporter.note(f"resuming at iteration {int(snapshot.iteration)}")
    recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
    last: dict[str, float] = {}

    def save(snapshot: Snapshot) -> None:
        checkpoints.save(int(snapshot.iteration), snapshot)

    with MetricsLog(context.run_folder, int(snapshot.iteration), profile.wandb) as log:

        def record(iteration: int, metrics: dict[str, float]) -> None:
            recent.append((metrics.pop("episodes"), metrics.pop("successes")))
            episodes = sum(e for e, _ in recent)
            if episodes:
                metrics["success"] = sum(s for _, s in recent) / episodes
            last.update(metrics)
            log.record(iteration, metrics)
            context.reporter.update(iteration, metrics)

        snapshot = distiller.run(snapshot, save, record, context.interrupt)
        if int(snapshot.iteration) < distill.iterations:
            raise Interrupted(
                f"stopped after iteration {int(snapshot.iteration)} of {distill.iterations}; progress is saved",
                "run the same command again to resume",
            )
        files = log.files(_PANELS)
    files |= save_policy(context.run_folder, "student", settings.model_dump(mode="json"), snapshot.params)
    summary = {"action_error": last.get("action_error"), "training_success": last.get("success")}
    context.reporter.finish(", ".join(f"{name} {value:.3g}" for name, value in summary.items() if value is not None))
    shutil.rmtree(context.run_folder / "aggregate", ignore_errors=True)
    samples = distill.iterations * distill.steps * distill.worlds
    return Result(files, {"iterations": distill.iterations, "samples": samples, **summary})


def _taught(context: Context) -> Policy:
    """Return the teacher that the student imitates: the one that does its task."""
    system = system_named(context.profile.system)
    task = system.policy(context.stage.kind, context.stage.output).task
    return next(policy for policy in system.policies if policy.kind == "teacher" and policy.task == task)


def _settings(context: Context, distill: Distill, taught: Policy, env: VecEnv) -> StudentSettings:
    """Return what the student is made of."""
    profile = context.profile
    return student.student_settings(
        profile.vision.cameras,
        profile.section("encoder", Encoder),
        distill,
        profile.robot.name,
        ready=env.task.ready,
        switched=taught.pilot is not None,
        estimates=_estimates(env) if distill.estimates else 0,
    )


def _estimates(env: VecEnv) -> int:
    """Return how many numbers the task asks of each camera's image; ProfileError if it asks none."""
    targets = env.task.image_targets
    if targets is None:
        raise ProfileError(f"the task {env.task.name} does not say what its images show", "set distill.estimates to 0")
    told = jax.eval_shape(lambda state: jax.vmap(targets)(env.world(state)), env.shapes)
    return int(told.shape[-1])


def _distiller(context: Context, distill: Distill, taught: Policy) -> Distiller:
    """Return the distillation that the profile describes, of the teacher among the inputs and of its pilot."""
    profile, task, make_pilot = context.profile, taught.task, taught.load_pilot()
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
        bank=_bank(context, task, pilot) if from_switch.any() and pilot is not None else None,
        bank_probability=from_switch.astype(float),
        dynamics=training_dynamics(profile, task, distill.worlds, context.seed, distill.dynamics),
    )
    settings = _settings(context, distill, taught, env)
    return Distiller(
        env=env,
        settings=settings,
        distill=distill,
        teacher=load_policy(context.inputs[taught.name].folder()).reflex(),
        pilot=pilot,
        seed=context.seed,
        from_home=~from_switch,
        replay=make_replay(distill, settings, context.run_folder / "aggregate"),
    )


def _bank(context: Context, task: str, pilot: Pilot) -> Start:
    """Return states at which the pilot hands over, made once and kept in the run folder."""
    profile = context.profile
    env = make_env(profile, task, BANK_WORLDS, seed=context.seed, images=False)
    path = context.run_folder / "bank.safetensors"
    return kept_bank(path, env, pilot, make_expert(profile, task), make_key(context.seed), context.reporter)


def _params(context: Context, distill: Distill, settings: StudentSettings) -> student.Params:
    """Return a student with the pretrained encoder, where the profile wants it, and a fresh head."""
    fresh = student.init(make_key(context.seed), settings)
    if distill.encoder == "random":
        return fresh
    pretrained = load_encoder(context.inputs["encoder"].folder(), settings.encoder)
    params = {**fresh, "encoder": pretrained["encoder"]}
    if settings.estimates and _alike(pretrained["head"], fresh["estimate"]):  # not so for one trained on CIFAR-10
        params["estimate"] = pretrained["head"]
    return params


def _alike(one: student.Params, other: student.Params) -> bool:
    return jax.tree.map(jnp.shape, one) == jax.tree.map(jnp.shape, other)
