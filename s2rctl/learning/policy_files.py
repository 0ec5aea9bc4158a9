"""A policy on disk: ``policy.safetensors`` (weights and statistics) and ``policy.json`` (what they belong to)."""

import contextlib
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
from s2rctl.schema.contract import Memory
from s2rctl.tasks.protocol import Observation

WEIGHTS = "policy.safetensors"
DESCRIPTION = "policy.json"
FORMAT = 1
SO_FAR = "so_far"
"""Folder of a run with the policy as it was at the last checkpoint, for whoever watches (``view --training``)."""

Params = Any
"""Nested dictionary of arrays."""

State = Mapping[str, Any]
"""What a policy remembers: arrays by the memory's name, each with a leading axis of B worlds; {} for one without."""


@dataclass(frozen=True)
class Remembering:
    """How a kind of policy with memory acts, as a row of KINDS makes it."""

    memory: tuple[Memory, ...]
    apply: Callable[[Params, Observation, State], tuple[jax.Array, State]]  # action (B, n), memory from then on


# Each row is a function of the config, which returns (params, observation of B worlds) -> action (B, n) in [-1, 1], or
# ``Remembering`` for a policy with memory.
KINDS = Table(
    "policy kind",
    {
        "teacher": "s2rctl.learning.policy_kinds:teacher",
        "student": "s2rctl.learning.policy_kinds:student",
        "reach": "s2rctl.learning.policy_kinds:reach",
    },
    group="s2rctl.policy_kinds",
)


@dataclass(frozen=True)
class Policy:
    """A loaded policy. ``act`` is deterministic, pure JAX, and closes over ``params``.

    Without memory: observation of B worlds -> action (B, n) in [-1, 1]. With memory: (observation, memory) -> (action,
    memory from then on). ``step`` serves both.
    """

    kind: str  # row of KINDS
    config: Mapping[str, Any]  # network sizes and what else the kind needs
    params: Params
    act: Callable[..., Any]
    memory: tuple[Memory, ...] = ()  # what it remembers from step to step

    def step(self, observation: Observation, memory: State) -> tuple[jax.Array, State]:
        """Return the action (B, n) and the memory from then on; memory of a policy without is passed through."""
        if self.memory:
            action, memory = self.act(observation, memory)
            return action, memory
        return self.act(observation), memory

    def reflex(self) -> Callable[[Observation], jax.Array]:
        """Return the policy as a function of the observation alone; ArtifactError for one with memory."""
        if self.memory:
            names = ", ".join(item.name for item in self.memory)
            raise ArtifactError(
                f"a policy with memory ({names}) cannot be a pilot or a teacher", "use a policy without memory"
            )
        return self.act


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


def show_so_far(run_folder: Path, kind: str, config: Mapping[str, Any], params: Params) -> None:
    """Leave the policy as it is now for those who watch; training does not end because nobody can."""
    with contextlib.suppress(OSError):
        save_policy(run_folder / SO_FAR, kind, config, params)


def load_policy(folder: Path) -> Policy:
    """Read a policy that ``save_policy`` wrote; ArtifactError if a file is missing, damaged or of another format."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        arrays = unflatten(load((folder / WEIGHTS).read_bytes()))
        found, kind, config = description["format"], description["kind"], description["config"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise ArtifactError(f"{folder.name} has no readable policy: {error}", "s2rctl artifacts verify") from error
    if found != FORMAT:
        raise ArtifactError(f"{folder.name}: policy format {found} is not {FORMAT}", "train or import the policy again")
    params, act = jax.tree.map(jnp.asarray, arrays), KINDS.load(kind)(config)
    if isinstance(act, Remembering):
        apply = act.apply
        return Policy(kind, config, params, lambda observation, memory: apply(params, observation, memory), act.memory)
    return Policy(kind, config, params, lambda observation: act(params, observation))


def flatten(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the leaves of nested dictionaries by '/'-joined key; ValueError for a key that contains '/'."""
    flat = flatten_dict(tree)
    for name in (name for path in flat for name in path if "/" in name):
        raise ValueError(f"the key '{name}' contains '/'")
    return {"/".join(path): leaf for path, leaf in flat.items()}


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested dictionaries from '/'-joined keys; ValueError if what one key names lies inside another's leaf.

    It is the inverse of ``flatten`` but for empty dictionaries.
    """
    try:
        # Sorted: a leaf comes before what would lie inside it, so that neither can replace the other unnoticed.
        tree: dict[str, Any] = unflatten_dict(dict(sorted(flat.items())), sep="/")
    except (TypeError, IndexError) as error:  # what a leaf says to a name
        raise ValueError("one array lies inside another") from error
    return tree
