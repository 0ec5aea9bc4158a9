"""Stage: asymmetric DDPG for reaching from one camera."""

import json
import shutil
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import Interrupted
from s2rctl.core.lines import PlannerState
from s2rctl.env.build import make_env, training_dynamics
from s2rctl.env.keys import make_key
from s2rctl.env.types import EnvState
from s2rctl.env.visibility import Sight, facing, in_frame
from s2rctl.evaluation.statistics import format_rate, wilson
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.metrics_log import MetricsLog
from s2rctl.learning.policy_files import save_policy, show_so_far
from s2rctl.learning.reach import asym_ddpg
from s2rctl.learning.reach import figures as reach_figures
from s2rctl.learning.reach import loop as reach_loop
from s2rctl.learning.reach import workspace as pretrain_targets
from s2rctl.learning.reach.loop import Loop, Parts, Snapshot
from s2rctl.learning.reach.networks import ReachSettings, reach_settings
from s2rctl.learning.reach.variants import variant_of
from s2rctl.learning.vision.encoder_files import load_encoder
from s2rctl.schema.learning import Encoder
from s2rctl.schema.reach import Reach
from s2rctl.schema.tasks import ReachTask
from s2rctl.stages.protocol import Context, Result
from s2rctl.systems import system_named
from s2rctl.tasks.protocol import Observation, Task, World, combine
from s2rctl.tasks.reach import Signals as ReachSignals
from s2rctl.tasks.reach import State as ReachState

_PANELS = (("reward",), ("success",), ("position_error_mm",), ("critic_loss", "actor_loss"))


def run(context: Context) -> Result:
    """Write the policy files and training curves; metrics: success and final distance of deterministic episodes."""
    profile = context.profile
    reach, task = profile.section("reach", Reach), system_named(profile.system).deployed.task
    context.reporter.start("train-reach", reach.steps, "steps")
    dynamics = training_dynamics(profile, task, reach.worlds, context.seed, reach.dynamics)
    env = make_env(profile, task, reach.worlds, seed=context.seed, dynamics=dynamics)
    place = pretrain_targets.workspace(env.task)
    settings = reach_settings(
        profile.vision.cameras, profile.section("extractor", Encoder), reach, env.task.action_scale, *place
    )
    replay = reach_loop.make_replay(env, settings, reach, context.run_folder / "replay")
    sight = Sight(env.model, profile.vision)
    parts = Parts(
        env, settings, reach, tool_position, motion, replay, context.seed, reward_of(env.task), seen_by(sight)
    )
    loop = Loop(parts)
    checkpoints = Checkpoints(context.run_folder / "checkpoints")
    snapshot = loop.start(_learner(context, settings))
    if checkpoints.latest() is not None:
        snapshot = checkpoints.restore(snapshot)
        replay.move_to(snapshot.replay)
        context.reporter.note(f"resuming at step {loop.env_steps(snapshot)}")

    def save(snapshot: Snapshot) -> None:
        checkpoints.save(int(snapshot.chunks), snapshot)
        show_so_far(context.run_folder, "reach", settings.model_dump(mode="json"), snapshot.learner.actor)

    with MetricsLog(context.run_folder, loop.env_steps(snapshot), profile.wandb) as log:

        def record(steps: int, metrics: dict[str, float]) -> None:
            episodes, successes = metrics.pop("episodes"), metrics.pop("successes")
            if episodes:
                metrics["success"] = successes / episodes
            log.record(steps, metrics)
            context.reporter.update(steps, metrics)

        snapshot = loop.run(snapshot, save, record, context.interrupt)
        if int(snapshot.chunks) < loop.total_chunks():
            raise Interrupted(
                f"stopped after {loop.env_steps(snapshot)} of {reach.steps} steps; progress is saved",
                "run the same command again to resume",
            )
        files = log.files(_PANELS)
    files |= save_policy(context.run_folder, "reach", settings.model_dump(mode="json"), snapshot.learner.actor)
    judged = reach_loop.judge(loop.parts, snapshot.learner.actor, profile.evaluate.gate.episodes)
    metrics = _figures(judged, loop.env_steps(snapshot))
    rows = {name: np.asarray(values, float).round(5).tolist() for name, values in judged._asdict().items()}
    files |= {name: context.run_folder / name for name in ("episodes.json", "errors.png")}
    write_atomic(files["episodes.json"], json.dumps(metrics | {"episodes_each": rows}).encode())
    threshold = profile.section(f"tasks.{task}", ReachTask).threshold_m
    reach_figures.draw(
        files["errors.png"],
        np.asarray(judged.final_error_m),
        np.asarray(judged.goal),
        threshold,
    )
    shutil.rmtree(context.run_folder / "replay", ignore_errors=True)
    context.reporter.finish(f"success {metrics['text']}, final error {metrics['final_error_mm_median']:.0f} mm median")
    return Result(files, metrics)


def tool_position(observation: Observation) -> jax.Array:
    """Return the true tool position (B, 3) m: the critic's observation of the reach task begins with it."""
    return observation.critic[:, :3]


def motion(observation: Observation) -> jax.Array:
    """Return how far the command is ahead of the tool and how fast the arm's planner goes (B, 6) m: after the goal."""
    return observation.critic[:, 6:12]


def reward_of(task: Task) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the task's reward of tool positions and goals (N, 3) m: for goals that are put in later."""

    def one(position: jax.Array, goal: jax.Array) -> jax.Array:
        still = PlannerState(position, jnp.zeros(3))
        signals = ReachSignals(jnp.zeros(7), position, jnp.array([1.0, 0.0, 0.0, 0.0]))
        return combine(
            task.rewards, World(signals, jnp.zeros(7), ReachState(goal, position, still, jnp.zeros(())), {})
        )[0]

    each = jax.jit(jax.vmap(one))
    return lambda position, goal: np.asarray(each(position, goal))


def seen_by(sight: Sight) -> Callable[[EnvState], tuple[jax.Array, jax.Array]]:
    """Return (state -> (B,) bool: some camera has the tool in its picture, (B,) bool: the arm points at every lens)."""

    def look(state: EnvState) -> tuple[jax.Array, jax.Array]:
        assert state.appearance is not None
        cameras, tool = sight.lens(state.appearance), tool_position(state.observation)
        # The robot's base is the world's origin.
        return jnp.any(in_frame(cameras, tool), 1), jnp.all(facing(cameras, jnp.zeros_like(tool), tool), 1)

    return look


def _learner(context: Context, settings: ReachSettings) -> asym_ddpg.Learner:
    reach = context.profile.section("reach", Reach)
    extractor = None
    if variant_of(reach).initialised:
        extractor = load_encoder(context.inputs["encoder"].folder(), settings.encoder)
    return asym_ddpg.init(make_key(context.seed), settings, reach, extractor)


def _figures(judged: reach_loop.Judged, steps: int) -> dict[str, float | int | str]:
    episodes, successes = len(judged.success), int(judged.success.sum())
    low, high = wilson(successes, episodes)
    return {
        "steps": steps,
        "episodes": episodes,
        "successes": successes,
        "success_rate": round(successes / episodes, 4),
        "wilson_low": round(low, 4),
        "wilson_high": round(high, 4),
        "text": format_rate(successes, episodes),
        "out_of_sight": round(float(np.mean(judged.out_of_sight)), 4),
        "facing_lens": round(float(np.mean(judged.facing)), 4),
        "final_error_mm_p95": round(float(np.percentile(judged.final_error_m, 95)) * 1e3, 2),
        "final_error_mm_median": round(float(np.median(judged.final_error_m)) * 1e3, 2),
        "position_error_mm_median": round(float(np.median(judged.position_error_m)) * 1e3, 2),
    }
