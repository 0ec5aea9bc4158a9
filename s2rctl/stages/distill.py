"""Stage: DAgger from the state teachers to the student that sees images."""

import shutil
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import jax
import jax.numpy as jnp

from s2rctl.core.errors import Interrupted
from s2rctl.env.keys import make_key
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.metrics_log import MetricsLog
from s2rctl.learning.policy_files import save_policy, show_so_far
from s2rctl.learning.student import network as student
from s2rctl.learning.student.distill import Collector, Distiller
from s2rctl.learning.student.network import Params
from s2rctl.learning.student.settings import StudentSettings
from s2rctl.learning.student.snapshot import Snapshot
from s2rctl.learning.vision.encoder_files import load_encoder
from s2rctl.schema.distillation import Distill
from s2rctl.stages.distill_build import make_distiller
from s2rctl.stages.distill_groups import here, recipes_of
from s2rctl.stages.protocol import Context, Result

_PANELS = (("action_error", "pose_error"), ("success",), ("switched",))
_RECENT = 50
"""Iterations over which the running success rate is counted."""


def run(context: Context) -> Result:
    """Write the student's policy files and training curves; metrics: action error and running success."""
    distill = context.profile.section("distill", Distill)
    distiller = make_distiller(context, acts=not distill.collectors)
    params = _params(context, distill, distiller.settings)
    with _collector(context, distill, params) as collector:
        return _distilled(context, replace(distiller, collector=collector), params)


def _collector(context: Context, distill: Distill, params: Params) -> AbstractContextManager[Collector | None]:
    """Return who acts and labels; None: the distiller itself."""
    if not distill.collectors:
        return nullcontext()
    recipes = recipes_of(context, distill)
    if context.spread is None:
        return here(recipes, params, context.run_folder)
    return context.spread.launcher.collector(recipes, params, context.run_folder)


def _distilled(context: Context, distiller: Distiller, params: Params) -> Result:
    """Distil to the end, or from a checkpoint on."""
    distill, settings, replay = distiller.distill, distiller.settings, distiller.replay
    context.reporter.start("distill", distill.iterations, "iterations")
    checkpoints = Checkpoints(context.run_folder / "checkpoints")
    snapshot = distiller.start(params)
    if checkpoints.latest() is not None:
        snapshot = checkpoints.restore(snapshot)
        if replay is not None:
            replay.move_to(snapshot.replay)
        anew = "; collectors begin new episodes" if distill.collectors else ""
        context.reporter.note(f"resuming at iteration {int(snapshot.iteration)}{anew}")
    recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
    last: dict[str, float] = {}

    def save(snapshot: Snapshot) -> None:
        checkpoints.save(int(snapshot.iteration), snapshot)
        show_so_far(context.run_folder, "student", settings.model_dump(mode="json"), snapshot.student)

    with MetricsLog(context.run_folder, int(snapshot.iteration), context.profile.wandb) as log:

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
    files |= save_policy(context.run_folder, "student", settings.model_dump(mode="json"), snapshot.student)
    summary = {"action_error": last.get("action_error"), "training_success": last.get("success")}
    context.reporter.finish(", ".join(f"{name} {value:.3g}" for name, value in summary.items() if value is not None))
    shutil.rmtree(context.run_folder / "aggregate", ignore_errors=True)
    samples = distill.iterations * distill.steps * distill.worlds
    return Result(files, {"iterations": distill.iterations, "samples": samples, **summary})


def _params(context: Context, distill: Distill, settings: StudentSettings) -> Params:
    """Return a student with the pretrained encoder, where the profile wants it, and a fresh head."""
    fresh = student.init(make_key(context.seed), settings)
    if distill.encoder == "random":
        return fresh
    pretrained = load_encoder(context.inputs["encoder"].folder(), settings.encoder)
    params = {**fresh, "encoder": pretrained["encoder"]}
    if settings.estimates and _alike(pretrained["head"], fresh["estimate"]):  # not so for one trained on CIFAR-10
        params["estimate"] = pretrained["head"]
    return params


def _alike(one: Params, other: Params) -> bool:
    return jax.tree.map(jnp.shape, one) == jax.tree.map(jnp.shape, other)
