"""What a pipeline run would do, and why."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from s2rctl.core.errors import ArtifactError
from s2rctl.pipeline.graph import downstream, producer_of
from s2rctl.pipeline.key import cache_key, read_fields
from s2rctl.schema.moved import upgraded
from s2rctl.schema.profile import Profile
from s2rctl.schema.source import dotted, leaves
from s2rctl.store.store import Artifact, Store
from s2rctl.systems.protocol import Stage


@dataclass(frozen=True)
class Step:
    """One stage of a plan."""

    stage: Stage
    action: Literal["cached", "run", "resume"]
    reason: str
    artifact: Artifact | None  # what is there already
    key: str | None = None  # cache key; None while it is not known what the stage will be made from


def make_plan(
    graph: Sequence[Stage],
    profile: Profile,
    store: Store,
    *,
    from_stage: str | None = None,
    force: bool = False,
) -> list[Step]:
    """Return, for every stage in order, whether it would run and why. Reads the store, changes nothing."""
    again = downstream(graph, from_stage) if from_stage else set()
    known: dict[tuple[str, str], Artifact] = {}
    steps: list[Step] = []
    for stage in graph:
        makers = [producer_of(graph, wanted) for wanted in stage.inputs]
        open_inputs = [maker.name for maker in makers if maker and (maker.kind, maker.output) not in known]
        if open_inputs:
            steps.append(Step(stage, "run", f"made from what {_some(open_inputs)} will make", None))
            continue
        inputs = {wanted.role: known[(wanted.kind, wanted.name)].id for wanted in stage.inputs}
        key = cache_key(stage, profile, inputs)
        artifact = store.lookup_key(key)
        forced = force or stage.name in again
        if artifact is not None and artifact.intact() and not forced:
            known[(stage.kind, stage.output)] = artifact
            steps.append(Step(stage, "cached", "nothing changed", artifact, key))
            continue
        resumed = (store.root / "runs" / key[:16] / "state.json").is_file()
        reason = "asked for" if forced else why(stage, profile, inputs, store, artifact)
        steps.append(Step(stage, "resume" if resumed else "run", reason, artifact, key))
    return steps


def why(
    stage: Stage,
    profile: Profile,
    inputs: Mapping[str, str],
    store: Store,
    artifact: Artifact | None = None,
) -> str:
    """Return in words why the stage has to run: what changed since the artifact that its ref names."""
    if artifact is not None:
        missing = [file.path for file in artifact.files.values() if not store.blobs.present(file.sha256, file.size)]
        return f"damaged in the store: {', '.join(missing)}"
    previous = None
    for alias in (profile.name, "latest"):
        try:
            previous = store.resolve(f"{stage.kind}/{stage.output}:{alias}")
            break
        except ArtifactError:
            continue
    if previous is None:
        return "never made"
    changes = differences(stage, profile, inputs, previous)
    if not changes:
        return f"{previous.id[:12]} was not made by this cache"
    other = previous.manifest.content.profile.get("name") or previous.id[:12]
    unlike = f"unlike {other}'s: " if other != profile.name else ""
    return unlike + "; ".join(changes)


def differences(stage: Stage, profile: Profile, inputs: Mapping[str, str], previous: Artifact) -> list[str]:
    """Return what differs between the work to do and the work that made ``previous``, one short text each."""
    content = previous.manifest.content
    found = []
    if content.stage.version != stage.version:
        found.append(f"stage version {content.stage.version} -> {stage.version}")
    if content.seed != profile.seed:
        found.append(f"seed {content.seed} -> {profile.seed}")
    before = {item.role: item.id for item in content.inputs}
    for role, identity in inputs.items():
        if before.get(role) != identity:
            found.append(f"input {role} {(before.get(role) or 'none')[:12]} -> {identity[:12]}")
    now = profile.model_dump(mode="json")
    for path in _changed(stage, upgraded(content.profile), now):
        found.append(path)
    return found


def _changed(stage: Stage, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what the stage reads and would read otherwise; fields that came later and say nothing yet do not count."""
    old, new, everything = flat(read_fields(stage, before, lenient=True)), flat(read_fields(stage, now)), flat(now)
    paths = [path for path in sorted({*old, *new}) if old.get(path) != new.get(path)]
    return [f"{path} {_text(old.get(path))} -> {_text(everything.get(path))}" for path in paths]


def flat(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved profile as dotted path -> value."""
    return {dotted(path): value for path, value in leaves(dict(resolved))}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} others"


def _text(value: Any) -> str:
    return json.dumps(value)
