"""What the store knows of a policy in the tiers: of itself, and of its exports."""

from collections.abc import Collection
from typing import Any

from s2rctl.schema.contract import TierResult
from s2rctl.store.artifact import Home
from s2rctl.store.store import Artifact, Store

TIERS_FILE = "tiers.json"
SENSITIVITY_FILE = "sensitivity.json"


def in_other_worlds(artifact: Artifact) -> bool:
    """Return whether an evaluation is one in tiers or of single axes, which says nothing of the plain gate."""
    return TIERS_FILE in artifact.files or SENSITIVITY_FILE in artifact.files


def evaluations_of(store: Home, policies: Collection[str], file: str) -> list[Artifact]:
    """Return the evaluations of policies (ids) that hold a file, oldest first."""
    found = [artifact for artifact in store.list("evaluation") if file in artifact.files]
    return [artifact for artifact in found if artifact.manifest.origin.metrics.get("policy_id") in policies]


def tier_results(store: Store, policy: Artifact) -> tuple[TierResult, ...]:
    """Return the newest result of a policy in each tier, by itself or by an export of it, T0 first.

    Results in other worlds than the newest ones are left out: rates of one table must be comparable.
    """
    exports = [
        artifact.id
        for artifact in store.list("onnx")
        if artifact.manifest.content.contract is not None
        and artifact.manifest.content.contract.trained_from.get("policy") == policy.id
    ]
    evaluations = evaluations_of(store, {policy.id, *exports}, TIERS_FILE)
    if not evaluations:
        return ()
    newest = evaluations[-1].manifest.origin.metrics
    found: dict[str, dict[str, Any]] = {}
    for artifact in evaluations:
        figures = artifact.manifest.origin.metrics
        if figures.get("settings_sha256") == newest.get("settings_sha256"):
            found |= figures["tiers"]
    names = tuple(name for name in TierResult.model_fields if name != "name")
    return tuple(TierResult(name=name, **{key: found[name][key] for key in names}) for name in sorted(found))
