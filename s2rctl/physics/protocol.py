"""What every physics backend offers: a batch of worlds stepped as a pure function of arrays."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from s2rctl.physics.room import Memory
from s2rctl.scene.poses import Poses

ModelEdits = Mapping[str, np.ndarray]
"""Per-world model fields: MjModel field name -> (B, *field shape). Fixed for the life of a Physics object."""


class PhysicsState(NamedTuple):
    """The state of B worlds. A pytree; functions above physics read the named fields and never the backend leaf."""

    qpos: jax.Array  # (B, nq)
    qvel: jax.Array  # (B, nv)
    ctrl: jax.Array  # (B, nu) actuator targets applied during the last step
    time: jax.Array  # (B,) s
    sensors: jax.Array  # (B, nsensordata), position and velocity sensors current at this state
    poses: Poses | None  # None unless the backend was built with poses=True
    diverged: jax.Array  # (B,) bool: the last step produced non-finite or huge values (the world needs a reset)
    backend: Any  # opaque leaf (warm start, full-precision state)


class Physics(Protocol):
    """A batch of ``worlds`` copies of one MjModel. Both functions can be called inside jit and scan."""

    model: Any  # mujoco.MjModel, unedited
    worlds: int

    @property
    def memory(self) -> Memory:
        """What was reserved for all worlds."""

    def init(self, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> PhysicsState:
        """Return the state of all worlds at the given coordinates (B, nq), (B, nv), (B, nu), with current sensors."""

    def step(self, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        """Apply ``ctrl`` (B, nu) for one control step (all substeps) and return the new state."""

    def reset(
        self, state: PhysicsState, mask: jax.Array, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array
    ) -> PhysicsState:
        """Put the worlds where ``mask`` (B,) is true at the given coordinates, as ``init`` would; keep the others."""
