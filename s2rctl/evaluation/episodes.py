"""Honest episodes: every world plays exactly one, from its own start, and only that one counts."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.env import stepping
from s2rctl.env.keys import make_key
from s2rctl.env.stepping import Steppable
from s2rctl.env.types import EnvState, Step
from s2rctl.evaluation.statistics import format_rate, wilson
from s2rctl.tasks.protocol import Observation

Act = Callable[[Observation], np.ndarray | jax.Array]
"""A policy as evaluation sees it: observation of B worlds -> action (B, n) in [-1, 1]."""


@dataclass(frozen=True)
class Episode:
    """One episode's result."""

    world: int
    batch: int
    success: bool  # the goal was met at the last step
    ever: bool  # the goal was met at some step
    failure: str  # taxonomy entry, "none" for a success
    steps: int
    total_reward: float
    action_error: float | None = None  # mean |action - reference action|, when a reference policy was given


@dataclass
class Tape:
    """What is needed to film the episodes of one batch: coordinates and policy images at every step."""

    qpos: list[np.ndarray] = field(default_factory=list)  # each (B, nq)
    images: list[dict[str, np.ndarray]] = field(default_factory=list)  # rgb_<camera> -> (B, H, W, 3) uint8
    ctrl: list[np.ndarray] = field(default_factory=list)  # each (B, nu)


@dataclass(frozen=True)
class Episodes:
    """All episodes of an evaluation and the tape of the first batch."""

    episodes: tuple[Episode, ...]
    tape: Tape

    @property
    def successes(self) -> int:
        """Number of episodes that ended in success."""
        return sum(e.success for e in self.episodes)

    @property
    def failures(self) -> dict[str, int]:
        """Count of failed episodes by taxonomy entry, most frequent first."""
        return dict(Counter(e.failure for e in self.episodes if not e.success).most_common())


class _Batch:
    """Bookkeeping of one batch: freezes each world's record at the end of its first episode."""

    def __init__(self, worlds: int) -> None:
        self.alive = np.ones(worlds, bool)
        self.success = np.zeros(worlds, bool)
        self.ever = np.zeros(worlds, bool)
        self.failure = np.zeros(worlds, int)
        self.steps = np.zeros(worlds, int)
        self.reward = np.zeros(worlds)
        self.error = np.zeros(worlds)

    def add(self, step: Step, error: np.ndarray | None) -> None:
        """Count one control step of the worlds whose first episode still runs."""
        alive = self.alive
        success, done = np.asarray(step.success), np.asarray(step.done)
        self.steps += alive
        self.reward += alive * np.nan_to_num(np.asarray(step.reward, float))
        self.ever |= alive & success
        if error is not None:
            self.error += alive * error
        ended = alive & done
        self.success = np.where(ended, success, self.success)
        self.failure = np.where(ended, np.asarray(step.failure), self.failure)
        self.alive = alive & ~done

    def episodes(self, batch: int, taxonomy: Sequence[str], with_error: bool) -> list[Episode]:
        """Return the records; a world whose episode did not end counts as a failure."""
        return [
            Episode(
                world=i,
                batch=batch,
                success=bool(self.success[i]) and not self.alive[i],
                ever=bool(self.ever[i]),
                failure="none" if self.success[i] else _name(taxonomy, int(self.failure[i])),
                steps=int(self.steps[i]),
                total_reward=float(self.reward[i]),
                action_error=float(self.error[i] / max(self.steps[i], 1)) if with_error else None,
            )
            for i in range(len(self.steps))
        ]


def _name(taxonomy: Sequence[str], index: int) -> str:
    """Name a failure; an episode that ended by time without success is a timeout."""
    return taxonomy[index] if 0 < index < len(taxonomy) else "timeout"


def play(
    env: Steppable,
    act: Act,
    *,
    episodes: int,
    episode_steps: int,
    taxonomy: Sequence[str],
    seed: int,
    reporter: Reporter,
    interrupt: Interrupt,
    reference: Act | None = None,
) -> Episodes:
    """Play at least one batch and as many as ``episodes`` need; each world contributes its first episode only.

    ``reference`` (for example the teacher) is asked for its action on the same observations, to measure the action
    error; it never acts. Raises Interrupted between steps when asked to stop.
    """
    records: list[Episode] = []
    tape = Tape()
    for batch in range(-(-episodes // env.worlds)):
        state = stepping.reset(env, jax.random.fold_in(make_key(seed), batch))
        book = _Batch(env.worlds)
        for index in range(episode_steps):
            if interrupt.requested:
                raise Interrupted("evaluation interrupted", "run the same command again")
            action = act(state.observation)
            error = None
            if reference is not None:
                error = np.abs(np.asarray(action) - np.asarray(reference(state.observation))).mean(axis=1)
            if batch == 0:
                _record(tape, state)
            state, outcome = stepping.step(env, state, jax.numpy.asarray(action, dtype=jax.numpy.float32))
            book.add(outcome, error)
            if not book.alive.any():
                break
            done = batch * env.worlds + env.worlds * (index + 1) / episode_steps
            reporter.update(min(done, episodes), _so_far(records, book))
        records += book.episodes(batch, taxonomy, reference is not None)
    return Episodes(tuple(records[:episodes]), tape)


def _record(tape: Tape, state: EnvState) -> None:
    tape.qpos.append(np.asarray(state.physics.qpos))
    tape.ctrl.append(np.asarray(state.physics.ctrl))
    inputs = state.observation.inputs
    tape.images.append({name: np.asarray(value) for name, value in inputs.items() if name.startswith("rgb_")})


def _so_far(records: Sequence[Episode], book: _Batch) -> dict[str, float]:
    ended = ~book.alive
    finished = len(records) + int(ended.sum())
    if not finished:
        return {}
    return {"success": (sum(e.success for e in records) + int((book.success & ended).sum())) / finished}


def summary(result: Episodes) -> dict[str, object]:
    """Return the figures that ``evaluate --json`` carries."""
    episodes = len(result.episodes)
    low, high = wilson(result.successes, episodes)
    figures: dict[str, object] = {
        "episodes": episodes,
        "successes": result.successes,
        "success_rate": result.successes / episodes,
        "wilson_low": low,
        "wilson_high": high,
        "text": format_rate(result.successes, episodes),
        "ever_successful": sum(e.ever for e in result.episodes),
        "failures": result.failures,
        "mean_steps": float(np.mean([e.steps for e in result.episodes])),
        "mean_reward": float(np.mean([e.total_reward for e in result.episodes])),
    }
    errors = [e.action_error for e in result.episodes if e.action_error is not None]
    if errors:
        figures["action_error"] = float(np.mean(errors))
    return figures
