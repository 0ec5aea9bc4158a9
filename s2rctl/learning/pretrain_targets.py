"""What an image encoder is asked to tell of a world: the part of the state that the task needs and images show."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.spatial import to_matrix
from s2rctl.env.keys import make_key
from s2rctl.env.randomise import nominal_params
from s2rctl.tasks.protocol import Task, World

INSERTION_OUTPUTS = 12
_NEAR = 0.1  # m: unit of offsets; beyond 3 units an object is as good as out of sight
_INSIDE = 0.05  # m: unit of the peg's way in the socket's axes


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


def insertion(world: World) -> jax.Array:
    """Return the targets (2, 12) of the wrist cameras, left first.

    In the gripper's axes the way from the fingertips' midpoint to the object's grip point (3) and the object's x and z
    axes (6); in the socket's axes the peg end's place (3).
    """
    signals: Any = world.signals
    way = jnp.clip(signals.peg_end_in_socket / _INSIDE, -3.0, 3.0)
    left = _held(signals.left_fingertip_pos, signals.left_gripper_quat, signals.socket_grip_pos, signals.socket_quat)
    right = _held(signals.right_fingertip_pos, signals.right_gripper_quat, signals.peg_grip_pos, signals.peg_quat)
    return jnp.stack([jnp.concatenate([left, way]), jnp.concatenate([right, way])])


def _held(fingertips: jax.Array, gripper: jax.Array, grip: jax.Array, quat: jax.Array) -> jax.Array:
    """Return the object's grip point (3) and x and z axes (6) as seen from the gripper; all inputs in one frame."""
    axes = to_matrix(gripper, jnp)
    middle = 0.5 * (fingertips[:3] + fingertips[3:])
    offset = jnp.clip(axes.T @ (grip - middle) / _NEAR, -3.0, 3.0)
    turned = axes.T @ to_matrix(quat, jnp)
    return jnp.concatenate([offset, turned[:, 0], turned[:, 2]])
