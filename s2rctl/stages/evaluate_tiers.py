"""Stage: play a policy in worlds that nobody trained in, tier by tier on the same starts."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import UsageError
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation import controls, tier_figures
from s2rctl.evaluation.actors import Oracle
from s2rctl.evaluation.episodes import Episodes, play
from s2rctl.evaluation.filming import film_clips
from s2rctl.evaluation.tiers import OWN, TIERS, Played, Tier, chosen_tiers, play_tier, require_same_starts, tier_worlds
from s2rctl.evaluation.worlds import Worlds, make_worlds
from s2rctl.stages.certificate import tiers_digest
from s2rctl.stages.evaluate import about
from s2rctl.stages.evaluate_shards import own_worlds
from s2rctl.stages.policies import Player, evaluated_player
from s2rctl.stages.protocol import Context, Result
from s2rctl.stages.tier_table import TIERS_FILE
from s2rctl.tasks.protocol import Task


def run(context: Context) -> Result:
    """Play the artifact with the role ``onnx`` or ``policy`` in the tiers that ``evaluate.tiers.names`` asks for.

    Writes tiers.json (all figures), the episodes of each tier with what their worlds were drawn, and films. Tiers that
    are finished are kept in the run folder, where a run that was cut off finds them again. Whoever reads the figures
    holds them against the gate, so that another gate needs no other episodes. UsageError for a perturbed profile: tiers
    have departures of their own.
    """
    profile = context.profile
    if profile.evaluate.perturb:
        raise UsageError("--tiers and --perturb cannot be combined", "leave one of them out")
    player = evaluated_player(context.inputs)
    names = chosen_tiers(profile.evaluate.tiers.names, player.images)
    job = _Job(context, player, own_worlds(profile, player.task, profile.evaluate.tiers.episodes, player.images))
    found = {name: job.tier(name) for name in names}
    figures = about(context, player) | {
        "tiers": found,
        "left_out": {name: TIERS[name].title for name in TIERS if name not in chosen_tiers((), player.images)},
        "settings_sha256": tiers_digest(profile, player.task),
    }
    path = context.run_folder / TIERS_FILE
    write_atomic(path, json.dumps(figures, indent=2).encode())
    files = {TIERS_FILE: path, **job.files(found)}
    return Result(files=files, metrics=figures | {"tiers": {n: tier_figures.short(row) for n, row in found.items()}})


_FILMED = 2
"""Every how many steps of an episode are filmed: there are many films."""


@dataclass(frozen=True)
class _Job:
    """One policy in all its tiers."""

    context: Context
    player: Player
    own: Worlds

    def tier(self, name: str) -> dict[str, Any]:
        """Return the figures of a tier: from the run folder if it was finished before, else by playing it."""
        record = self._path(f"{name}.json")
        if record.is_file():
            self.context.reporter.note(f"{name}: finished before")
            found: dict[str, Any] = json.loads(record.read_bytes())
            return found
        settings, tier = self.context.profile.evaluate.tiers, TIERS[name]
        self.context.reporter.start(f"{name} {tier.title}", settings.episodes, "episodes")
        played = play_tier(tier, self.own, self._play, settings.episodes, settings.films)
        figures = tier_figures.plain(tier, played)
        self.context.reporter.finish(f"success {figures['text']}")
        checks = self._controls(tier, played.env)
        if name == OWN:
            self._keep(played)
        else:
            first = self._kept()
            require_same_starts(first.start, played.start, name, self.own)
            figures["paired"] = tier_figures.against(first.success, played.episodes)
            if tier.sees:
                checks["pictures"] = controls.pictures(first.pictures, played.pictures, settings.controls.pictures)
        clips = [(filmed.env, filmed.clip) for filmed in played.films]
        rate_hz = self.context.profile.simulation.rate_hz
        _, figures["clips"] = film_clips(self.context.run_folder, clips, rate_hz, f"{name}-", every=_FILMED)
        figures |= tier_figures.judged(checks)
        lines = [json.dumps(line) for line in tier_figures.lines(played)]
        write_atomic(self._path(f"{name}-episodes.jsonl"), ("\n".join(lines) + "\n").encode())
        write_atomic(record, json.dumps(figures).encode())  # last: a tier with a record is finished
        if figures["void"]:
            self.context.reporter.note(f"{name} is void: {', '.join(figures['void_because'])}")
        return figures

    def files(self, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
        """Return the episodes and films of all tiers by name."""
        names = [f"{name}-episodes.jsonl" for name in found]
        names += [str(clip["file"]) for figures in found.values() for clip in figures["clips"]]
        return {name: self._path(name) for name in names}

    def _play(self, env: Any, episodes: int, **options: Any) -> Episodes:
        seed, context = options.pop("seed"), self.context
        return self.player.play(env, episodes, seed, context.interrupt, reporter=context.reporter, **options)

    def _controls(self, tier: Tier, played: VecEnv) -> dict[str, Any]:
        """Return the positive and the negative control of a tier's physics, which tiers of equal physics share.

        They need no pictures: where the policy saw some, worlds are made again without.
        """
        path = self._path("controls-drawn.json" if tier.dynamics else "controls-own.json")
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_bytes())
            return found
        settings = self.context.profile.evaluate.tiers
        env = make_worlds(tier_worlds(tier, replace(self.own, images=False), 0)) if self.own.images else played
        count = min(env.worlds, settings.episodes)

        def act(title: str, oracle: Oracle) -> Episodes:
            task: Task = env.task
            self.context.reporter.start(f"{title} in {'drawn' if tier.dynamics else 'own'} physics", count, "episodes")
            result = play(
                env, oracle, episodes=count, episode_steps=task.episode_steps, taxonomy=task.failures,
                seed=self.own.seed, reporter=self.context.reporter, interrupt=self.context.interrupt,
            )  # fmt: skip
            self.context.reporter.finish(f"success {result.successes}/{count}")
            return result

        found = {
            "positive": controls.positive(
                act("expert", controls.expert_of(self.own.profile, env)), settings.controls, tier.dynamics
            ),
            "negative": controls.negative(act("nothing", controls.nothing_of(env)), settings.controls),
        }
        write_atomic(path, json.dumps(found).encode())
        return found

    def _path(self, name: str) -> Path:
        return self.context.run_folder / name

    def _keep(self, played: Played) -> None:
        """Keep what the other tiers are compared with."""
        success = np.array([episode.success for episode in played.episodes])
        save(self._path("own.npz"), start=played.start, success=success, **played.pictures)

    def _kept(self) -> "_Kept":
        with np.load(self._path("own.npz"), allow_pickle=False) as file:
            pictures = {name: file[name] for name in file.files if name not in ("start", "success")}
            return _Kept(file["start"], [bool(value) for value in file["success"]], pictures)


def save(path: Path, **arrays: Any) -> None:
    """Write arrays to a file that is there whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


@dataclass(frozen=True)
class _Kept:
    """Of T0, episode by episode."""

    start: np.ndarray  # (N, nq)
    success: list[bool]
    pictures: Mapping[str, np.ndarray]  # rgb_<camera> -> (N, H, W, 3)
