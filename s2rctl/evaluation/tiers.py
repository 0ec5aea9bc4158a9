"""Tiers: worlds that nobody trained in, from a second look to everything at once, all on the same starts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import mujoco
import numpy as np

from s2rctl.core.errors import RunError, UsageError
from s2rctl.core.seeds import derived_seed
from s2rctl.core.tables import suggestion
from s2rctl.env.build import make_images, make_model, profile_dynamics
from s2rctl.env.dynamics import Draws
from s2rctl.env.images import Imaging
from s2rctl.env.laboratory import LaboratoryImages, laboratory_images
from s2rctl.env.types import EnvState
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.camera_edge import Edge, EdgeCameras
from s2rctl.evaluation.episodes import Clip, Episode, Episodes, chosen
from s2rctl.evaluation.seen import pictures
from s2rctl.evaluation.worlds import Worlds, make_worlds
from s2rctl.schema.laboratory import LookRanges


@dataclass(frozen=True)
class Tier:
    """One row of the table: what differs from the profile's own worlds."""

    title: str
    changes: str
    look: str = ""  # field of ``evaluate.tiers`` whose ranges a second renderer draws from; empty: the profile's own
    camera: bool = False  # cameras stand at the edge
    dynamics: bool = False  # dynamics are drawn

    @property
    def sees(self) -> bool:
        """Whether only a policy with cameras could tell."""
        return bool(self.look) or self.camera


OWN = "T0"
TIERS: Mapping[str, Tier] = {
    OWN: Tier("own worlds", "nothing: the worlds of the profile"),
    "T1": Tier(
        "another look", "a second renderer, the maker's meshes, other surfaces, lights and sensors", look="look"
    ),
    "T2": Tier("a harsh look", "the same, and photographs, clutter, hard light and bad pictures", look="harsh"),
    "T3": Tier("another physics", "friction, masses, joints, motors, gripper, latency and sizes", dynamics=True),
    "T4": Tier("cameras at the edge", "cameras as far off as placing and calibration leave them", camera=True),
    "T5": Tier("all together", "harsh look, physics and cameras at once", look="harsh", camera=True, dynamics=True),
}
"""All tiers by name, easiest first."""


def applying(images: bool) -> tuple[str, ...]:
    """Return the tiers that differ for a policy; one without cameras has T0 and T3 only, and T5 would be T3 again."""
    return tuple(name for name, tier in TIERS.items() if images or not tier.sees)


def chosen_tiers(asked: Sequence[str], images: bool) -> tuple[str, ...]:
    """Return the tiers to play, T0 first: pairs need it. None asked for: all that apply.

    Raises UsageError for a tier that nothing would be different in.
    """
    known = applying(images)
    for name in asked:
        if name not in TIERS:
            raise UsageError(f"there is no tier '{name}'", suggestion(name, list(TIERS)))
        if name not in known:
            raise UsageError(
                f"{name} ({TIERS[name].title}) changes what cameras see, and this policy has no cameras",
                f"tiers of such a policy: {', '.join(known)}",
            )
    return tuple(name for name in known if not asked or name == OWN or name in asked)


class Play(Protocol):
    """How a policy plays first episodes of an environment."""

    def __call__(self, env: VecEnv, episodes: int, **options: Any) -> Episodes:
        """Play; ``options`` are those of ``episodes.play``."""


@dataclass(frozen=True)
class Filmed:
    """An episode to film, and the environment that it was played in."""

    clip: Clip
    env: VecEnv


@dataclass(frozen=True)
class Played:
    """What one tier gave, over all its batches."""

    episodes: tuple[Episode, ...]
    films: tuple[Filmed, ...]
    env: VecEnv  # of the first batch
    start: np.ndarray  # (N, nq) coordinates at each episode's start
    pictures: Mapping[str, np.ndarray]  # rgb_<camera> -> (N, H, W, 3) uint8: the first of each episode
    drawn: Mapping[str, np.ndarray]  # axis -> (N,) what each episode's world was drawn


def tier_worlds(tier: Tier, own: Worlds, batch: int) -> Worlds:
    """Return the worlds of one batch of a tier: equal for equal seeds, whichever policy plays and tier it is."""
    found = own
    if tier.dynamics:
        seed = derived_seed(own.seed, "tiers", "dynamics", batch)
        found = replace(found, dynamics=profile_dynamics(own.profile, own.task, own.count, seed))
    if tier.sees and own.images:
        found = replace(found, imaging=tier_images(tier, own))
    return found


def tier_images(tier: Tier, own: Worlds) -> Imaging:
    """Return what the policy's cameras show in a tier that looks different."""
    model = make_model(own.profile, own.task)
    if not tier.look:
        return EdgeCameras(make_images(own.profile, own.task, model), model, Edge(own.profile))
    look: LookRanges = getattr(own.profile.evaluate.tiers, tier.look)
    return laboratory_images(own.profile, own.task, model, Edge(own.profile).of(look) if tier.camera else look)


def play_tier(tier: Tier, own: Worlds, play: Play, episodes: int, films: int = 0) -> Played:
    """Play all episodes of a tier; every batch of one with drawn dynamics has worlds of its own.

    ``own`` are the profile's own worlds; ``films`` as ``clips`` of ``episodes.play``.
    """
    records: list[Episode] = []
    kept: list[Filmed] = []
    notes = _Notes()
    env = begun = None
    for batch in range(-(-episodes // own.count)):
        worlds = tier_worlds(tier, own, batch) if env is None or tier.dynamics else None
        if worlds is not None:
            env = make_worlds(worlds)
            notes.dynamics = worlds.dynamics or {}
        assert env is not None
        begun = begun or env
        left = min(own.count, episodes - len(records))
        notes.count, notes.env = left, env
        with drawing(env):
            found = play(env, left, seed=own.seed, first=batch, clips=films, begun=notes.take)
        kept += [Filmed(clip, env) for clip in found.clips]
        records += found.episodes
    assert begun is not None
    wanted = chosen([filmed.clip.episode for filmed in kept], films)
    return Played(
        tuple(records),
        tuple(filmed for filmed in kept if filmed.clip.episode in wanted),
        begun,
        np.concatenate(notes.start),
        {name: np.concatenate(parts) for name, parts in notes.pictures.items()},
        {name: np.concatenate(parts) for name, parts in notes.drawn.items()},
    )


@contextmanager
def drawing(env: VecEnv) -> Iterator[None]:
    """End the processes that draw an environment's pictures, where any do, when the block ends."""
    try:
        yield
    finally:
        if isinstance(env.images, LaboratoryImages):
            env.images.close()


class _Notes:
    """What is noted of each batch when it begins: of the first ``count`` worlds, which are those that are counted."""

    def __init__(self) -> None:
        self.count = 0
        self.env: VecEnv | None = None
        self.dynamics: Draws = {}
        self.start: list[np.ndarray] = []
        self.pictures: dict[str, list[np.ndarray]] = {}
        self.drawn: dict[str, list[np.ndarray]] = {}

    def take(self, state: EnvState) -> None:
        """Note where the episodes begin, what is seen there, and what the worlds were drawn."""
        assert self.env is not None
        own = {name: np.asarray(values, float) for name, values in self.env.params.items()}
        for name, values in {**own, **self.dynamics, **looks(self.env, state)}.items():
            self.drawn.setdefault(name, []).append(np.asarray(values, float)[: self.count])
        for name, picture in pictures(state.observation.inputs).items():
            self.pictures.setdefault(name, []).append(picture[: self.count])
        self.start.append(np.asarray(state.physics.qpos)[: self.count])


def looks(env: VecEnv, state: EnvState) -> dict[str, np.ndarray]:
    """Return what each episode's look was drawn, (B,) by axis; nothing of worlds that nobody sees."""
    if env.images is None:
        return {}
    if isinstance(env.images, LaboratoryImages):
        return dict(env.images.look_values(state.image))
    assert state.appearance is not None
    offset, turn = (
        np.linalg.norm(getattr(state.appearance, name), axis=-1).max(axis=-1)
        for name in ("camera_pos_offset", "camera_rot_offset")
    )
    return {
        "own_brightness": np.asarray(state.image.brightness).mean(axis=-1),
        "own_shadows": np.asarray(state.appearance.shadows, float),
        "own_light": np.asarray(state.appearance.light_diffuse).mean(axis=(1, 2)),
        "own_camera_offset": offset,
        "own_camera_rotation": np.rad2deg(turn),
    }


def require_same_starts(first: np.ndarray, other: np.ndarray, name: str, own: Worlds) -> None:
    """Raise RunError unless the episodes (N, nq) of two tiers begin at the same coordinates, up to objects' sizes.

    The height at which a loose object lies follows from its size, which may be drawn.
    """
    model = make_model(own.profile, own.task)
    free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
    heights = model.jnt_qposadr[free] + 2
    compared = np.setdiff1d(np.arange(model.nq), heights)
    if first.shape != other.shape or not np.allclose(first[:, compared], other[:, compared], atol=1e-6):
        raise RunError(f"{name} did not start from the same states as {OWN}", "this is a bug; please report it")
