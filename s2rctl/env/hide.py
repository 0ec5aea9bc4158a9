"""Episodes in which an arm has nothing to do: its object lies aside, out of reach of its wrist camera.

A deployed student meets them whenever an object is missing; without such episodes it has never seen an empty table and
chases shadows. What it should do then is to stay still.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.tasks.protocol import Start

# Figures of the reference Aloha set-up: beside the arm that would pick the object up.
_PLACES: Mapping[str, tuple[float, float]] = {"socket": (-0.4, 0.33), "peg": (0.4, 0.33)}  # m, world
_ACTIONS: Mapping[str, tuple[int, int]] = {"socket": (0, 7), "peg": (7, 14)}  # entries of the arm that is to stay still


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


def insertion_hiding(model: mujoco.MjModel, share: float) -> Hiding:
    """Return the hiding of socket and peg, each in a ``share`` (at most 0.5) of all episodes."""
    objects = []
    for name, place in _PLACES.items():
        joint = int(model.body(name).jntadr[0])
        objects.append(Hidden(int(model.jnt_qposadr[joint]), place, _ACTIONS[name]))
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
