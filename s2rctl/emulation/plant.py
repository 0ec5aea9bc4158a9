"""The simulated body behind emulated devices: MuJoCo with delayed commands."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from s2rctl.scene.poses import Poses


@dataclass(frozen=True)
class PlantStart:
    """Where an episode begins, and the model fields that differ in it (field name -> whole array)."""

    qpos: np.ndarray
    qvel: np.ndarray
    ctrl: np.ndarray
    fields: Mapping[str, np.ndarray] = field(default_factory=dict)


class Plant:
    """One MuJoCo world that is advanced to given times and obeys actuator targets when they take effect."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self.data = mujoco.MjData(model)
        self._nominal: dict[str, np.ndarray] = {}
        self._queue: deque[tuple[float, np.ndarray]] = deque()
        self._origin = 0.0
        self._steps = 0
        self.before_step: Callable[[], None] | None = None  # for a controller that moves targets in every time step
        mujoco.mj_forward(model, self.data)

    @property
    def time(self) -> float:
        """Time reached, s of the clock that drives the plant."""
        return self._origin + self._steps * float(self.model.opt.timestep)

    def reset(self, start: PlantStart, t: float) -> None:
        """Begin an episode at clock time ``t`` s."""
        self._edit(start.fields)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:], self.data.ctrl[:] = start.qpos, start.qvel, start.ctrl
        mujoco.mj_forward(self.model, self.data)
        self._queue.clear()
        self._origin, self._steps = t, 0

    def command(self, ctrl: np.ndarray, effective: float) -> None:
        """Let actuator targets (nu,) take effect at clock time ``effective`` s; a later command never overtakes."""
        if self._queue:
            effective = max(effective, self._queue[-1][0])
        self._queue.append((effective, np.array(ctrl, float)))

    def step(self) -> None:
        """Advance by one time step."""
        while self._queue and self._queue[0][0] <= self.time + 1e-9:
            self.data.ctrl[:] = self._queue.popleft()[1]
        if self.before_step is not None:
            self.before_step()
        mujoco.mj_step(self.model, self.data)
        self._steps += 1

    def advance(self, t: float) -> None:
        """Step until the clock time ``t`` s is reached; sensors and poses are then current."""
        moved = False
        while self.time < t - 0.5 * float(self.model.opt.timestep):
            self.step()
            moved = True
        if moved:
            mujoco.mj_forward(self.model, self.data)

    def poses(self) -> Poses:
        """Return a copy of all geom and camera poses with a batch of one."""
        data, one = self.data, (1, -1, 3, 3)
        return Poses(
            geom_xpos=data.geom_xpos[None].astype(np.float32),  # type: ignore[arg-type]
            geom_xmat=data.geom_xmat.reshape(one).astype(np.float32),  # type: ignore[arg-type]
            cam_xpos=data.cam_xpos[None].astype(np.float32),  # type: ignore[arg-type]
            cam_xmat=data.cam_xmat.reshape(one).astype(np.float32),  # type: ignore[arg-type]
        )

    def _edit(self, fields: Mapping[str, np.ndarray]) -> None:
        """Write this episode's model fields over the nominal ones, and let MuJoCo derive what follows from them."""
        for name, value in self._nominal.items():
            getattr(self.model, name)[:] = value
        self._nominal = {name: getattr(self.model, name).copy() for name in fields}
        for name, value in fields.items():
            getattr(self.model, name)[:] = value
        if fields:
            mujoco.mj_setConst(self.model, self.data)
