"""The episodes of an evaluation, all here or in shards; they are the same ones, bit for bit.

Episodes are played in batches of so many worlds. What a batch is drawn from is the seed and its number, and policies
begin it without memory, so batches know nothing of each other. A shard is some of them in a row: within a batch the
draws of one world depend on how many there are (``env/keys.py``), so a batch is never divided.
"""

import itertools
import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2rctl.core.compile_cache import hurry
from s2rctl.core.errors import Interrupted, RunError, S2rError
from s2rctl.core.interrupt import Interrupt, interruptible
from s2rctl.core.progress import Reporter
from s2rctl.core.seeds import derived_seed
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.episodes import Clip, Episodes, chosen
from s2rctl.evaluation.perception import truth_of
from s2rctl.evaluation.worlds import Worlds, make_worlds
from s2rctl.robots import ROBOTS
from s2rctl.schema.load import load_resolved
from s2rctl.schema.profile import Profile
from s2rctl.stages.policies import Player, load_player
from s2rctl.stages.work import Spread, Work
from s2rctl.store.lineage import closure
from s2rctl.store.store import Artifact, Store


@dataclass(frozen=True)
class Slice:
    """Episodes in a row that begin with a batch."""

    first: int  # batch
    episodes: int


@dataclass(frozen=True)
class Asked:
    """What is to be played."""

    profile: Profile
    task: str
    images: bool  # whether some policy sees camera images
    clips: int  # what to keep for films, see ``episodes.play``

    @property
    def episodes(self) -> int:
        """How many episodes there are in all."""
        return self.profile.evaluate.gate.episodes

    @property
    def count(self) -> int:
        """How many worlds a batch has."""
        return min(self.profile.evaluate.worlds, self.episodes)

    @property
    def whole(self) -> Slice:
        """All episodes."""
        return Slice(0, self.episodes)

    def worlds(self) -> Worlds:
        """Return the worlds of a batch."""
        return own_worlds(self.profile, self.task, self.episodes, self.images)

    def slices(self, shards: int) -> list[Slice]:
        """Return all episodes in at most so many slices of whole batches, as equal as can be, in their order."""
        batches = -(-self.episodes // self.count)
        parts = min(shards, batches)
        ends = [batches * part // parts for part in range(parts + 1)]
        return [
            Slice(first, min(last * self.count, self.episodes) - first * self.count)
            for first, last in itertools.pairwise(ends)
        ]


def own_worlds(profile: Profile, task: str, episodes: int, images: bool) -> Worlds:
    """Return the worlds in which policies of a task are evaluated: the profile's own, with its perturbations."""
    settings = profile.evaluate
    count = min(settings.worlds, episodes)
    seed = derived_seed(profile.seed, "evaluate")  # never the episodes that training with this seed saw
    return Worlds(profile, task, count, seed, images=images, perturb=settings.perturb)


def play_slice(
    asked: Asked, env: VecEnv, player: Player, part: Slice, reporter: Reporter, interrupt: Interrupt
) -> Episodes:
    """Play some episodes here; ``env`` has ``asked.worlds()``."""
    robot = ROBOTS.load(asked.profile.robot.name)
    truths = {item.output: truth_of(env, robot, item.of, item.frame) for item in player.estimates}
    options: dict[str, Any] = {"truths": truths, "clips": asked.clips, "first": part.first}
    return player.play(env, part.episodes, asked.worlds().seed, interrupt, reporter=reporter, **options)


@dataclass(frozen=True)
class Played:
    """What came of a shard: its episodes, or why there are none."""

    index: int
    episodes: Episodes | None = None
    error: str = ""


@dataclass(frozen=True)
class Shard(Work):
    """A slice of an evaluation."""

    profile: Mapping[str, Any]  # resolved
    images: bool
    clips: int
    policy: str  # id of the one that plays
    pilot: str  # id of the one that drives until it acts, in place of the one that it was trained with; empty: none
    part: Slice

    def do(self, reporter: Reporter) -> Played:
        """Play the episodes."""
        try:
            store = Store(Path(self.store))
            player = load_player(store.get(self.policy), store.get(self.pilot) if self.pilot else None)
            asked = Asked(load_resolved(self.profile).profile, player.task, self.images, self.clips)
            if asked.profile.simulation.compilation == "quick":  # this process may be on another computer
                hurry(os.environ)
            with interruptible() as interrupt:
                env = make_worlds(asked.worlds())
                return Played(self.index, play_slice(asked, env, player, self.part, reporter, interrupt))
        except Interrupted:
            raise
        except S2rError as error:
            return self.lost(error)
        except Exception as error:
            return Played(self.index, error=f"unexpected {type(error).__name__}: {error}")

    def lost(self, error: S2rError) -> Played:
        """Return that the shard ended with an error."""
        return Played(self.index, error=error.message)

    def needs(self, store: Store) -> Set[str]:
        """Return the policies and everything that they were made from."""
        return closure(store, [item for item in (self.policy, self.pilot) if item])


def in_shards(asked: Asked, policy: Artifact, pilot: str, spread: Spread, reporter: Reporter) -> Episodes:
    """Play all episodes of a policy in shards, and put them together; ``pilot`` as in ``Shard``.

    RunError if a shard failed: an evaluation has all of its episodes or is none.
    """
    pieces = _pieces(asked, policy, pilot, spread.shards)
    if len(pieces) < spread.shards:
        reporter.note(f"{asked.episodes} episodes are {len(pieces)} batches of {asked.count} worlds: as many shards")
    found: dict[int, Episodes] = {}
    for played in spread.launcher.run(pieces, reporter):
        if played.episodes is None:
            raise RunError(f"{pieces[played.index].name} failed: {played.error}", "run the same command again")
        found[played.index] = played.episodes
        done = sum(len(part.episodes) for part in found.values())
        reporter.update(done, {"success": sum(part.successes for part in found.values()) / done})
    return together([found[index] for index in sorted(found)], asked.clips)


def _pieces(asked: Asked, policy: Artifact, pilot: str, shards: int) -> list[Shard]:
    store, profile = str(policy.store.root.absolute()), asked.profile.model_dump(mode="json")
    pieces = []
    for index, part in enumerate(asked.slices(shards)):
        first = part.first * asked.count
        name = f"shard {index + 1}: episodes {first} to {first + part.episodes - 1}"
        again = "the same command"
        pieces.append(Shard(index, name, store, again, profile, asked.images, asked.clips, policy.id, pilot, part))
    return pieces


def together(parts: Sequence[Episodes], clips: int) -> Episodes:
    """Return slices in a row as if they had been played in one go.

    What is filmed are the first few successes and failures and the first failure of each kind. What comes first in all
    episodes comes first in its slice, too, so the slices' clips hold whatever has to be kept.
    """
    records = tuple(episode for part in parts for episode in part.episodes)
    taped: dict[tuple[int, int], Clip] = {
        (clip.episode.batch, clip.episode.world): clip for part in parts for clip in part.clips
    }
    kept = tuple(taped[episode.batch, episode.world] for episode in chosen(records, clips))
    return Episodes(records, kept, parts[0].start)
