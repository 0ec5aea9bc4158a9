"""MJX in JAX behind the physics protocol: the same program on CPU, GPU and TPU. ``warp.py`` builds on it."""

from typing import Any

import jax
import jax.numpy as jnp
import mujoco

from s2rctl.core.errors import RunError
from s2rctl.physics.edits import complete_edits
from s2rctl.physics.protocol import ModelEdits, PhysicsState
from s2rctl.physics.room import Memory
from s2rctl.scene.libraries import load_mjx
from s2rctl.scene.poses import Poses

HUGE = 1e4
"""As in the native backend: a coordinate (m, rad) or speed (m/s, rad/s) beyond this means that the world diverged."""


class MjxPhysics:
    """``worlds`` copies of ``model`` in MJX, ``substeps`` physics steps per step; ``threads`` has no meaning here.

    The same contract as the native backend: position and velocity sensors are current at the returned state, sensors of
    the acceleration stage hold the values of the last substep, ``diverged`` worlds are put at the model's default
    state. The ``backend`` leaf is the whole ``mjx.Data`` of all worlds. MJX in JAX has a place for each contact that
    could ever be, so ``contacts`` has no meaning either, and nothing can overflow.
    """

    name = "mjx"

    def __init__(
        self,
        model: mujoco.MjModel,
        worlds: int,
        *,
        substeps: int,
        edits: ModelEdits | None = None,
        poses: bool = False,
        threads: int = 0,
        contacts: int = 0,
    ) -> None:
        del threads
        self._mjx = self._load()
        self.model = model
        self.worlds = worlds
        self._substeps = substeps
        self._poses = poses
        self._device_model = self._put_model()
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        self._template = self._put_world(data, contacts)
        self._edits = self._by_world(complete_edits(model, edits, worlds) if edits else {}, asked=edits or {})
        # Compiled once however often these are called outside a jit of their own.
        self._start = jax.jit(self._start_all)
        self._advance = jax.jit(self._advance_all)
        self._again = jax.jit(self._reset_all)

    @property
    def memory(self) -> Memory:
        """What the state of all worlds takes on the device."""
        rows = int(self._template._impl.efc_J.shape[0])
        return Memory(int(self._template._impl.contact.dist.shape[0]), rows, self._bytes())

    def init(self, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> PhysicsState:
        """Return all worlds at (B, nq), (B, nv), (B, nu), time 0, with all sensors current."""
        state: PhysicsState = self._start(*_floats(qpos, qvel, ctrl))
        return state

    def step(self, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        """Hold ``ctrl`` (B, nu) for one control step and return the new state."""
        after: PhysicsState = self._advance(state.backend, *_floats(ctrl))
        return after

    def reset(
        self, state: PhysicsState, mask: jax.Array, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array
    ) -> PhysicsState:
        """Put the worlds of ``mask`` (B,) at the given coordinates as ``init`` would; keep the others."""
        after: PhysicsState = self._again(state, mask, *_floats(qpos, qvel, ctrl))
        return after

    def _load(self) -> Any:
        """Import MJX."""
        return load_mjx()

    def _put_model(self) -> Any:
        """Return the model on the device."""
        return self._mjx.put_model(self.model, impl="jax")

    def _put_world(self, data: mujoco.MjData, contacts: int) -> Any:
        """Return the data of one world, as MuJoCo itself computed it."""
        del contacts
        return self._mjx.put_data(self.model, data, impl="jax")

    def _can_differ(self, field: str) -> bool:
        """Return whether each world may have its own value of a field; flags are fixed when MJX compiles."""
        return isinstance(getattr(self._device_model, field, None), jax.Array)

    def _settle(self, model: Any, data: Any) -> Any:
        """Bring position and velocity sensors, and poses, of one world to its new state."""
        mjx = self._mjx
        data = mjx.camlight(model, mjx.com_pos(model, mjx.kinematics(model, data)))
        data = mjx.sensor_pos(model, data)
        return mjx.sensor_vel(model, mjx.com_vel(model, data))

    def _begin_step(self, data: Any) -> Any:
        """Return the data of all worlds before a step."""
        return data

    def _overflowed(self, data: Any) -> jax.Array:
        """Return (B,) bool: worlds whose buffers were too small."""
        return jnp.zeros((self.worlds,), bool)

    def _by_world(self, edits: ModelEdits, asked: ModelEdits) -> dict[str, jax.Array]:
        """Return the fields that MJX traces; RunError for an asked one that is fixed when it compiles.

        What MuJoCo derived may be fixed: flags of its own short cuts (``body_sameframe``), which MJX does not take.
        """
        found = {}
        for field, values in edits.items():
            if self._can_differ(field):
                own = getattr(self._device_model, field)  # Warp keeps a box as centre and size, MuJoCo in one row
                found[field] = jnp.asarray(values, own.dtype).reshape(self.worlds, *own.shape)
            elif field in asked:
                raise RunError(
                    f"{self.name} cannot give every world its own '{field}'", "use simulation.physics=native"
                )
        return found

    def _map(self, function: Any, *batched: Any) -> Any:
        """Call ``function(model, *one world)`` for every world, with the edited fields of each world's model."""

        def one(fields: dict[str, jax.Array], *world: Any) -> Any:
            return function(self._device_model.tree_replace(fields) if fields else self._device_model, *world)

        return jax.vmap(one)(self._edits, *batched)

    def _start_all(self, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> PhysicsState:
        """Return all worlds at the given coordinates after a forward pass."""
        return self._state(self._placed(qpos, qvel, ctrl), ctrl)

    def _placed(self, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> Any:
        def place(model: Any, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> Any:
            return self._mjx.forward(model, self._template.replace(qpos=qpos, qvel=qvel, ctrl=ctrl))

        return _strong(self._map(place, qpos, qvel, ctrl))

    def _advance_all(self, data: Any, ctrl: jax.Array) -> PhysicsState:
        """Step all worlds through all substeps and bring position and velocity sensors to the new state."""

        def advance(model: Any, data: Any, ctrl: jax.Array) -> Any:
            data = data.replace(ctrl=ctrl)
            data = jax.lax.fori_loop(0, self._substeps, lambda _, d: self._mjx.step(model, d), data)
            return self._settle(model, data)

        return self._state(_strong(self._map(advance, self._begin_step(data), ctrl)), ctrl, safe=True)

    def _reset_all(
        self, state: PhysicsState, mask: jax.Array, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array
    ) -> PhysicsState:
        data = self._merge(mask, self._placed(qpos, qvel, ctrl), state.backend)
        merged = self._state(data, _where(mask, ctrl, state.ctrl))
        return merged._replace(diverged=jnp.where(mask, merged.diverged, state.diverged))

    def _state(self, data: Any, ctrl: jax.Array, *, safe: bool = False) -> PhysicsState:
        """Return the named fields of ``data``; with ``safe``, diverged worlds first go to the default state."""
        # Warp clamps a control that is not a number to its range.
        bad = ~jnp.isfinite(data.sensordata).all(-1) | ~jnp.isfinite(ctrl).all(-1) | self._overflowed(data)
        for values in (data.qpos, data.qvel):
            bad |= ~(jnp.abs(values) <= HUGE).all(-1)
        if safe:
            data = self._merge(bad, self._defaults(), data)
        poses = Poses(data.geom_xpos, data.geom_xmat, data.cam_xpos, data.cam_xmat) if self._poses else None
        sensors, time = data.sensordata, jnp.asarray(data.time, jnp.float32)
        return PhysicsState(data.qpos, data.qvel, jnp.asarray(ctrl, jnp.float32), time, sensors, poses, bad, data)

    def _defaults(self) -> Any:
        """Return all worlds at the default state; what worlds share (Warp's contacts) is not repeated."""
        return jax.vmap(lambda _: self._template)(jnp.arange(self.worlds))

    def _merge(self, mask: jax.Array, new: Any, old: Any) -> Any:
        """Return the data of ``new`` where ``mask`` (B,), else of ``old``."""
        # ``Data.where`` knows which of Warp's leaves (the contact arrays) are shared by all worlds.
        return jax.vmap(lambda chosen, n, o: o.where(chosen, n))(mask, new, old)

    def _bytes(self) -> int:
        """Return the size of all worlds' data."""
        shapes = jax.tree.leaves(jax.eval_shape(self._defaults))
        return int(sum(leaf.size * leaf.dtype.itemsize for leaf in shapes))


def _floats(*arrays: jax.Array) -> list[jax.Array]:
    """Return the arrays as float32, never weakly typed."""
    return [jnp.asarray(array, jnp.float32) for array in arrays]


def _strong(data: Any) -> Any:
    """Fix the types of all leaves, so that a step compiled for one state serves every other."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), data)


def _where(mask: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """Choose by world: ``mask`` (B,) against arrays (B, ...)."""
    return jnp.where(mask.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)
