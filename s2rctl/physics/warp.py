"""MuJoCo Warp behind the physics protocol, through MJX: for NVIDIA, and slowly on Warp's CPU device.

Warp keeps all worlds' contacts in one array of a fixed size and each world's constraints in another. Their room follows
from the model (``room.py``) or from ``simulation.contacts``. What does not fit, Warp leaves out; a world to which that
happened counts as diverged, and the log says how to give it more room.
"""

import logging
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.physics.mjx import MjxPhysics
from s2rctl.physics.room import Memory, Room, needed_room
from s2rctl.scene.libraries import load_mjx

_LOG = logging.getLogger("s2rctl.physics")
_BUFFERS = ("NEFC", "NJMAX_NNZ", "BROADPHASE", "NARROWPHASE", "CCD", "CONTACT_MATCH", "NVMAX")
"""Warp's flags for buffers that were too small. The others (iterations used up, a contact's depth less exact) happen in
MuJoCo as well, which does not call them errors."""


class WarpPhysics(MjxPhysics):
    """As MjxPhysics, with ``contacts`` as the room for contacts per world (0: from the model).

    MissingEnvironmentError where Warp is not installed; RunError where the model's default state needs more room.
    """

    name = "warp"
    _room: Room
    _told = 0

    @property
    def memory(self) -> Memory:
        """What was reserved, and what the state of all worlds takes on the device."""
        return Memory(self._room.contacts, self._room.rows, self._bytes())

    def _load(self) -> Any:
        return load_mjx("the physics backend 'warp'")

    def _put_model(self) -> Any:
        model = self._mjx.put_model(self.model, impl="warp")
        # Warp itself would print what overflows on standard output, which is for data.
        return model.tree_replace({"opt._impl.warn_overflow": 0})

    def _put_world(self, data: mujoco.MjData, contacts: int) -> Any:
        from mujoco.mjx.third_party.mujoco_warp import OverflowType

        self._flags = sum(int(OverflowType[name]) for name in _BUFFERS)
        self._lagging = _of_the_last_substep(self.model)
        self._room = needed_room(self.model, contacts)
        if data.ncon > self._room.contacts or data.nefc > self._room.rows:
            raise RunError(
                f"the scene begins with {data.ncon} contacts, there is room for {self._room.contacts}",
                f"set simulation.contacts={2 * data.ncon} or more",
            )
        sizes = {"naconmax": self._room.contacts * self.worlds, "njmax": self._room.rows}
        return self._mjx.put_data(self.model, data, impl="warp", **sizes)

    def _can_differ(self, field: str) -> bool:
        from mujoco.mjx.warp import types

        return super()._can_differ(field) and bool(types._BATCH_DIM["Model"].get(field, False))

    def _settle(self, model: Any, data: Any) -> Any:
        # MJX gives no parts of Warp's forward pass, so sensors of the acceleration stage are current, too, and have to
        # be put back.
        after = self._mjx.forward(model, data)
        return after.replace(sensordata=jnp.where(self._lagging, data.sensordata, after.sensordata))

    def _begin_step(self, data: Any) -> Any:
        # Warp adds flags and never takes them away.
        return data.tree_replace({"_impl.overflow": jnp.zeros_like(data._impl.overflow)})

    def _overflowed(self, data: Any) -> jax.Array:
        inside = data._impl
        lost = (inside.overflow & self._flags) != 0
        # A forward pass counts beyond the room and sets no flag. Contacts have one counter for all worlds.
        lost |= inside.nefc.reshape(self.worlds) > self._room.rows
        lost |= (inside.nacon > self._room.contacts * self.worlds).any()
        jax.lax.cond(lost.any(), lambda: jax.debug.callback(self._tell, lost.sum()), lambda: None)
        return lost

    def _tell(self, worlds: np.ndarray) -> None:
        """Log how many worlds had too little room: the first time, and whenever ten times as many had."""
        before, self._told = self._told, self._told + int(worlds)
        if before and len(str(before)) == len(str(self._told)):
            return
        contacts, rows = self._room
        _LOG.warning(
            "%d worlds so far needed more than the room for %d contacts and %d constraints of each; they count as "
            "diverged and begin anew. Set simulation.contacts=%d or more",
            *(self._told, contacts, rows, 2 * contacts),
        )


def _of_the_last_substep(model: mujoco.MjModel) -> np.ndarray:
    """Return (nsensordata,) bool: the values of sensors that need accelerations."""
    late = np.zeros(model.nsensordata, bool)
    for sensor in np.flatnonzero(model.sensor_needstage == mujoco.mjtStage.mjSTAGE_ACC):
        first = int(model.sensor_adr[sensor])
        late[first : first + int(model.sensor_dim[sensor])] = True
    return late
