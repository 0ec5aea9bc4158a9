"""The loop around PPO: progress, judging from the start, checkpoints, interruption, stopping when good enough."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import Interrupted, RunError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.metrics_log import MetricsLog
from s2rctl.learning.teacher.networks import Params
from s2rctl.learning.teacher.ppo import PpoState, PpoTrainer, Taught

WINDOW = 64
"""Iterations whose episodes make up the success rate that progress shows."""
Judge = Callable[[Params], tuple[int, int]]
"""Published parameters -> successes and episodes, deterministic, from the task's own start."""
Enough = Callable[[int, int], bool]
"""Successes and episodes -> whether the gate is met with confidence."""
Interval = Callable[[int, int], tuple[float, float]]
"""Successes and episodes -> confidence interval of the rate."""


class Snapshot(NamedTuple):
    """What a checkpoint keeps: a pytree."""

    state: PpoState
    best: Params  # published parameters of the best judgement so far
    best_count: np.ndarray  # (2,) int64: its successes and episodes; 0 episodes: not judged yet
    window: np.ndarray  # (WINDOW, 2) int64: successes and episodes of the last iterations
    judged: np.ndarray  # () int64, iteration of the last judgement


@dataclass(frozen=True)
class Limits:
    """When to stop and how often to save."""

    checkpoint_interval_s: float
    stop_early: bool
    enough: Enough
    gate: float  # success rate that ``enough`` asks for; 0: none
    interval: Interval
    episodes: int  # of the rolling count that asks for a judgement before its turn
    judgements: int  # from the start, over the whole training, besides the one before it


@dataclass(frozen=True)
class Surroundings:
    """What the loop talks to."""

    checkpoints: Checkpoints
    log: MetricsLog
    reporter: Reporter
    interrupt: Interrupt
    first_step: int  # environment steps before PPO (the warm start's), where the curve goes on
    show: Callable[[Params], None] = lambda params: None  # is given the policy as it is, at every checkpoint


def start(trainer: PpoTrainer, key: jax.Array, taught: Taught | None, checkpoints: Checkpoints) -> Snapshot:
    """Return the newest checkpoint, or the state before the first iteration."""
    state = trainer.start(key, taught)
    fresh = Snapshot(
        state=state,
        best=trainer.published(state.learner),
        best_count=np.zeros(2, np.int64),
        window=np.zeros((WINDOW, 2), np.int64),
        judged=np.array(-1, np.int64),
    )
    if checkpoints.latest() is None:
        return fresh
    restored: Snapshot = checkpoints.restore(fresh)
    return restored


def train(trainer: PpoTrainer, snapshot: Snapshot, judge: Judge, limits: Limits, around: Surroundings) -> Snapshot:
    """Train to the last iteration, or until the judged success is enough; ``best`` is what to publish.

    Saves a checkpoint at every interval and at the end. Raises Interrupted after a checkpoint when asked to stop,
    RunError when the networks are no longer finite.
    """
    saved = time.monotonic()
    while True:
        iteration = int(snapshot.state.iteration)
        if _judgement_is_due(trainer, snapshot, limits):
            snapshot = _judged(trainer, snapshot, judge, around)
        if _finished(trainer, snapshot, limits):
            break
        if around.interrupt.requested:
            around.checkpoints.save(iteration, snapshot)
            raise Interrupted("training was interrupted; its progress is kept", "run the same command again")
        if time.monotonic() - saved > limits.checkpoint_interval_s:
            # After the judgement, so that no resumed run judges the same policy twice.
            around.checkpoints.save(iteration, snapshot)
            around.show(trainer.published(snapshot.state.learner))
            saved = time.monotonic()
        begun = time.monotonic()
        state, figures = trainer.iterate(snapshot.state)
        numbers = {name: float(value) for name, value in jax.device_get(figures).items()}
        if not np.isfinite(numbers["value_loss"]) or not np.isfinite(numbers["kl"]):
            raise RunError("training diverged: a loss is not finite", "lower ppo.learning_rate, or start with --fresh")
        spent = time.monotonic() - begun
        window = np.roll(snapshot.window, 1, axis=0)
        window[0] = int(numbers["successes"]), int(numbers["episodes"])
        snapshot = snapshot._replace(state=state, window=window)
        _report(trainer, snapshot, numbers, spent, limits, around)
    around.checkpoints.save(int(snapshot.state.iteration), snapshot)
    return snapshot


def _judgement_is_due(trainer: PpoTrainer, snapshot: Snapshot, limits: Limits) -> bool:
    """Return whether to look at the policy from the start: in turn, at the end, or when it seems good enough.

    The rolling count is of exploring episodes, some from the state bank: it may ask for a judgement, never replace it.
    """
    iteration, judged = int(snapshot.state.iteration), int(snapshot.judged)
    if judged == iteration:
        return False
    since = iteration - judged
    if judged < 0 or iteration >= trainer.iterations or since * limits.judgements >= trainer.iterations:
        return True
    if not limits.stop_early or since * limits.judgements * 4 < trainer.iterations:
        return False
    successes, episodes = _recent(snapshot.window, limits.episodes)
    return episodes >= limits.episodes and limits.enough(successes, episodes)


def _recent(window: np.ndarray, episodes: int) -> tuple[int, int]:
    """Return successes and episodes of the fewest last iterations that have that many episodes (or of all)."""
    sums = np.cumsum(window, axis=0)
    row = min(int(np.searchsorted(sums[:, 1], episodes)), len(sums) - 1)
    return int(sums[row, 0]), int(sums[row, 1])


def _judged(trainer: PpoTrainer, snapshot: Snapshot, judge: Judge, around: Surroundings) -> Snapshot:
    published = trainer.published(snapshot.state.learner)
    successes, episodes = judge(published)
    best, best_count = snapshot.best, snapshot.best_count
    if best_count[1] == 0 or successes * best_count[1] >= best_count[0] * episodes:
        # A copy: the learner's own buffers may be given away to the next iteration.
        best, best_count = jax.tree.map(jnp.array, published), np.array([successes, episodes], np.int64)
    step = around.first_step + int(snapshot.state.iteration) * trainer.steps_per_iteration
    around.log.record(step, {"successes": successes, "episodes": episodes}, "evaluation")
    around.reporter.update(_done(trainer, snapshot), {"from_start": successes / episodes})
    return snapshot._replace(best=best, best_count=best_count, judged=np.array(snapshot.state.iteration, np.int64))


def _finished(trainer: PpoTrainer, snapshot: Snapshot, limits: Limits) -> bool:
    if int(snapshot.state.iteration) >= trainer.iterations:
        return True
    successes, episodes = (int(n) for n in snapshot.best_count)
    return limits.stop_early and episodes > 0 and limits.enough(successes, episodes)


def _done(trainer: PpoTrainer, snapshot: Snapshot) -> int:
    return int(snapshot.state.iteration) * trainer.steps_per_iteration


def _report(
    trainer: PpoTrainer,
    snapshot: Snapshot,
    numbers: dict[str, float],
    seconds: float,
    limits: Limits,
    around: Surroundings,
) -> None:
    """Log one iteration and say how it goes."""
    done = _done(trainer, snapshot)
    successes, episodes = (int(n) for n in snapshot.window.sum(axis=0))
    rate = trainer.steps_per_iteration / max(seconds, 1e-9)
    around.log.record(around.first_step + done, numbers | {"steps_per_second": rate}, "ppo")
    shown = {"reward": numbers["reward"], "kl": numbers["kl"]}
    if episodes:
        low, high = limits.interval(successes, episodes)
        shown |= {"success": successes / episodes, "success_low": low, "success_high": high}
        iterations = iterations_to(snapshot.window, limits.gate)
        if iterations is not None:
            shown["gate_in_s"] = iterations * seconds
    around.reporter.update(done, shown | {"steps_per_second": rate})


def iterations_to(window: np.ndarray, gate: float) -> float | None:
    """Return after how many iterations success would be ``gate`` if it went on as in ``window`` (newest first).

    None where there is no telling: it does not rise, or too few episodes ended.
    """
    half = len(window) // 2
    (new, new_episodes), (old, old_episodes) = window[:half].sum(axis=0), window[half:].sum(axis=0)
    if gate <= 0 or not new_episodes or not old_episodes:
        return None
    now, rise = new / new_episodes, (new / new_episodes - old / old_episodes) / half
    if now >= gate:
        return 0.0
    return float((gate - now) / rise) if rise > 0 else None
