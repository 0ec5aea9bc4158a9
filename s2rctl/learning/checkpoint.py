"""Mutable training state on disk: what is there is whole, and a killed run goes on from the last one."""

import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from s2rctl.core.errors import RunError

_PREFIX = "step_"


class Checkpoints:
    """Pytrees of arrays (typed keys included) by step in one folder; the newest ``keep`` stay.

    A checkpoint is written beside its place and renamed, so that a kill at any point leaves the previous one.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        logging.getLogger("absl").setLevel(logging.ERROR)  # orbax warns of what only concerns clusters
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._keep = keep
        self._orbax = ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_compression=False))
        for leftover in self._folder.iterdir():
            if not _is_complete(leftover):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def save(self, step: int, tree: Any) -> None:
        """Write the tree and drop the oldest ones; a step that is there already stays as it is."""
        place = self._folder / f"{_PREFIX}{step}"
        if not place.exists():
            # Empty arrays carry no numbers, and orbax refuses them.
            self._orbax.save(place, {name: value for name, value in _arrays(tree).items() if value.size})
        for old in self.steps()[: -self._keep]:
            shutil.rmtree(self._folder / f"{_PREFIX}{old}")

    def steps(self) -> list[int]:
        """Return the steps that can be restored, oldest first."""
        return sorted(int(p.name.removeprefix(_PREFIX)) for p in self._folder.iterdir() if _is_complete(p))

    def latest(self) -> int | None:
        """Return the newest step, or None if there is none."""
        return max(self.steps(), default=None)

    def restore(self, like: Any, step: int | None = None) -> Any:
        """Return the tree of a step (default: the newest) with the structure of ``like``.

        RunError if there is none, it cannot be read, or its arrays are not those of ``like``.
        """
        chosen = self.latest() if step is None else step
        if chosen is None:
            raise RunError(f"no checkpoint in {self._folder.name}", "start without resuming")
        try:
            found = self._orbax.restore(self._folder / f"{_PREFIX}{chosen}")
        except Exception as error:  # orbax and tensorstore raise many kinds
            raise RunError(f"checkpoint {chosen} cannot be read: {error}", "start over with --fresh") from error
        wanted = _arrays(like)
        for name, value in wanted.items():
            stored = found.get(name)
            if value.size and (stored is None or stored.shape != value.shape or stored.dtype != value.dtype):
                raise RunError(f"checkpoint {chosen} does not fit: {name} differs", "start over with --fresh")
        leaves, structure = jax.tree.flatten(like)
        values = [_as(leaf, found.get(name, empty)) for leaf, (name, empty) in zip(leaves, wanted.items(), strict=True)]
        return jax.tree.unflatten(structure, values)


def _is_complete(path: Path) -> bool:
    return path.is_dir() and path.name.removeprefix(_PREFIX).isdigit() and path.name.startswith(_PREFIX)


def _arrays(tree: Any) -> dict[str, np.ndarray]:
    """Return the leaves as numpy arrays by a unique name, in the order of the tree; typed keys as their data."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    named = {}
    for index, (path, leaf) in enumerate(leaves):
        plain = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        name = jax.tree_util.keystr(path, simple=True, separator=".").replace("/", ".")
        named[f"{index:04d}.{name}"] = np.asarray(plain)
    return named


def _as(leaf: Any, value: np.ndarray) -> Any:
    """Return the stored array in the kind of ``leaf``: typed key, jax array or numpy array."""
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(leaf))
    return jnp.asarray(value) if isinstance(leaf, jax.Array) else value


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
