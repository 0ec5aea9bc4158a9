"""Honest episodes: every world plays exactly one, from its own start, and only that one counts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.env import stepping
from s2rctl.env.keys import make_key
from s2rctl.env.types import EnvState, Step
from s2rctl.evaluation.actors import Act, Actor, Oracle, Playing
from s2rctl.evaluation.perception import Truth
from s2rctl.evaluation.seen import pictures
from s2rctl.evaluation.statistics import exact, rate
from s2rctl.learning.teacher.rollout import acting


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
    largest_error: float | None = None  # the largest
    estimate_errors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # m, at each step, by name


@dataclass(frozen=True)
class Clip:
    """What is needed to film one episode of T control steps: coordinates and policy images at every step."""

    episode: Episode
    qpos: np.ndarray  # (T, nq)
    images: dict[str, np.ndarray]  # input name -> (T, H, W, 3) uint8


@dataclass
class _Tape:
    """All worlds of the batch under way."""

    qpos: list[np.ndarray] = field(default_factory=list)  # each (B, nq)
    images: list[dict[str, np.ndarray]] = field(default_factory=list)  # input name -> (B, H, W, 3) uint8

    def record(self, state: EnvState) -> None:
        """Add the state that the next action is chosen in."""
        self.qpos.append(np.asarray(state.physics.qpos))
        inputs = state.observation.inputs
        self.images.append(pictures(inputs))

    def clip(self, episode: Episode) -> Clip:
        """Cut out one world's first episode."""
        steps = range(episode.steps)
        names = self.images[0] if self.images else {}
        return Clip(
            episode,
            np.stack([self.qpos[step][episode.world] for step in steps]),
            {name: np.stack([self.images[step][name][episode.world] for step in steps]) for name in names},
        )


@dataclass(frozen=True)
class Episodes:
    """All episodes of an evaluation, and the clips of some."""

    episodes: tuple[Episode, ...]
    clips: tuple[Clip, ...]
    start: np.ndarray  # (B, nq) coordinates at the start of the first batch: equal for runs that can be compared

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
        self.largest = np.zeros(worlds)
        self.estimates: dict[str, list[np.ndarray]] = {}  # error of each estimate, (B,) m for each step

    def add(self, step: Step, error: np.ndarray | None) -> None:
        """Count one control step of the worlds whose first episode still runs; ``error`` is (B, n)."""
        alive = self.alive
        success, done = np.asarray(step.success), np.asarray(step.done)
        self.steps += alive
        self.reward += alive * np.nan_to_num(np.asarray(step.reward, float))
        self.ever |= alive & success
        if error is not None:
            self.error += alive * error.mean(axis=1)
            self.largest = np.where(alive, np.maximum(self.largest, error.max(axis=1)), self.largest)
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
                largest_error=float(self.largest[i]) if with_error else None,
                estimate_errors={
                    name: tuple(round(float(row[i]), 5) for row in rows[: self.steps[i]])
                    for name, rows in self.estimates.items()
                },
            )
            for i in range(len(self.steps))
        ]


def _name(taxonomy: Sequence[str], index: int) -> str:
    """Name a failure; an episode that ended by time without success is a timeout."""
    return taxonomy[index] if 0 < index < len(taxonomy) else "timeout"


def play(
    env: Any,
    act: Act | Actor | Oracle,
    *,
    episodes: int,
    episode_steps: int,
    taxonomy: Sequence[str],
    seed: int,
    reporter: Reporter,
    interrupt: Interrupt,
    pilot: Act | None = None,
    reference: Act | Actor | None = None,
    truths: Mapping[str, Truth] | None = None,
    clips: int = 0,
    first: int = 0,
    begun: Callable[[EnvState], None] | None = None,
) -> Episodes:
    """Play at least one batch and as many as ``episodes`` need; each world contributes its first episode only.

    ``env`` is a VecEnv, or anything with its ``worlds``, ``reset`` and ``step``. ``pilot`` drives every world until the
    task says that the policy acts. ``reference`` (for example the teacher) is asked for its action on the same
    observations, to measure the action error; it never acts. Policies with memory begin each batch anew.
    ``truths`` are what the policy's estimates are compared with, by output. ``clips`` keeps what ``chosen`` chooses for
    filming; ``first`` is the number of the first batch, for callers that play batch by batch; ``begun`` is told of the
    state in which each batch begins. Raises Interrupted between steps when asked to stop.
    """
    records: list[Episode] = []
    kept: list[Clip] = []
    start = np.zeros((0, 0))
    for batch in range(first, first - (-episodes // env.worlds)):
        state = stepping.reset(env, jax.random.fold_in(make_key(seed), batch))
        start = np.asarray(state.physics.qpos) if batch == first else start
        if begun is not None:
            begun(state)
        book, tape, drive = _Batch(env.worlds), _Tape(), Playing(act, env.worlds)
        compare = None if reference is None else Playing(reference, env.worlds)
        for truth in (truths or {}).values():
            truth.begin()
        for index in range(episode_steps):
            if interrupt.requested:
                raise Interrupted("evaluation interrupted", "run the same command again")
            action = drive.of(state)
            for name, truth in (truths or {}).items():
                book.estimates.setdefault(name, []).append(truth.error(state, drive.estimates[name]))
            error = None if compare is None else np.abs(action - compare(state.observation))
            if pilot is not None:
                action = np.where(np.asarray(acting(env, state))[:, None], action, pilot(state.observation))
            if clips:
                tape.record(state)
            state, outcome = stepping.step(env, state, jax.numpy.asarray(action, dtype=jax.numpy.float32))
            book.add(outcome, error)
            if not book.alive.any():
                break
            done = (batch + (index + 1) / episode_steps) * env.worlds
            reporter.update(min(done, first * env.worlds + episodes), _so_far(records, book))
        played = book.episodes(batch, taxonomy, reference is not None)[: episodes - len(records)]
        records += played
        kept += [tape.clip(episode) for episode in chosen(played, clips, [clip.episode for clip in kept])]
    return Episodes(tuple(records), tuple(kept), start)


def chosen(played: Sequence[Episode], count: int, before: Sequence[Episode] = ()) -> list[Episode]:
    """Return which episodes to film: the first ``count`` successes and failures, and the first failure of each kind.

    ``before`` are those that were chosen already.
    """
    if not count:
        return []
    found: list[Episode] = []
    for episode in played:
        known = [*before, *found]
        alike = sum(other.success == episode.success for other in known)
        new = not episode.success and episode.failure not in {other.failure for other in known}
        if alike < count or new:
            found.append(episode)
    return found


def _so_far(records: Sequence[Episode], book: _Batch) -> dict[str, float]:
    ended = ~book.alive
    finished = len(records) + int(ended.sum())
    if not finished:
        return {}
    return {"success": (sum(e.success for e in records) + int((book.success & ended).sum())) / finished}


def failure_rows(episodes: Sequence[Episode]) -> list[dict[str, object]]:
    """Return the failure taxonomy as rows, most frequent first.

    ``kind``, ``episodes``, their share of all episodes with the exact interval, ``steps_median`` until the end, and how
    many had met the goal at some step (``ever_successful``).
    """
    rows = []
    for kind, count in Counter(e.failure for e in episodes if not e.success).most_common():
        group = [e for e in episodes if not e.success and e.failure == kind]
        low, high = exact(count, len(episodes))
        rows.append(
            {
                "kind": kind,
                "episodes": count,
                "share": count / len(episodes),
                "interval_low": low,
                "interval_high": high,
                "steps_median": float(np.median([e.steps for e in group])),
                "ever_successful": sum(e.ever for e in group),
            }
        )
    return rows


def summary(result: Episodes) -> dict[str, object]:
    """Return the figures that ``evaluate --json`` carries."""
    episodes = len(result.episodes)
    figures: dict[str, object] = {
        **rate(result.successes, episodes),
        "ever_successful": sum(e.ever for e in result.episodes),
        "failures": result.failures,
        "failure_rows": failure_rows(result.episodes),
        "mean_steps": float(np.mean([e.steps for e in result.episodes])),
        "mean_reward": float(np.mean([e.total_reward for e in result.episodes])),
    }
    errors = [e.action_error for e in result.episodes if e.action_error is not None]
    if errors:
        figures["action_error"] = float(np.mean(errors))
    return figures
