"""MJX behind the physics protocol: runs on CPU, GPU and TPU (impl "jax") or on NVIDIA through Warp (impl "warp")."""

import contextlib
import sys
from importlib.util import find_spec
from typing import Any, Literal

import jax
import jax.numpy as jnp
import mujoco

from s2rctl.core.errors import MissingEnvironmentError, RunError
from s2rctl.physics.edits import complete_edits
from s2rctl.physics.protocol import ModelEdits, PhysicsState
from s2rctl.scene.poses import Poses

# Without Warp the import prints a line about it, and standard output is for data.
with contextlib.redirect_stdout(sys.stderr):
    from mujoco import mjx

HUGE = 1e4
"""As in the native backend: a coordinate (m, rad) or speed (m/s, rad/s) beyond this means that the world diverged."""


class MjxPhysics:
    """``worlds`` copies of ``model`` in MJX, ``substeps`` physics steps per step; ``threads`` has no meaning here.

    The same contract as the native backend: position and velocity sensors are current at the returned state, sensors of
    the acceleration stage hold the values of the last substep, ``diverged`` worlds are put at the model's default
    state. The ``backend`` leaf is the whole ``mjx.Data`` of all worlds. With impl "warp", ``contacts`` is the room for
    contacts per world.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        worlds: int,
        *,
        substeps: int,
        edits: ModelEdits | None = None,
        poses: bool = False,
        threads: int = 0,
        impl: Literal["jax", "warp"] = "jax",
        contacts: int = 64,
    ) -> None:
        del threads
        if impl == "warp" and find_spec("warp") is None:
            raise MissingEnvironmentError("the implementation 'warp' needs warp-lang", "pip install 's2rctl[warp]'")
        self.model = model
        self.worlds = worlds
        self._substeps = substeps
        self._poses = poses
        self._impl = impl
        self._device_model = mjx.put_model(model, impl=impl)
        self._template = self._default_world(contacts)
        self._edits = self._by_world(complete_edits(model, edits, worlds) if edits else {}, asked=edits or {})
        # Compiled once however often init and reset are called outside a jit of their own.
        self._start = jax.jit(self._start_all)
        self._advance = jax.jit(self._advance_all)

    def init(self, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> PhysicsState:
        """Return all worlds at (B, nq), (B, nv), (B, nu), time 0, with all sensors current."""
        return self._state(self._start(*_floats(qpos, qvel, ctrl)), ctrl)

    def step(self, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        """Hold ``ctrl`` (B, nu) for one control step and return the new state."""
        data = self._advance(state.backend, *_floats(ctrl))
        return self._state(data, ctrl, safe=True)

    def reset(
        self, state: PhysicsState, mask: jax.Array, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array
    ) -> PhysicsState:
        """Put the worlds of ``mask`` (B,) at the given coordinates as ``init`` would; keep the others."""
        data = self._merge(mask, self._start(*_floats(qpos, qvel, ctrl)), state.backend)
        merged = self._state(data, _where(mask, ctrl, state.ctrl))
        return merged._replace(diverged=jnp.where(mask, merged.diverged, state.diverged))

    def _by_world(self, edits: ModelEdits, asked: ModelEdits) -> dict[str, jax.Array]:
        """Return the fields that MJX traces; RunError for an asked one that is fixed when it compiles.

        What MuJoCo derived may be fixed: flags of its own short cuts (``body_sameframe``), which MJX does not take.
        """
        found = {}
        for field, values in edits.items():
            own = getattr(self._device_model, field, None)
            if isinstance(own, jax.Array):
                found[field] = jnp.asarray(values, own.dtype)
            elif field in asked:
                raise RunError(f"MJX cannot give every world its own '{field}'", "use simulation.physics=native")
        return found

    def _map(self, function: Any, *batched: Any) -> Any:
        """Call ``function(model, *one world)`` for every world, with the edited fields of each world's model."""

        def one(fields: dict[str, jax.Array], *world: Any) -> Any:
            return function(self._device_model.tree_replace(fields) if fields else self._device_model, *world)

        return jax.vmap(one)(self._edits, *batched)

    def _default_world(self, contacts: int) -> Any:
        """Return the data of one world at the model's default state, computed by MuJoCo itself."""
        data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, data)
        if self._impl == "warp":
            room = {"naconmax": contacts * self.worlds, "njmax": 4 * contacts}
            return mjx.put_data(self.model, data, impl="warp", **room)
        return mjx.put_data(self.model, data, impl="jax")

    def _start_all(self, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> Any:
        """Return the data of all worlds at the given coordinates after a forward pass."""

        def place(model: Any, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> Any:
            return mjx.forward(model, self._template.replace(qpos=qpos, qvel=qvel, ctrl=ctrl))

        return _strong(self._map(place, qpos, qvel, ctrl))

    def _advance_all(self, data: Any, ctrl: jax.Array) -> Any:
        """Step all worlds through all substeps and bring position and velocity sensors to the new state."""

        def advance(model: Any, data: Any, ctrl: jax.Array) -> Any:
            data = data.replace(ctrl=ctrl)
            data = jax.lax.fori_loop(0, self._substeps, lambda _, d: mjx.step(model, d), data)
            if self._impl == "warp":
                return mjx.forward(model, data)
            data = mjx.camlight(model, mjx.com_pos(model, mjx.kinematics(model, data)))
            data = mjx.sensor_pos(model, data)
            return mjx.sensor_vel(model, mjx.com_vel(model, data))

        return _strong(self._map(advance, data, ctrl))

    def _state(self, data: Any, ctrl: jax.Array, *, safe: bool = False) -> PhysicsState:
        """Return the named fields of ``data``; with ``safe``, diverged worlds first go to the default state."""
        bad = ~jnp.isfinite(data.sensordata).all(-1)
        for values in (data.qpos, data.qvel):
            bad |= ~(jnp.abs(values) <= HUGE).all(-1)
        if safe:
            default = jax.tree.map(lambda a: jnp.broadcast_to(a, (self.worlds, *a.shape)), self._template)
            data = self._merge(bad, default, data)
        poses = Poses(data.geom_xpos, data.geom_xmat, data.cam_xpos, data.cam_xmat) if self._poses else None
        sensors, time = data.sensordata, jnp.asarray(data.time, jnp.float32)
        return PhysicsState(data.qpos, data.qvel, jnp.asarray(ctrl, jnp.float32), time, sensors, poses, bad, data)

    def _merge(self, mask: jax.Array, new: Any, old: Any) -> Any:
        """Return the data of ``new`` where ``mask`` (B,), else of ``old``."""
        # ``Data.where`` knows which of Warp's leaves (the contact arrays) are shared by all worlds.
        return jax.vmap(lambda chosen, n, o: o.where(chosen, n))(mask, new, old)


def _floats(*arrays: jax.Array) -> list[jax.Array]:
    """Return the arrays as float32, never weakly typed."""
    return [jnp.asarray(array, jnp.float32) for array in arrays]


def _strong(data: Any) -> Any:
    """Fix the types of all leaves, so that a step compiled for one state serves every other."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), data)


def _where(mask: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """Choose by world: ``mask`` (B,) against arrays (B, ...)."""
    return jnp.where(mask.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)
