"""Stage: play episodes, count honestly, compare, film a few, and hold the result against the gate."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.control.perception import limit_of, running
from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError, RunError
from s2rctl.env.build import make_model
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.episodes import Episode, Episodes, rate, summary
from s2rctl.evaluation.filming import film_clips
from s2rctl.evaluation.statistics import paired
from s2rctl.evaluation.worlds import make_worlds
from s2rctl.physics.factory import choose_physics
from s2rctl.render.factory import choose_renderer
from s2rctl.stages.evaluate_shards import Asked, in_shards, play_slice
from s2rctl.stages.policies import Player, evaluated_player, load_player, policy_of
from s2rctl.stages.protocol import Context, Result


def run(context: Context) -> Result:
    """Evaluate the artifact with the role ``onnx`` or ``policy``, perhaps against the one with the role ``against``.

    A policy that learned behind a pilot is brought to the switch by it (an input with the pilot's role, else by
    lineage). Writes evaluation.json, episodes.jsonl and videos. A missed gate is part of the result, not an error: the
    command line turns it into exit code 5.
    """
    settings = context.profile.evaluate
    player = evaluated_player(context.inputs)
    other = load_player(context.inputs["against"]) if "against" in context.inputs else None
    if other is not None and other.task != player.task:
        raise ArtifactError(
            f"{other.artifact.ref} does {other.task}, {player.artifact.ref} does {player.task}",
            "compare policies for the same task",
        )
    images = player.images or (other is not None and other.images)
    asked = Asked(context.profile, player.task, images, settings.videos)
    pilot = context.inputs.get(policy_of(player.artifact).pilot_role)
    env, result = _play(context, player, pilot.id if pilot else "", asked, "evaluate")
    figures = summary(result) | about(context, player) | _perception(context, player, result)
    if not settings.perturb:  # the gate is about the worlds that the policy was trained for
        figures["gate_success_low"] = settings.gate.success_low
        figures["gate_passed"] = float(str(figures["wilson_low"])) >= settings.gate.success_low
    if other is not None:
        _, second = _play(context, other, "", replace(asked, clips=0), f"evaluate against {other.artifact.ref}")
        figures |= _comparison(other, result, second)
    films, clips = film_clips(
        context.run_folder, [(env, clip) for clip in result.clips], context.profile.simulation.rate_hz
    )
    files = _write(context.run_folder, figures | {"clips": clips}, result.episodes)
    context.reporter.finish(f"success {figures['text']}")
    return Result(files=files | films, metrics=figures)


def _play(context: Context, player: Player, pilot: str, asked: Asked, title: str) -> tuple[VecEnv, Episodes]:
    """Play all episodes of one policy, in shards where the context has any; ``pilot`` as in ``Shard``."""
    context.reporter.start(title, asked.episodes, "episodes")
    env = make_worlds(asked.worlds())
    if context.spread is not None and context.spread.shards > 1:
        return env, in_shards(asked, player.artifact, pilot, context.spread, context.reporter)
    return env, play_slice(asked, env, player, asked.whole, context.reporter, context.interrupt)


def about(context: Context, player: Player) -> dict[str, object]:
    """Return what was evaluated, and where."""
    return {
        "policy": player.artifact.ref,
        "policy_id": player.artifact.id,
        "task": player.task,
        "physics": choose_physics(context.profile.simulation.physics).name,
        "renderer": _renderer(context, player.task) if player.images else None,
        "seed": context.seed,
        "perturb": dict(context.profile.evaluate.perturb),
    }


def _renderer(context: Context, task: str) -> str:
    """Return the renderer of the policy's images; "auto" depends on the scene."""
    asked = context.profile.vision.renderer
    return choose_renderer(asked, make_model(context.profile, task)).name if asked == "auto" else asked


def _perception(context: Context, player: Player, result: Episodes) -> dict[str, object]:
    """Return how many episodes the perception check would have stopped, and how many successes among them.

    Nothing for a policy whose contract has no figures.
    """
    if not player.estimates:
        return {}
    settings = context.profile.deploy.safety.perception
    frames = settings.frames(context.profile.simulation.rate_hz)

    def failed(episode: Episode) -> bool:
        worst = {name: max(running(errors, frames)) for name, errors in episode.estimate_errors.items()}
        return any(worst[item.output] > limit_of(item, settings) for item in player.estimates)

    stopped = [episode for episode in result.episodes if failed(episode)]
    return {
        "perception_stops": len(stopped),
        "perception_stopped_successes": sum(episode.success for episode in stopped),
        "perception_limit_m": {item.output: limit_of(item, settings) for item in player.estimates},
        "perception_error_m": {item.output: _median_error(item.output, result) for item in player.estimates},
    }


def _median_error(output: str, result: Episodes) -> float | None:
    """Return the median error of an estimate over all steps, m; None if it was never finite.

    Steps count in which there was something to estimate: an object that nobody holds has an error of exactly 0.
    """
    errors = np.concatenate([episode.estimate_errors[output] for episode in result.episodes])
    finite = errors[np.isfinite(errors) & (errors > 0)]
    return float(np.median(finite)) if len(finite) else None


def _line(episode: Episode) -> str:
    """Return an episode as one line of JSON; errors that are not finite are null."""
    errors = {
        name: [error if np.isfinite(error) else None for error in row] for name, row in episode.estimate_errors.items()
    }
    return json.dumps(vars(episode) | {"estimate_errors": errors})


def _comparison(other: Player, first: Episodes, second: Episodes) -> dict[str, object]:
    """Return the paired comparison; RunError if the two runs did not play the same episodes."""
    if not np.array_equal(first.start, second.start):
        raise RunError("the two policies did not start from the same states", "this is a bug; please report it")
    against = rate(second.successes, len(second.episodes)) | {"failures": second.failures}
    pairs = paired([e.success for e in first.episodes], [e.success for e in second.episodes])
    return {
        "against": {"policy": other.artifact.ref, "policy_id": other.artifact.id, **against},
        "paired": pairs._asdict(),
    }


def _write(folder: Path, figures: Mapping[str, Any], episodes: Sequence[Episode]) -> dict[str, Path]:
    evaluation, log = folder / "evaluation.json", folder / "episodes.jsonl"
    write_atomic(evaluation, json.dumps(figures, indent=2).encode())
    lines = [_line(episode) for episode in episodes]
    write_atomic(log, ("\n".join(lines) + "\n").encode())
    return {"evaluation.json": evaluation, "episodes.jsonl": log}
