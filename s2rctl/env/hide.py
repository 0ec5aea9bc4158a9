"""Episodes in which an arm has nothing to do: its object lies aside, out of reach of its wrist camera.

A deployed student meets them whenever an object is missing; without such episodes it has never seen an empty table and
chases shadows. What it should do then is to stay still.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.tasks.protocol import Start, Task


@dataclass(frozen=True)
class Hidden:
    """One object that may be hidden."""

    qpos: int  # where its free joint begins
    place: tuple[float, float]  # m, world x and y
    actions: tuple[int, int]  # first and one past the last action entry of its arm


@dataclass(frozen=True)
class Hiding:
    """In a ``share`` of all episodes each object is hidden, never two at once."""

    share: float
    objects: Sequence[Hidden]


def hiding_of(task: Task, model: mujoco.MjModel, share: float) -> Hiding:
    """Return the hiding of the task's objects, each in a ``share`` of all episodes.

    Raises UsageError for a task without such objects, or for shares that exceed all episodes together.
    """
    if not task.asides:
        raise UsageError(f"the task {task.name} has no object that can be hidden", "set distill.hide_object to 0")
    if share * len(task.asides) > 1:
        raise UsageError(
            f"hiding each of {len(task.asides)} objects in {share:g} of the episodes leaves none to act in",
            "lower distill.hide_object",
        )
    objects = []
    for aside in task.asides:
        joint = int(model.body(aside.body).jntadr[0])
        objects.append(Hidden(int(model.jnt_qposadr[joint]), aside.place, aside.actions))
    return Hiding(share, tuple(objects))


def hide(key: jax.Array, start: Start, hiding: Hiding, actions: int) -> tuple[Start, jax.Array]:
    """Return the starts (B, ...) with objects moved aside, and which of the ``actions`` entries shall be still (B, n).

    The object keeps its height and orientation.
    """
    draw = jax.random.uniform(key, (start.qpos.shape[0], 1))
    qpos, still = start.qpos, jnp.zeros((start.qpos.shape[0], actions), bool)
    for number, item in enumerate(hiding.objects):
        chosen = (draw >= number * hiding.share) & (draw < (number + 1) * hiding.share)
        moved = qpos.at[:, item.qpos : item.qpos + 2].set(jnp.asarray(item.place, qpos.dtype))
        qpos = jnp.where(chosen, moved, qpos)
        low, high = item.actions
        still |= chosen & ((np.arange(actions) >= low) & (np.arange(actions) < high))
    return start._replace(qpos=qpos), still
