"""Stage: the reach policy's feature extractor, initialised by regressing the tool position from randomised renders."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.build import make_env
from s2rctl.env.keys import make_key
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.metrics_log import LoggedProgress, MetricsLog
from s2rctl.learning.reach import workspace as pretrain_targets
from s2rctl.learning.reach.networks import extractor_settings
from s2rctl.learning.reach.variants import variant_of
from s2rctl.learning.vision import pretrain
from s2rctl.learning.vision.encoder_files import save_encoder
from s2rctl.learning.vision.preprocess import camera_from
from s2rctl.schema.learning import Encoder
from s2rctl.schema.reach import Reach
from s2rctl.stages.protocol import Context, Result
from s2rctl.systems import system_named
from s2rctl.tasks.protocol import World

STROKE = 12
"""Vector steps that a random direction is kept: at full speed an arm crosses the workspace."""


def run(context: Context) -> Result:
    """Write encoder.safetensors and encoder.json; metrics: held-out position error in mm.

    A variant without initialisation starts from random weights, as does a budget of no images.
    """
    profile = context.profile
    reach, budget = profile.section("reach", Reach), profile.section("extractor", Encoder)
    task = system_named(profile.system).deployed.task
    cameras = tuple(camera_from(camera) for camera in profile.vision.cameras)
    reporter = context.reporter
    settings = extractor_settings(profile.vision.cameras, budget, reach)
    if budget.images == 0 or not variant_of(reach).initialised:
        reporter.start("init-extractor", 0, "images")
        params = pretrain.random_params(context.seed, settings, 3)
        reporter.finish("random weights: the variant asks for them, or extractor.images is 0")
        return Result(save_encoder(context.run_folder, settings, params), {"images": 0})

    worlds = pretrain.worlds_for(budget.images, 1, profile.task(task).episode_steps)
    env = make_env(profile, task, worlds, seed=context.seed)
    place = pretrain_targets.workspace(env.task)

    def drive(key: jax.Array, world: World, step: jax.Array) -> jax.Array:
        stroke = jax.random.fold_in(make_key(context.seed), step // STROKE)
        direction = jax.random.uniform(stroke, (worlds, 3), minval=-1.0, maxval=1.0)
        return jnp.clip(direction + 0.3 * jax.random.normal(key, (worlds, 3)), -1.0, 1.0)

    reporter.start("init-extractor: rendering", budget.images, "images")
    data = pretrain.collect(
        env,
        drive,
        pretrain_targets.reach(place),
        cameras,
        budget.images,
        context.seed,
        context.run_folder / "images",
        reporter,
        context.interrupt,
        together=len(cameras) > 1,
    )
    reporter.finish(f"{len(data.targets)} images of {worlds} worlds")
    reporter.start("init-extractor: training", budget.passes * int(np.sum(~data.held_out)), "images")
    checkpoints = Checkpoints(context.run_folder / "checkpoints")
    done = (checkpoints.latest() or 0) * budget.batch
    with MetricsLog(context.run_folder, done, profile.wandb) as log:
        logged = LoggedProgress(reporter, log)
        result = pretrain.fit(data, cameras[0], settings, budget, context.seed, checkpoints, logged, context.interrupt)
        logs = log.files((("loss",),))
    error = 1e3 * place.spread_m * np.linalg.norm(result.predicted - data.targets[data.held_out], axis=1)
    p50, p95 = (round(float(value), 2) for value in np.percentile(error, [50, 95]))
    reporter.finish(f"held-out position error {p50:.1f} mm median, {p95:.1f} mm at 95 %")
    metrics = {"images": len(data.targets), "position_error_mm_median": p50, "position_error_mm_p95": p95}
    shutil.rmtree(context.run_folder / "images", ignore_errors=True)
    return Result(save_encoder(context.run_folder, settings, result.params) | logs, metrics)
