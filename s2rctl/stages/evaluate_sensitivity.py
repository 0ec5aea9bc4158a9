"""Stage: how much of a policy's success every single axis of its worlds costs, and from which value on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import RunError, UsageError
from s2rctl.core.progress import NullReporter
from s2rctl.core.tables import suggestion
from s2rctl.env.build import axes_of, make_model
from s2rctl.env.laboratory import laboratory_images
from s2rctl.env.types import EnvState
from s2rctl.evaluation.sensitivity import Axis, Cell, cells, groups, spread, table
from s2rctl.evaluation.tiers import drawing
from s2rctl.evaluation.worlds import Worlds, make_worlds
from s2rctl.schema.dynamics import KINDS
from s2rctl.schema.laboratory import LOOK_AXES, LookRanges
from s2rctl.schema.profile import Profile
from s2rctl.stages.evaluate import about
from s2rctl.stages.evaluate_shards import own_worlds
from s2rctl.stages.evaluate_tiers import save
from s2rctl.stages.policies import Player, evaluated_player
from s2rctl.stages.protocol import Context, Result
from s2rctl.stages.tier_table import SENSITIVITY_FILE


def run(context: Context) -> Result:
    """Play the artifact with the role ``onnx`` or ``policy`` at every value of every axis; write sensitivity.json.

    Environments that are finished are kept in the run folder. UsageError for a perturbed profile and for an axis that
    changes nothing for this policy.
    """
    profile = context.profile
    if profile.evaluate.perturb:
        raise UsageError("--sensitivity and --perturb cannot be combined", "leave one of them out")
    player = evaluated_player(context.inputs)
    settings = profile.evaluate.tiers.sensitivity
    kinds = {"dynamics": dynamics_axes(profile, player.task), "look": look_axes(profile) if player.images else []}
    require_known(settings.axes, [axis.name for axes in kinds.values() for axis in axes])
    rows: dict[str, dict[str, Any]] = {}
    for kind, axes in kinds.items():
        wanted = [axis for axis in axes if not settings.axes or axis.name in settings.axes]
        if wanted:
            rows |= table(wanted, _Trial(context, player, wanted, kind).play(), settings.threshold)
    rows = dict(sorted(rows.items(), key=lambda item: -item[1]["cost"]))
    figures = {**about(context, player), "sensitivity": rows, "threshold": settings.threshold}
    path = context.run_folder / SENSITIVITY_FILE
    write_atomic(path, json.dumps(figures, indent=2).encode())
    return Result(
        {SENSITIVITY_FILE: path}, figures | {"sensitivity": {name: row["cost"] for name, row in rows.items()}}
    )


def dynamics_axes(profile: Profile, task: str) -> list[Axis]:
    """Return the axes of dynamics that a task has, and that its range leaves free."""
    ranges, found = profile.task(task).dynamics, []
    for name in axes_of(profile, task):
        kind, (low, high) = KINDS[name], getattr(ranges, name)
        if (low, high) != (kind.nominal, kind.nominal):
            found.append(Axis(name, kind.unit, kind.text, kind.nominal, low, high, kind.lowest, kind.highest))
    return found


def look_axes(profile: Profile) -> list[Axis]:
    """Return the axes of the look that the harsh one varies; those of depth where the policy sees any."""
    harsh, found = profile.evaluate.tiers.harsh, []
    depth = any(camera.depth for camera in profile.vision.cameras)
    for name, axis in LOOK_AXES.items():
        low, high = getattr(harsh, name)
        if (low, high) != (axis.nominal, axis.nominal) and (depth or not name.startswith("depth_")):
            ends = (low, high, axis.low, axis.high)
            found.append(Axis(name, axis.unit, axis.text, axis.nominal, *ends, look=True, whole=axis.whole))
    return found


def require_known(asked: Sequence[str], known: Sequence[str]) -> None:
    """Raise UsageError for an axis that does not exist or that nothing would be different along."""
    for name in asked:
        if name not in known:
            raise UsageError(f"the axis '{name}' changes nothing for this policy", suggestion(name, known))


@dataclass(frozen=True)
class _Trial:
    """One policy at all values of axes of one kind: dynamics, or looks, which a second renderer draws."""

    context: Context
    player: Player
    axes: Sequence[Axis]
    kind: str

    def play(self) -> dict[Cell, list[bool]]:
        """Return the successes of every cell, episode by episode from the same starts."""
        settings = self.context.profile.evaluate.tiers.sensitivity
        multiples = settings.look_multiples if self.kind == "look" else settings.multiples
        wanted = cells(self.axes, multiples)
        self.context.reporter.start(f"sensitivity to {self.kind}", len(wanted) * settings.episodes, "episodes")
        found: dict[Cell, list[bool]] = {}
        start: np.ndarray | None = None
        for number, group in enumerate(groups(wanted, settings.episodes, settings.worlds)):
            path = self.context.run_folder / f"{self.kind}-{number}.npz"
            if not path.is_file():
                self._play_group(path, group)
            with np.load(path, allow_pickle=False) as file:
                successes, begun = file["success"], file["start"]
            start = begun if start is None else start
            if not np.allclose(start, begun, atol=1e-6):
                raise RunError("values of one axis began at different starts", "this is a bug; please report it")
            found |= {cell: [bool(x) for x in row] for cell, row in zip(group, successes, strict=True)}
            self.context.reporter.update(len(found) * settings.episodes, {"success": float(np.mean(successes))})
        self.context.reporter.finish(f"{len(self.axes)} axes, {len(wanted)} values")
        return found

    def _play_group(self, path: Path, group: Sequence[Cell]) -> None:
        """Play the cells of one environment and write their successes (cells, episodes) and starts (episodes, nq)."""
        episodes = self.context.profile.evaluate.tiers.sensitivity.episodes
        worlds = self._worlds(group, episodes)
        env = make_worlds(worlds)
        starts: list[np.ndarray] = []

        def begun(state: EnvState) -> None:
            starts.append(np.asarray(state.physics.qpos)[:episodes])

        quiet = NullReporter()
        with drawing(env):
            played = self.player.play(
                env, worlds.count, worlds.seed, self.context.interrupt, reporter=quiet, begun=begun
            )
        successes = np.array([episode.success for episode in played.episodes]).reshape(len(group), episodes)
        save(path, success=successes, start=starts[0])

    def _worlds(self, group: Sequence[Cell], episodes: int) -> Worlds:
        """Return the worlds of some cells, on the starts that all cells have."""
        own = own_worlds(self.context.profile, self.player.task, episodes, self.player.images)
        worlds = replace(own, count=episodes * len(group), repeat=len(group))
        if self.kind == "dynamics":
            return replace(worlds, dynamics=spread(group, {axis.name: axis for axis in self.axes}, episodes) or None)
        nominal = LookRanges(pictures=own.profile.evaluate.tiers.harsh.pictures)
        looks = [nominal if cell.axis is None else nominal.at(**{cell.axis: cell.value}) for cell in group]
        model = make_model(own.profile, own.task)
        return replace(worlds, imaging=laboratory_images(own.profile, own.task, model, looks))
