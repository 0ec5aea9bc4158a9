"""The simulated arm that recordings are played to, many times at once with other parameters.

Nothing on the way can touch anything, and objects lie still: what is identified is the arm.
"""

import copy
import os
from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import rollout

from s2rctl.identification.parameters import Space, space_of
from s2rctl.identification.trace import Trace, averaged
from s2rctl.robots.protocol import RobotSpecification

_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
CHUNK = 40
"""Worlds that are simulated at once."""


class Bench:
    """A robot's scene. ``joints`` are those that a motor moves and that are no grippers, j of them, in target order."""

    def __init__(self, model: mujoco.MjModel, specification: RobotSpecification, threads: int = 0) -> None:
        """Take the scene's model, which is not changed; ``threads`` 0: as many as there are cores."""
        model = copy.copy(model)
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        model.opt.iterations, model.opt.ls_iterations = 100, 50
        self.model, self.specification = model, specification
        grips = {entry.joint for entry in specification.command if entry.kind == "gripper"}
        here = {model.actuator(number).name for number in range(model.nu)}  # a scene may have one arm of two
        every = [n for n, name in enumerate(specification.targets) if name in here]
        rows = [n for n in every if specification.target_joint[n] not in grips]
        self.columns = np.array([specification.target_joint[row] for row in rows])  # of the readings
        self.joints = tuple(specification.joints[column] for column in self.columns)
        self.actuators = np.array([model.actuator(specification.targets[row]).id for row in rows])
        made = [model.joint(name) for name in self.joints]
        self.addresses = np.array([int(joint.qposadr[0]) for joint in made])
        self._dofs = np.array([int(joint.dofadr[0]) for joint in made])
        known = {model.joint(number).name for number in range(model.njnt)}
        self._here = [n for n, name in enumerate(specification.joints) if name in known]
        self._all = np.array([int(model.joint(specification.joints[n]).qposadr[0]) for n in self._here])
        self._others = [
            (model.actuator(specification.targets[n]).id, specification.target_joint[n]) for n in every if n not in rows
        ]
        self.timestep = float(model.opt.timestep)
        self.space = self._space()
        self._models: list[mujoco.MjModel] = []
        self._data = [mujoco.MjData(model) for _ in range(threads or os.cpu_count() or 1)]
        self._pool = rollout.Rollout(nthread=len(self._data))
        home = mujoco.MjData(model)
        if model.nkey:
            mujoco.mj_resetDataKeyframe(model, home, 0)
        self._home, self._home_ctrl = home.qpos.copy(), home.ctrl.copy()

    def close(self) -> None:
        """End the threads."""
        self._pool.close()

    def qpos(self, reading: np.ndarray) -> np.ndarray:
        """Return the model's positions (nq,) at a reading (n,) of all joints."""
        qpos = self._home.copy()
        qpos[self._all] = reading[self._here]
        return qpos

    def put(self, data: mujoco.MjData, reading: np.ndarray, zeros: np.ndarray) -> None:
        """Let an arm stand where it reads ``reading`` (n,), its grippers holding; ``zeros`` (j,): true less read."""
        data.qpos[:], data.ctrl[:] = self.qpos(reading), self._home_ctrl
        data.qpos[self.addresses] += zeros
        for actuator, joint in self._others:
            data.ctrl[actuator] = reading[joint]

    def model_with(self, values: np.ndarray, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """Return a model with parameters (P,) in SI units; their zeros and the delay are no part of a model."""
        model = copy.copy(self.model) if model is None else model
        space, gain = self.space, self.space.part(values, "gain")
        model.dof_armature[self._dofs] = space.part(values, "armature")
        model.dof_damping[self._dofs] = space.part(values, "damping")
        model.dof_frictionloss[self._dofs] = space.part(values, "friction_loss")
        model.actuator_gainprm[self.actuators, 0] = gain
        model.actuator_biasprm[self.actuators, 1] = -gain
        mujoco.mj_setConst(model, self._data[0])
        return model

    def play(self, sets: np.ndarray, trace: Trace) -> np.ndarray:
        """Return the readings (k, M, j) of arms with parameters (k, P) that get a trace's commands from rest on."""
        steps = int(np.ceil(trace.seconds / self.timestep)) + 1
        edges = self.timestep * np.arange(steps + 1)
        return np.concatenate([
            self._played(sets[begin : begin + CHUNK], trace, edges) for begin in range(0, len(sets), CHUNK)
        ])  # fmt: skip

    def _played(self, sets: np.ndarray, trace: Trace, edges: np.ndarray) -> np.ndarray:
        models, starts, controls = [], [], []
        for number, values in enumerate(sets):
            model = self._model(number, values)
            zeros = self.space.part(values, "zero")
            sent = averaged(trace.times, trace.targets, edges, float(values[-1]))
            start, control = self._begun(model, trace.start, zeros, len(edges) - 1)
            # before the first command takes effect, the motors hold what they hold
            waiting = edges[1:] <= trace.times[0] + float(values[-1])
            control[:, self.actuators] = np.where(waiting[:, None], control[0, self.actuators], sent + zeros)
            models.append(model)
            starts.append(start)
            controls.append(control)
        states = self._rolled(models, np.stack(starts), np.stack(controls))
        return np.stack([
            _at(edges, states[number], trace.seen) - self.space.part(values, "zero")
            for number, values in enumerate(sets)
        ])  # fmt: skip

    def ahead(self, values: np.ndarray, trace: Trace, begins: np.ndarray, period: float) -> np.ndarray:
        """Return where arms that are as a trace says at readings ``begins`` (b,) are ``period`` s later, (b, j)."""
        steps = max(1, round(period / self.timestep))
        model, zeros, delay = self._model(0, values), self.space.part(values, "zero"), float(values[-1])
        speeds = np.gradient(trace.joints, trace.seen, axis=0)
        starts, controls = [], []
        for begin in begins:
            start, control = self._begun(model, trace.start, zeros, steps)
            start = start.copy()
            size = self.model.nq
            start[1 + self.addresses] = trace.joints[begin] + zeros
            start[1 + size + self._dofs] = speeds[begin]
            edges = trace.seen[begin] + self.timestep * np.arange(steps + 1)
            control[:, self.actuators] = averaged(trace.times, trace.targets, edges, delay) + zeros
            starts.append(start)
            controls.append(control)
        states = self._rolled([model] * len(begins), np.stack(starts), np.stack(controls))
        return np.asarray(states[:, -1] - zeros)

    def _model(self, number: int, values: np.ndarray) -> mujoco.MjModel:
        """Return one of the models that are kept, with other parameters."""
        while len(self._models) <= number:
            self._models.append(copy.copy(self.model))
        return self.model_with(values, self._models[number])

    def _begun(
        self, model: mujoco.MjModel, reading: np.ndarray, zeros: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the state (s,) of an arm at rest and control inputs (steps, nu) that keep it there.

        A position motor holds a joint by being told to go further than it is, by the load over its gain.
        """
        data = self._data[0]
        mujoco.mj_resetData(model, data)
        self.put(data, reading, zeros)
        mujoco.mj_forward(model, data)
        load = data.qfrc_bias[self._dofs] - data.qfrc_passive[self._dofs]
        data.ctrl[self.actuators] = data.qpos[self.addresses] + load / model.actuator_gainprm[self.actuators, 0]
        state = np.empty(mujoco.mj_stateSize(model, _STATE))
        mujoco.mj_getState(model, data, state, _STATE)
        return state, np.tile(data.ctrl, (steps, 1))

    def _rolled(self, models: Sequence[mujoco.MjModel], starts: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """Return the joints' true positions (k, steps + 1, j)."""
        states, _ = self._pool.rollout(list(models), self._data, starts, controls)
        whole = np.concatenate([starts[:, None], states], axis=1)
        return np.asarray(whole[:, :, 1 + self.addresses])

    def _space(self) -> Space:
        model, data = self.model, mujoco.MjData(self.model)
        mujoco.mj_setConst(model, data)
        return space_of(
            self.joints,
            model.dof_armature[self._dofs].copy(),
            model.dof_damping[self._dofs].copy(),
            model.dof_frictionloss[self._dofs].copy(),
            model.actuator_gainprm[self.actuators, 0].copy(),
            model.dof_M0[self._dofs].copy(),
        )


def _at(edges: np.ndarray, positions: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return positions (M, j) at times (M,) from those at ``edges`` (S,)."""
    return np.stack([np.interp(times, edges, column) for column in positions.T], axis=1)
