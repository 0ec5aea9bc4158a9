"""How an artifact was made: its stage, found again from the manifest, and everything that decided its cache key."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.pipeline import graph
from s2rctl.pipeline.key import read_fields
from s2rctl.pipeline.plan import differences, flat
from s2rctl.schema.moved import upgraded
from s2rctl.schema.profile import Profile
from s2rctl.store.store import Artifact, Store
from s2rctl.systems import SYSTEMS, policy_named, system_named
from s2rctl.systems.protocol import Input, Stage


def stage_of(artifact: Artifact) -> Stage | None:
    """Return the stage that makes artifacts like this one today, with this one's inputs; None if no stage does.

    Pipelines have most; exports and evaluations of other policies stand alone. What a person or a robot made (an
    imported file, a live run) has none.
    """
    content = artifact.manifest.content
    system = content.profile.get("system")
    if not isinstance(system, str) or system not in SYSTEMS.names():
        return None
    inputs = _inputs(artifact)
    for stage in graph.graph_of(system):
        if (stage.name, stage.kind, stage.output) == (content.stage.name, content.kind, content.name):
            roles = {item.role for item in content.inputs}
            return stage if roles == {item.role for item in stage.inputs} else replace(stage, inputs=inputs)
    for stage in _alone(artifact, system):
        if (stage.name, stage.kind) == (content.stage.name, content.kind):
            reads = tuple(dict.fromkeys((*stage.reads, "vision"))) if stage.kind == "evaluation" else stage.reads
            return replace(stage, output=content.name, reads=reads, inputs=inputs)
    return None


def _inputs(artifact: Artifact) -> tuple[Input, ...]:
    """Return what the artifact was made from, as far as the store knows what that is."""
    found = []
    for item in artifact.manifest.content.inputs:
        try:
            content = artifact.store.get(item.id).manifest.content
        except ArtifactError:
            continue
        found.append(Input(item.role, content.kind, content.name))
    return tuple(found)


def _alone(artifact: Artifact, system: str) -> Sequence[Stage]:
    """Return the stages that can make something of the policy which this artifact was made from."""
    for item in artifact.manifest.content.inputs:
        if item.role not in ("policy", "onnx"):
            continue
        try:
            content = artifact.store.get(item.id).manifest.content
        except ArtifactError:
            return ()
        kind, name = str(content.kind), content.name
        if content.contract is not None:
            kind, _, name = content.contract.policy.partition("/")
        known = policy_named(kind, name)
        if known is None:
            return ()
        row = system_named(system)
        ends = (graph.export_stage, graph.evaluation_stage, graph.tiers_stage, graph.sensitivity_stage)
        return [make(row, known[1]) for make in ends]
    return ()


@dataclass(frozen=True)
class Decided:
    """What decided the cache key of an artifact."""

    stage: str
    version: int
    seed: int
    inputs: tuple[tuple[str, str, str], ...]  # (role, id, kind/name or "")
    reads: tuple[str, ...]  # profile paths that the stage reads today; empty if no stage makes it any more
    fields: dict[str, Any]  # their values then, by dotted path
    keys: tuple[str, ...]  # cache keys under which the store finds it


def decided(store: Store, artifact: Artifact) -> Decided:
    """Return what decided an artifact's cache key, from its manifest."""
    content = artifact.manifest.content
    stage = stage_of(artifact)
    return Decided(
        content.stage.name,
        content.stage.version,
        content.seed,
        tuple((item.role, item.id, _name(store, item.id)) for item in content.inputs),
        stage.reads if stage is not None else (),
        _fields(stage, artifact),
        tuple(key for key, identity in store.keys().items() if identity == artifact.id),
    )


def _fields(stage: Stage | None, artifact: Artifact) -> dict[str, Any]:
    """Return the values of the profile fields that the stage reads, as they were; without those that it lacked."""
    if stage is None:
        return {}
    profile = upgraded(artifact.manifest.content.profile)
    found: dict[str, Any] = {}
    for path in stage.reads:
        try:
            found |= flat(read_fields(replace(stage, reads=(path,)), profile))
        except UsageError:
            continue
    return found


def _name(store: Store, identity: str) -> str:
    try:
        return store.get(identity).ref
    except ArtifactError:
        return ""


def changes_since(artifact: Artifact, stage: Stage, profile: Profile) -> list[str]:
    """Return what would be different if the stage ran now on the same inputs, one short text each."""
    inputs = {item.role: item.id for item in artifact.manifest.content.inputs}
    return differences(stage, profile, inputs, artifact)
