"""Stage: the student's image encoder, trained to tell the objects' poses from randomised renders, or on CIFAR-10."""

import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import ProfileError
from s2rctl.core.paths import expanded
from s2rctl.env.build import make_env
from s2rctl.experts import make_expert
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.metrics_log import LoggedProgress, MetricsLog
from s2rctl.learning.student.settings import encoder_shape
from s2rctl.learning.vision import cifar, pretrain
from s2rctl.learning.vision.encoder import EncoderSettings
from s2rctl.learning.vision.encoder_files import save_encoder
from s2rctl.learning.vision.preprocess import camera_from
from s2rctl.schema.learning import Encoder
from s2rctl.stages.distill_build import require_hands_in_order
from s2rctl.stages.protocol import Context, Result
from s2rctl.systems import system_named
from s2rctl.tasks.protocol import World

RANDOM_OUTPUTS = 12
"""Outputs of an encoder that is not trained; they are thrown away."""
SHAKE = 0.3
"""Standard deviation of the noise on the expert's actions: the student will stray, and its images shall be known."""


def run(context: Context) -> Result:
    """Write encoder.safetensors and encoder.json; metrics: how far the held-out regression is off."""
    profile = context.profile
    budget = profile.section("encoder", Encoder)
    settings = encoder_shape(profile.vision.cameras, budget)
    if budget.images == 0:
        context.reporter.start("pretrain-encoder", 0, "images")
        params = pretrain.random_params(context.seed, settings, RANDOM_OUTPUTS)
        context.reporter.finish("random weights: encoder.images is 0")
        return Result(save_encoder(context.run_folder, settings, params), {"images": 0})
    if budget.source == "cifar10":
        return _on_cifar(context, budget, settings)
    return _on_states(context, budget, settings)


def _on_states(context: Context, budget: Encoder, settings: EncoderSettings) -> Result:
    profile, reporter = context.profile, context.reporter
    cameras = tuple(camera_from(camera) for camera in profile.vision.cameras)
    task = system_named(profile.system).deployed.task
    worlds = pretrain.worlds_for(budget.images, len(cameras), profile.task(task).episode_steps)
    env = make_env(profile, task, worlds, seed=context.seed)
    expert = make_expert(profile, task)

    def drive(key: jax.Array, world: World, step: jax.Array) -> jax.Array:
        wanted: Any = jax.vmap(expert)(world)
        return jnp.clip(wanted + SHAKE * jax.random.normal(key, wanted.shape), -1.0, 1.0)

    reporter.start("pretrain-encoder: rendering", budget.images, "images")
    targets, folder = env.task.image_targets, context.run_folder / "images"
    if targets is None:
        raise ProfileError(f"the task {task} defines no image targets for the encoder", "set encoder.images to 0")
    require_hands_in_order(env)
    data = pretrain.collect(
        env, drive, targets, cameras, budget.images, context.seed, folder, reporter, context.interrupt
    )
    reporter.finish(f"{len(data.targets)} images of {worlds} worlds")
    result, logs = _fit(context, budget, settings, data, pretrain.mean_square)
    metrics = {"images": len(data.targets), **_figures(result.predicted - data.targets[data.held_out], data)}
    reporter.finish(f"held-out variance explained {metrics['variance_explained']:.2f}")
    shutil.rmtree(folder, ignore_errors=True)
    return Result(save_encoder(context.run_folder, settings, result.params) | logs, metrics)


def _on_cifar(context: Context, budget: Encoder, settings: EncoderSettings) -> Result:
    if budget.cifar10 is None:
        raise ProfileError(
            "encoder.source is cifar10, but encoder.cifar10 is not set",
            "set encoder.cifar10 to cifar-10-binary.tar.gz",
        )
    data = cifar.load(expanded(budget.cifar10, ProfileError), settings)
    result, logs = _fit(context, budget, settings, data, cifar.cross_entropy)
    right = result.predicted.argmax(axis=1) == data.targets[data.held_out].argmax(axis=1)
    accuracy = round(float(right.mean()), 4)
    context.reporter.finish(f"{accuracy:.1%} test accuracy")
    metrics = {"images": len(data.targets), "accuracy": accuracy}
    return Result(save_encoder(context.run_folder, settings, result.params) | logs, metrics)


def _fit(
    context: Context, budget: Encoder, settings: EncoderSettings, data: pretrain.Images, loss: pretrain.Loss
) -> tuple[pretrain.Fit, dict[str, Path]]:
    """Return what was trained, and the files of its log."""
    camera = camera_from(context.profile.vision.cameras[0])
    context.reporter.start("pretrain-encoder: training", budget.passes * int(np.sum(~data.held_out)), "images")
    checkpoints = Checkpoints(context.run_folder / "checkpoints")
    done = (checkpoints.latest() or 0) * budget.batch
    with MetricsLog(context.run_folder, done, context.profile.wandb) as log:
        reporter = LoggedProgress(context.reporter, log)
        fit = pretrain.fit(data, camera, settings, budget, context.seed, checkpoints, reporter, context.interrupt, loss)
        return fit, log.files((("loss",),))


def _figures(error: np.ndarray, data: pretrain.Images) -> dict[str, float]:
    """Return what is left of the targets' variance, over all of them and for the three grip offsets (unit 0.1 m)."""
    spread = data.targets[data.held_out].var(axis=0)
    explained = 1.0 - np.mean(error**2) / max(float(np.mean(spread)), 1e-9)
    return {
        "variance_explained": round(float(explained), 4),
        "grip_offset_error_mm_median": round(float(np.median(100.0 * np.linalg.norm(error[:, :3], axis=1))), 2),
    }
