"""Stage: DAgger from the two state teachers to the student that sees images."""

import shutil
from collections import deque

import numpy as np

from s2rctl.core.errors import Interrupted
from s2rctl.env.build import make_env
from s2rctl.env.keys import make_key
from s2rctl.experts import EXPERTS
from s2rctl.learning import student
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.distill import Distiller, Snapshot, make_replay
from s2rctl.learning.encoder_files import load_encoder
from s2rctl.learning.metrics_log import MetricsLog
from s2rctl.learning.policy_files import load_policy, save_policy
from s2rctl.learning.replay import Replay
from s2rctl.learning.student import StudentSettings
from s2rctl.learning.teachers import Pilot, kept_bank, pick_pilot
from s2rctl.schema.profile import AlohaProfile
from s2rctl.stages.protocol import Context, Result
from s2rctl.tasks.protocol import Start

_PANELS = (("action_error",), ("success",), ("switched",))
BANK_WORLDS = 256
"""Episodes of the pick teacher from which the starts at the switch are taken."""
_RECENT = 50
"""Iterations over which the running success rate is counted."""


def run(context: Context) -> Result:
    """Write the student's policy files and training curves; metrics: action error and running success."""
    profile = context.profile
    assert isinstance(profile, AlohaProfile)
    distill = profile.distill
    settings = student.student_settings(profile.vision.cameras, profile.encoder, distill)
    replay = make_replay(distill, settings, context.run_folder / "aggregate")
    distiller = _distiller(context, profile, settings, replay)
    context.reporter.start("distill", distill.iterations, "iterations")
    checkpoints = Checkpoints(context.run_folder / "checkpoints")
    snapshot = distiller.start(_params(context, settings))
    if checkpoints.latest() is not None:
        snapshot = checkpoints.restore(snapshot)
        if replay is not None:
            replay.move_to(snapshot.replay)
        context.reporter.note(f"going on at iteration {int(snapshot.iteration)}")
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
                "run the same command again to go on",
            )
        files = log.files(_PANELS)
    files |= save_policy(context.run_folder, "student", settings.model_dump(mode="json"), snapshot.params)
    summary = {"action_error": last.get("action_error"), "training_success": last.get("success")}
    context.reporter.finish(", ".join(f"{name} {value:.3g}" for name, value in summary.items() if value is not None))
    shutil.rmtree(context.run_folder / "aggregate", ignore_errors=True)
    samples = distill.iterations * distill.steps * distill.worlds
    return Result(files, {"iterations": distill.iterations, "samples": samples, **summary})


def _distiller(context: Context, profile: AlohaProfile, settings: StudentSettings, replay: Replay | None) -> Distiller:
    """Return the distillation that the profile describes, of the teachers among the inputs."""
    distill = profile.distill
    pilot = pick_pilot(load_policy(context.inputs["pick"].folder()))
    from_switch = np.arange(distill.worlds) < distill.from_switch * distill.worlds
    return Distiller(
        env=make_env(
            profile,
            "insertion",
            distill.worlds,
            seed=context.seed,
            hide=distill.hide_object,
            bank=_bank(context, pilot) if from_switch.any() else None,
            bank_probability=from_switch.astype(float),
        ),
        settings=settings,
        distill=distill,
        teacher=load_policy(context.inputs["insert"].folder()).act,
        pilot=pilot,
        seed=context.seed,
        from_home=~from_switch,
        replay=replay,
    )


def _bank(context: Context, pilot: Pilot) -> Start:
    """Return states at which the pick teacher hands over, made once and kept in the run folder."""
    profile = context.profile
    env = make_env(profile, "insertion", BANK_WORLDS, seed=context.seed, images=False)
    expert = EXPERTS.load("insertion")(env.model)
    path = context.run_folder / "bank.safetensors"
    return kept_bank(path, env, pilot, expert, make_key(context.seed), context.reporter)


def _params(context: Context, settings: StudentSettings) -> student.Params:
    """Return a student with the pretrained encoder, where the profile wants it, and a fresh head."""
    fresh = student.init(make_key(context.seed), settings)
    assert isinstance(context.profile, AlohaProfile)
    if context.profile.distill.encoder == "random":
        return fresh
    pretrained = load_encoder(context.inputs["encoder"].folder(), settings.encoder)
    return {**fresh, "encoder": pretrained["encoder"]}
