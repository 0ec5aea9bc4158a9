"""Stage: a state teacher. Imitation of the scripted expert first, then reinforcement learning."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2rctl.evaluation.statistics import format_rate, wilson
from s2rctl.learning.curves import Panel, draw, series, smoothed
from s2rctl.learning.metrics_log import event_files, read
from s2rctl.learning.policy_files import save_policy
from s2rctl.stages.protocol import Context, Result
from s2rctl.stages.teacher_run import TeacherRun

_FINAL = 1000
"""Number of the first random batch that judges what is published: none that chose it."""


def run(context: Context) -> Result:
    """Train the teacher that the stage is named after: imitation of the task's expert, then PPO.

    A teacher with a pilot learns from the moment that the pilot hands over.
    """
    return _train(TeacherRun(context))


def _train(run: TeacherRun) -> Result:
    """Train, judge once more on fresh episodes, and return policy, log and curves."""
    folder, reporter = run.context.run_folder, run.context.reporter
    params, steps = run.train()
    batches = -(-run.phase.gate.episodes // run.home.worlds)
    successes, episodes = run.judge(params, _FINAL, batches)
    low, high = wilson(successes, episodes)
    files = save_policy(folder, "teacher", run.settings.model_dump(mode="json"), params)
    log, curve = folder / "metrics.jsonl", folder / "curve.png"
    records = read(log)
    draw_curve(curve, records)
    reporter.finish(f"{run.task} teacher: {format_rate(successes, episodes)} from home, deterministic policy")
    metrics = {
        "env_steps": steps,
        "episodes": episodes,
        "successes": successes,
        "success_rate": round(successes / episodes, 4),
        "wilson_low": round(low, 4),
        "wilson_high": round(high, 4),
        "text": format_rate(successes, episodes),
        "steps_per_second": _rate(records),
        "minutes": max((record["minutes"] for record in records), default=0.0),
    }
    return Result({**files, log.name: log, curve.name: curve, **event_files(folder)}, metrics)


def _rate(records: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the median environment steps per second of PPO, learner included; None without PPO."""
    rates = sorted(record["steps_per_second"] for record in records if record["kind"] == "ppo")
    return round(rates[len(rates) // 2], 1) if rates else None


def draw_curve(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Draw success and reward against environment steps and against minutes."""
    judged = [record for record in records if record["kind"] == "evaluation"]
    rows = []
    for x, label in (("step", "environment steps, warm start included"), ("minutes", "minutes")):
        bars = [
            (record[x], record["successes"] / record["episodes"], *wilson(record["successes"], record["episodes"]))
            for record in judged
        ]
        success = Panel(label, "success", _success(records, x), {"from the start, 95 %": bars}, limits=(0.0, 1.0))
        reward = {name: smoothed(points, 0.05) for name, points in series(records, x, ("reward",)).items()}
        rows.append([success, Panel(label, "reward per step", reward)])
    draw(path, rows)


def _success(records: Sequence[Mapping[str, Any]], x: str) -> dict[str, list[tuple[float, float]]]:
    """Return the success of the episodes seen while learning: imitation by round, PPO smoothed."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for kind, name in (("warm_start", "imitation"), ("ppo", "PPO, exploring")):
        points = [(r[x], r["successes"] / r["episodes"]) for r in records if r["kind"] == kind and r["episodes"]]
        lines[name] = points if kind == "warm_start" else smoothed(points, 0.05)
    return lines
