"""MuJoCo's C++ batch behind a functional JAX interface.

A host callback loads the rows of all worlds, steps them on MuJoCo's thread pool and returns new rows, so a step is a
pure function of arrays. The ``backend`` leaf is the float64 integration state (with the warm start of the solver) seen
as uint32: nothing is rounded on the way through JAX, and a trajectory has the bits of stepping the batch directly.
Inside the callbacks there is only numpy: JAX operations there can deadlock the CPU client.
"""

import copy
import logging
import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

from s2rctl.physics.edits import apply_edits
from s2rctl.physics.protocol import ModelEdits, PhysicsState
from s2rctl.physics.room import Memory
from s2rctl.scene.host import call_host
from s2rctl.scene.poses import Poses

HUGE = 1e4
"""A world is called diverged when a coordinate (m, rad) or speed (m/s, rad/s) is beyond this: far outside any scene."""

_UNSTABLE = "The simulation is unstable"  # how MuJoCo ends its divergence warnings
_VELOCITY = int(mujoco.mjtStage.mjSTAGE_VEL)

Rows = tuple[np.ndarray, ...]


class NativePhysics:
    """``worlds`` copies of ``model`` on ``threads`` CPU threads (0: all cores), ``substeps`` physics steps per step.

    Position and velocity sensors are current at the returned state. Sensors of the acceleration stage (contact, force,
    touch) hold the values of the last substep, which begins one time step earlier; after ``init`` and ``reset`` they
    are those of a full forward pass. ``diverged`` worlds have been put at the model's default state, at rest.
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
        contacts: int = 0,
    ) -> None:
        del contacts  # MuJoCo's own buffers grow; a world whose arena is full is flagged as diverged
        _route_warnings()
        self.model = model
        self.worlds = worlds
        self._substeps = substeps
        self._lock = threading.Lock()
        self._batch = Batch(_dense(model), worlds, threads)
        apply_edits(self._batch, edits or {})
        self._batch.reset(stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        self._safe = self._batch.state.copy()
        fields = ("geom_xpos", "geom_xmat", "cam_xpos", "cam_xmat") if poses else ()
        self._outputs = tuple(self._batch.bind(name) for name in ("sensordata", *fields))
        self._shapes = self._result_shapes(poses)

    @property
    def memory(self) -> Memory:
        """What a state of all worlds takes; the batch itself lives in the host's memory, with buffers that grow."""
        return Memory(0, 0, int(sum(shape.size * shape.dtype.itemsize for shape in self._shapes)))

    def init(self, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array) -> PhysicsState:
        """Return all worlds at (B, nq), (B, nv), (B, nu), time 0, with all sensors current."""
        mask = jnp.ones((self.worlds,), bool)
        return self._call(self._start_rows, mask, qpos, qvel, ctrl, ctrl=ctrl)

    def step(self, state: PhysicsState, ctrl: jax.Array) -> PhysicsState:
        """Hold ``ctrl`` (B, nu) for one control step and return the new state."""
        return self._call(self._step_rows, state.backend, ctrl, ctrl=ctrl)

    def reset(
        self, state: PhysicsState, mask: jax.Array, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array
    ) -> PhysicsState:
        """Put the worlds of ``mask`` (B,) at the given coordinates as ``init`` would; keep the others."""
        fresh = self._call(self._start_rows, mask, qpos, qvel, ctrl, ctrl=ctrl)

        def pick(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(mask.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

        return jax.tree.map(pick, fresh, state)

    def _result_shapes(self, poses: bool) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes of what a callback returns: backend, diverged, qpos, qvel, time, sensors and perhaps four poses."""
        worlds, model = self.worlds, self.model
        floats = [(model.nq,), (model.nv,), (), (model.nsensordata,)]
        if poses:
            floats += [(model.ngeom, 3), (model.ngeom, 3, 3), (model.ncam, 3), (model.ncam, 3, 3)]
        return (
            jax.ShapeDtypeStruct((worlds, 2 * self._batch.nstate), jnp.uint32),
            jax.ShapeDtypeStruct((worlds,), jnp.bool_),
            *(jax.ShapeDtypeStruct((worlds, *shape), jnp.float32) for shape in floats),
        )

    def _call(self, rows: Callable[..., Rows], *arguments: jax.Array, ctrl: jax.Array) -> PhysicsState:
        """Run a callback and name what it returns."""
        out = call_host(rows, self._shapes, *arguments)
        backend, diverged, qpos, qvel, time, sensors, *drawn = out
        return PhysicsState(
            qpos=qpos,
            qvel=qvel,
            ctrl=jnp.asarray(ctrl, jnp.float32),
            time=time,
            sensors=sensors,
            poses=Poses(*drawn) if drawn else None,
            diverged=diverged,
            backend=backend,
        )

    def _step_rows(self, backend: np.ndarray, ctrl: np.ndarray) -> Rows:
        """Load all rows, step them, return them; worlds that fail end at the safe state and are flagged."""
        with self._lock:
            self._batch.state[...] = np.asarray(backend).view(np.float64)
            self._batch.bind("ctrl")[...] = np.asarray(ctrl)
            self._batch.warning[...] = 0
            failed = self._run(lambda: self._batch.step(nstep=self._substeps, stage=_VELOCITY))
            return self._collect(failed)

    def _start_rows(self, mask: np.ndarray, qpos: np.ndarray, qvel: np.ndarray, ctrl: np.ndarray) -> Rows:
        """Place the worlds of ``mask`` and run the full forward pass on them; the other rows mean nothing."""
        chosen = np.asarray(mask)
        with self._lock:
            self._batch.state[...] = self._safe
            self._batch.warning[...] = 0
            for name, values in (("qpos", qpos), ("qvel", qvel), ("ctrl", ctrl)):
                self._batch.bind(name)[chosen] = np.asarray(values)[chosen]
            failed = self._run(lambda: self._batch.forward(chosen))
            return self._collect(failed)

    def _run(self, call: Callable[[], None]) -> np.ndarray:
        """Run a batch call and return (B,) bool: worlds that raised an error."""
        failed = np.zeros(self.worlds, bool)
        try:
            call()
        except SimulationError as error:
            failed[error.ids] = True
        return failed

    def _collect(self, failed: np.ndarray) -> Rows:
        """Copy the batch's rows and outputs after making diverged worlds safe."""
        batch = self._batch
        qpos, qvel = batch.bind("qpos"), batch.bind("qvel")
        bad = failed | batch.warning[:, :, 1].any(axis=1) | ~np.isfinite(batch.state).all(axis=1)
        bad |= (np.abs(qpos) > HUGE).any(axis=1) | (np.abs(qvel) > HUGE).any(axis=1)
        bad |= ~np.isfinite(self._outputs[0]).all(axis=1)
        if bad.any():
            batch.state[bad] = self._safe[bad]
            batch.forward(bad)
        sensors, *drawn = self._outputs
        floats = [qpos, qvel, batch.bind("time"), sensors, *drawn]
        shapes = self._shapes[2:]
        # Copies: the arrays leave the lock, the batch's own memory is written by the next call.
        rows = batch.state.copy().view(np.uint32)
        return (
            rows,
            bad,
            *(a.astype(np.float32).reshape(s.shape) for a, s in zip(floats, shapes, strict=True)),
        )


def _dense(model: mujoco.MjModel) -> mujoco.MjModel:
    """Return a copy with dense constraint Jacobians: the sparse Newton factor of MuJoCo 4.0.0 is wrong."""
    copied = copy.copy(model)
    copied.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    return copied


def _route_warnings() -> None:
    """Send MuJoCo's warnings to Python logging, where divergence is a detail: it is flagged, counted and reset.

    Without a handler MuJoCo writes MUJOCO_LOG.TXT into the working directory and prints to the terminal.
    """
    if mujoco.get_mju_user_warning() is not None:
        return
    log = logging.getLogger("s2rctl.physics")

    def handle(message: str) -> None:
        log.log(logging.DEBUG if _UNSTABLE in message else logging.WARNING, "mujoco: %s", message)

    mujoco.set_mju_user_warning(handle)
