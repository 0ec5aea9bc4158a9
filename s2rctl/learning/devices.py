"""Learning on all of JAX's devices by one code path: parameters are on each, rows of a batch are divided.

Programs are written as if there were one device. Where a batch's rows are said to be divided (``divided``), XLA has
each device compute the gradient of its rows and adds the gradients up, so N devices give what one gives up to the order
of summation. Shuffled rows are said to be whole (``whole``): drawn in parts they might be others.

Acting stays on the first device. With a single device all of these return what they are given.
"""

from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")

_AXIS = "rows"


def mesh() -> Mesh | None:
    """Return all devices in a row; None if there is one."""
    devices = jax.devices()
    return Mesh(np.array(devices), (_AXIS,)) if len(devices) > 1 else None


def everywhere(tree: Tree) -> Tree:
    """Return the tree with all of it on each device; outside of jit."""
    found = mesh()
    if found is None:
        return tree
    placed: Tree = jax.device_put(tree, NamedSharding(found, PartitionSpec()))
    return placed


def here(tree: Tree) -> Tree:
    """Return the tree on the first device; outside of jit."""
    if mesh() is None:
        return tree
    placed: Tree = jax.device_put(tree, jax.devices()[0])
    return placed


def spread(tree: Tree, axis: int = 0) -> Tree:
    """Return the tree with that axis of each leaf divided between the devices; outside of jit.

    A leaf whose rows cannot be divided evenly is on each device as a whole: right, and no faster.
    """
    found = mesh()
    if found is None:
        return tree
    placed: Tree = jax.tree.map(lambda leaf: jax.device_put(leaf, _sharding(found, leaf, axis)), tree)
    return placed


def divided(tree: Tree, axis: int = 0) -> Tree:
    """Return the tree with that axis of each leaf divided between the devices, as ``spread`` does; inside of jit."""
    found = mesh()
    if found is None:
        return tree
    marked: Tree = jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, _sharding(found, leaf, axis)), tree)
    return marked


def whole(tree: Tree) -> Tree:
    """Return the tree with all of it on each device; inside of jit."""
    found = mesh()
    if found is None:
        return tree
    marked: Tree = jax.lax.with_sharding_constraint(tree, NamedSharding(found, PartitionSpec()))
    return marked


def _sharding(found: Mesh, leaf: Any, axis: int) -> NamedSharding:
    shape = np.shape(leaf)
    even = len(shape) > axis and shape[axis] % found.size == 0
    return NamedSharding(found, PartitionSpec(*[None] * axis, _AXIS) if even else PartitionSpec())
