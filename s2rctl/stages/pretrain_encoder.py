"""Stage: the student's image encoder, trained to tell the objects' poses from randomised renders."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.build import make_env
from s2rctl.experts import EXPERTS
from s2rctl.learning import pretrain, pretrain_targets
from s2rctl.learning.encoder_files import save_encoder
from s2rctl.learning.preprocess import camera_from
from s2rctl.learning.student import student_settings
from s2rctl.schema.profile import AlohaProfile
from s2rctl.stages.protocol import Context, Result
from s2rctl.tasks.protocol import World

VERSION = 1
SHAKE = 0.3
"""Standard deviation of the noise on the expert's actions: the student will stray, and its images shall be known."""


def run(context: Context) -> Result:
    """Write encoder.safetensors and encoder.json; metrics: how far the held-out regression is off."""
    profile = context.profile
    assert isinstance(profile, AlohaProfile)
    cameras = tuple(camera_from(camera) for camera in profile.vision.cameras)
    settings = student_settings(profile.vision.cameras, profile.encoder, profile.distill).encoder
    budget = profile.encoder
    reporter = context.reporter
    if budget.images == 0:
        reporter.start("pretrain-encoder", 0, "images")
        params = pretrain.random_params(context.seed, settings, pretrain_targets.INSERTION_OUTPUTS)
        reporter.finish("random weights: encoder.images is 0")
        return Result(save_encoder(context.run_folder, settings, params), {"images": 0})

    worlds = pretrain.worlds_for(budget.images, len(cameras), profile.teacher.insert.episode_steps)
    env = make_env(profile, "insertion", worlds, seed=context.seed)
    expert = EXPERTS.load("insertion")(env.model)

    def drive(key: jax.Array, world: World, step: jax.Array) -> jax.Array:
        wanted: Any = jax.vmap(expert)(world)
        return jnp.clip(wanted + SHAKE * jax.random.normal(key, wanted.shape), -1.0, 1.0)

    reporter.start("pretrain-encoder: rendering", budget.images, "images")
    targets = pretrain_targets.insertion
    data = pretrain.collect(env, drive, targets, cameras, budget.images, context.seed, reporter, context.interrupt)
    reporter.finish(f"{len(data.targets)} images of {worlds} worlds")
    reporter.start("pretrain-encoder: training", budget.passes * int(np.sum(~data.held_out)), "images")
    result = pretrain.fit(data, cameras[0], settings, budget, context.seed, reporter, context.interrupt)
    metrics = {"images": len(data.targets), **_figures(result.error, data)}
    reporter.finish(f"held-out variance explained {metrics['variance_explained']:.2f}")
    return Result(save_encoder(context.run_folder, settings, result.params), metrics)


def _figures(error: np.ndarray, data: pretrain.Images) -> dict[str, float]:
    """Return what is left of the targets' variance, over all of them and for the three grip offsets (unit 0.1 m)."""
    spread = data.targets[data.held_out].var(axis=0)
    explained = 1.0 - np.mean(error**2) / max(float(np.mean(spread)), 1e-9)
    return {
        "variance_explained": round(float(explained), 4),
        "grip_offset_error_mm_median": round(float(np.median(100.0 * np.linalg.norm(error[:, :3], axis=1))), 2),
    }
