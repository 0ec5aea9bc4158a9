"""A policy on disk: ``policy.safetensors`` (weights and statistics) and ``policy.json`` (what they belong to)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load, save

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError
from s2rctl.core.tables import Table
from s2rctl.tasks.protocol import Observation

WEIGHTS = "policy.safetensors"
DESCRIPTION = "policy.json"
FORMAT = 1

Params = Any
"""Nested dictionary of arrays."""

# Each row is a function (config) -> (params, observation of B worlds) -> action (B, n) in [-1, 1].
KINDS = Table(
    "policy kind",
    {
        "teacher": "s2rctl.learning.policy_kinds:teacher",
        "student": "s2rctl.learning.policy_kinds:student",
        "reach": "s2rctl.learning.policy_kinds:reach",
    },
)


@dataclass(frozen=True)
class Policy:
    """A loaded policy. ``act`` is deterministic, pure JAX, and closes over ``params``."""

    kind: str  # row of KINDS
    config: Mapping[str, Any]  # network sizes and what else the kind needs
    params: Params
    act: Callable[[Observation], jax.Array]  # observation of B worlds -> action (B, n) in [-1, 1]


def save_policy(folder: Path, kind: str, config: Mapping[str, Any], params: Params) -> dict[str, Path]:
    """Write a policy into ``folder`` and return its files by name, ready for a stage's result.

    ``config`` must survive JSON. Raises UsageError for an unknown kind, ValueError for a key that contains '/'.
    """
    KINDS.load(kind)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(value) for name, value in flatten(params).items()}
    description = {"format": FORMAT, "kind": kind, "config": dict(config)}
    write_atomic(folder / WEIGHTS, save(arrays))
    write_atomic(folder / DESCRIPTION, json.dumps(description, indent=2, sort_keys=True).encode())
    return {name: folder / name for name in (WEIGHTS, DESCRIPTION)}


def load_policy(folder: Path) -> Policy:
    """Read a policy that ``save_policy`` wrote; ArtifactError if a file is missing, damaged or of another format."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        arrays = unflatten_dict(load((folder / WEIGHTS).read_bytes()), sep="/")
        found, kind, config = description["format"], description["kind"], description["config"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, SafetensorError) as error:
        raise ArtifactError(f"{folder.name} holds no readable policy: {error}", "s2rctl artifacts verify") from error
    if found != FORMAT:
        raise ArtifactError(f"{folder.name}: policy format {found} is not {FORMAT}", "train or import the policy again")
    params, act = jax.tree.map(jnp.asarray, arrays), KINDS.load(kind)(config)
    return Policy(kind, config, params, lambda observation: act(params, observation))


def flatten(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the leaves of nested dictionaries by '/'-joined key; ValueError for a key that contains '/'."""
    flat = flatten_dict(tree)
    for name in (name for path in flat for name in path if "/" in name):
        raise ValueError(f"the key '{name}' contains '/'")
    return {"/".join(path): leaf for path, leaf in flat.items()}
