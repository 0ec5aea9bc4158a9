"""Stage: play unseen episodes with a policy, count honestly, film a few, and hold the result against the gate."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError
from s2rctl.env.vec_env import Pilot, VecEnv
from s2rctl.evaluation.episodes import Act, Episode, Episodes, play, summary
from s2rctl.evaluation.film import compose, write_mp4
from s2rctl.evaluation.policies import onnx_policy
from s2rctl.stages.protocol import Context, Result
from s2rctl.store.store import Artifact

VERSION = 1
SEED_OFFSET = 1_000_003
"""Added to the seed: episodes of an evaluation are never those that training with the same seed saw."""
FILM_SIZE = (640, 480)

_TASKS = {
    ("onnx", "aloha-student"): "insertion",
    ("onnx", "aloha-pick"): "pick",
    ("onnx", "aloha-insert"): "insertion",
    ("onnx", "xarm7-reach"): "reach",
    ("teacher", "pick"): "pick",
    ("teacher", "insert"): "insertion",
    ("student", "aloha"): "insertion",
    ("reach", "xarm7"): "reach",
}


def run(context: Context) -> Result:
    """Evaluate the artifact with the role ``onnx`` or ``policy``; ``pick`` drives phase 1 for an insertion teacher.

    Writes evaluation.json, episodes.jsonl and videos. A missed gate is part of the result, not an error: the command
    line turns it into exit code 5.
    """
    policy = context.inputs.get("onnx") or context.inputs["policy"]
    settings = context.profile.evaluate
    episodes = settings.gate.episodes
    worlds = min(settings.worlds, episodes)
    context.reporter.start("evaluate", episodes, "episodes")
    env = _environment(context, task_of(policy), worlds)
    result = play(
        env,
        load_policy(policy),
        episodes=episodes,
        episode_steps=env.task.episode_steps,
        taxonomy=env.task.failures,
        seed=context.seed + SEED_OFFSET,
        reporter=context.reporter,
        interrupt=context.interrupt,
    )
    figures = summary(result)
    low = float(str(figures["wilson_low"]))
    figures |= {
        "policy": policy.ref,
        "policy_id": policy.id,
        "gate_success_low": settings.gate.success_low,
        "gate_passed": low >= settings.gate.success_low,
    }
    files = _write(context.run_folder, figures, result.episodes)
    files |= _videos(context, env, result)
    context.reporter.finish(f"success {figures['text']}")
    return Result(files=files, metrics=figures)


def task_of(policy: Artifact) -> str:
    """Return the task that a policy is evaluated on; ArtifactError for something that is no policy."""
    content = policy.manifest.content
    try:
        return _TASKS[content.kind, content.name]
    except KeyError:
        known = ", ".join(f"{kind}/{name}" for kind, name in _TASKS)
        raise ArtifactError(f"{policy.ref} cannot be evaluated", f"evaluate one of {known}") from None


def load_policy(policy: Artifact) -> Act:
    """Return the artifact's policy as a function from observations to actions."""
    content = policy.manifest.content
    if content.kind == "onnx":
        if content.contract is None:
            raise ArtifactError(f"{policy.ref} carries no contract", "export the policy again")
        return onnx_policy(policy.path("policy.onnx"), content.contract)
    import jax

    from s2rctl.learning.policy_files import load_policy as load_files

    return jax.jit(load_files(policy.folder()).act)


def _environment(context: Context, task: str, worlds: int) -> VecEnv:
    from s2rctl.env.build import make_env

    pilot: Pilot | None = None
    if "pick" in context.inputs:
        from s2rctl.learning.policy_files import load_policy as load_files
        from s2rctl.learning.teachers import pick_pilot

        pilot = pick_pilot(load_files(context.inputs["pick"].folder()))
    return make_env(context.profile, task, worlds, seed=context.seed + SEED_OFFSET, pilot=pilot)


def _write(folder: Path, figures: Mapping[str, Any], episodes: Sequence[Episode]) -> dict[str, Path]:
    evaluation, log = folder / "evaluation.json", folder / "episodes.jsonl"
    write_atomic(evaluation, json.dumps(figures, indent=2).encode())
    lines = [json.dumps(vars(episode)) for episode in episodes]
    write_atomic(log, ("\n".join(lines) + "\n").encode())
    return {"evaluation.json": evaluation, "episodes.jsonl": log}


def chosen(episodes: Sequence[Episode], count: int) -> list[Episode]:
    """Return the first ``count`` successes and the first ``count`` failures of the filmed batch."""
    first = [episode for episode in episodes if episode.batch == 0]
    successes = [episode for episode in first if episode.success][:count]
    return successes + [episode for episode in first if not episode.success][:count]


def _videos(context: Context, env: VecEnv, result: Episodes) -> dict[str, Path]:
    """Film the first successes and failures; returns the files by name."""
    from s2rctl.render.film import Film

    selected = chosen(result.episodes, context.profile.evaluate.videos)
    if not selected:
        return {}
    width, height = FILM_SIZE
    files = {}
    with Film(env.model, "viewer", width, height) as film:
        for number, episode in enumerate(selected):
            outcome = "success" if episode.success else episode.failure.replace("_", "-")
            name = f"{number}-{outcome}.mp4"
            path = context.run_folder / name
            frames = (_frame(film, env, result, episode.world, step) for step in range(episode.steps))
            write_mp4(path, frames, width, height, context.profile.simulation.rate_hz)
            files[name] = path
    return files


def _frame(film: Any, env: VecEnv, result: Episodes, world: int, step: int) -> np.ndarray:
    frame: np.ndarray = film.frame(result.tape.qpos[step][world])
    return compose(frame, [image[world] for image in result.tape.images[step].values()])
