"""The workspace of a reach task, in whose units positions are learned."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.keys import make_key
from s2rctl.env.randomise import nominal_params
from s2rctl.tasks.protocol import Task, World


class Workspace(NamedTuple):
    """Where the goals of a reach task lie."""

    centre_m: tuple[float, float, float]
    spread_m: float


def workspace(task: Task) -> Workspace:
    """Return mean and standard deviation (m) of the task's goals, to the millimetre, always the same for a task."""
    params = jax.tree.map(lambda leaf: leaf[0], nominal_params(task.randomised, 1))
    keys = jax.random.split(make_key(0), 4096)
    starts = jax.jit(jax.vmap(lambda key: task.reset(key, params)))(keys)
    goals = np.asarray(starts.state.goal)
    x, y, z = (round(float(value), 3) for value in goals.mean(axis=0))
    return Workspace((x, y, z), round(float(goals.std(axis=0).mean()), 3))


def reach(place: Workspace) -> Callable[[World], jax.Array]:
    """Return the targets (1, 3) of the side camera: the tool's position, normalised as the actor's bottleneck is."""
    return lambda world: ((world.signals.tcp_pos - jnp.asarray(place.centre_m)) * (1.0 / place.spread_m))[None]
