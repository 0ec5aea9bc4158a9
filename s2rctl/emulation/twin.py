"""The rehearsal twin: a robot and its cameras whose body is MuJoCo, behind the same protocols as the real devices.

Physics is advanced lazily to the clock's time when someone reads, so that the same twin runs in lockstep with a virtual
clock and in real time with a real one. Images come from an injected function: this package loads no renderer.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from s2rctl.core.clock import Clock
from s2rctl.core.errors import SafetyStop
from s2rctl.emulation.faults import Faults
from s2rctl.emulation.plant import Plant, PlantStart
from s2rctl.emulation.setpoints import SetPoints
from s2rctl.emulation.tool_drive import ToolDrive
from s2rctl.robots.poses import home_target, tool_poses
from s2rctl.robots.protocol import Frame, Identity, RobotSpecification, State, StopLevel, Target
from s2rctl.scene.poses import Poses
from s2rctl.schema.robots import ToolLimits
from s2rctl.schema.tensors import depth_name, rgb_name

Render = Callable[[Poses], Mapping[str, np.ndarray]]
"""Poses with a batch of one -> for each camera ``rgb_<camera>`` (H, W, 3) uint8 and, where it has depth,
``depth_<camera>`` (H, W) uint16 counts: what a camera's driver would deliver."""


@dataclass
class _Shot:
    """A captured frame: poses first, pixels when somebody looks."""

    t: float
    poses: Poses
    dark: bool  # depth is all nothing
    images: Mapping[str, np.ndarray] | None = None


class Twin:
    """Implements ``Robot``; its cameras are in ``cameras``. Every random event comes from the episode's seed."""

    def __init__(
        self,
        model: mujoco.MjModel,
        specification: RobotSpecification,
        clock: Clock,
        cameras: Sequence[str],
        render: Render | None,
        faults: Faults,
        limits: ToolLimits | None = None,
        *,
        period_s: float,
        setpoint_speed: float | None = None,
    ) -> None:
        """Cameras deliver every ``period_s`` s; ``limits`` are those of a robot that takes tool positions.

        The set-points of joints follow commands at ``setpoint_speed`` rad/s, as the device's own do; None: at once.
        """
        self.specification = specification
        space = specification.space
        if space.tools and limits is None:
            raise ValueError("a robot that takes tool positions needs the limits of its controller")
        self._drives = {arm: ToolDrive(specification, limits, arm) for arm in space.tools} if limits else {}
        self.plant = Plant(model)
        self._clock, self._render, self._faults = clock, render, faults
        self._period = period_s
        joints = [model.joint(name) for name in specification.joints]
        self._qpos = np.array([int(joint.qposadr[0]) for joint in joints])
        self._qvel = np.array([int(joint.dofadr[0]) for joint in joints])
        self._ctrl = np.array([model.actuator(name).id for name in specification.targets])
        driven = {joint: number for number, joint in enumerate(specification.target_joint)}
        self._driven = self._ctrl[[driven[joint] for joint in space.joints]]  # actuators that the command moves itself
        turning = [n for n in space.driven if space.entries[n].kind == "joint"]
        self._aim: SetPoints | None = None
        if setpoint_speed is not None and turning:
            self._aim = SetPoints(np.array(turning), self._driven[np.isin(space.driven, turning)], setpoint_speed)
        self.plant.before_step = self._follow if self._drives or self._aim else None
        self.cameras = [TwinCamera(self, index, name) for index, name in enumerate(cameras)]
        self._shots: list[_Shot | None] = [None] * len(cameras)
        self._rng = np.random.default_rng(0)
        self._begun = self._next_shot = 0.0
        self._frozen: State | None = None
        self._stopped = False
        self._lock = threading.RLock()  # a watchdog stops from its own thread
        self.stops: list[StopLevel] = []

    def reset(self, start: PlantStart, seed: int) -> None:
        """Begin an episode now."""
        self._rng = np.random.default_rng(seed)
        self._begun = self._next_shot = self._clock.now()
        self._frozen, self._stopped = None, False
        self.stops.clear()
        self._shots = [None] * len(self.cameras)
        self.plant.reset(start, self._begun)
        if self._aim is not None:
            self._aim.reset(self.plant.data.ctrl)
        for drive in self._drives.values():
            drive.reset(self.plant.data.qpos[self._qpos])
        self.catch_up()

    def catch_up(self) -> None:
        """Advance the body to the clock, taking a camera shot at every control period that passes."""
        now = self._clock.now()
        while self._next_shot <= now + 1e-9:
            self.plant.advance(self._next_shot)
            self._shoot()
            self._next_shot += self._period
        self.plant.advance(now)

    def connect(self) -> Identity:
        """Return the twin's identity."""
        return Identity(f"twin of {self.specification.name}", "simulated", mujoco.__version__)

    def read(self) -> State:
        """Return the joints as they are now, with the injected faults."""
        with self._lock:
            self.catch_up()
            return self._measure()

    def _measure(self) -> State:
        faults, t = self._faults, self._clock.now() - self._begun
        if self._frozen is not None:
            return self._frozen
        joint_pos = self.plant.data.qpos[self._qpos].copy()
        tool = tool_poses(self.specification, joint_pos)
        if _reached(faults.nan_at_s, t):
            joint_pos[0] = np.nan
        codes = ("injected device error",) if _reached(faults.error_at_s, t) else ()
        state = State(self._clock.now(), joint_pos, self.plant.data.qvel[self._qvel].copy(), tool, codes)
        if _reached(faults.silence_at_s, t):
            self._frozen = state
        return state

    def send(self, target: Target) -> None:
        """Pass the target to the actuators after the injected latency; SafetyStop for one that is not the robot's."""
        if not self.specification.space.takes(target.values):
            raise SafetyStop(f"the twin takes {len(self.specification.space)} finite numbers")
        with self._lock:
            self.catch_up()
            if not self._stopped:
                self._command(target)

    def _command(self, target: Target) -> None:
        effective = self._clock.now() + float(self._rng.uniform(*self._faults.latency_s))
        space = self.specification.space
        for arm, entries in space.tools.items():
            self._drives[arm].aim(target.values[entries], effective)
        if self._aim is not None:
            self._aim.aim(target.values, effective)
        if len(space.driven):
            ctrl = self.plant.data.ctrl.copy()
            ctrl[self._driven] = target.values[space.driven]
            self.plant.command(ctrl, effective)

    def _follow(self) -> None:
        """Move the joint targets by what the controllers plan in one time step."""
        if self._aim is not None:
            self._aim.tick(self.plant.data.ctrl, self.plant.time, float(self.plant.model.opt.timestep))
        for drive in self._drives.values():
            joints = drive.tick(self.plant.time, float(self.plant.model.opt.timestep))
            if joints is not None:
                self.plant.data.ctrl[self._ctrl[drive.targets]] = joints

    def hold(self) -> None:
        """Position actuators hold by themselves."""

    def stop(self, level: StopLevel) -> None:
        """Hold the present joint positions and take no more targets until the next reset or ``recover``."""
        with self._lock:
            self.stops.append(level)
            self._stopped = True
            ctrl = self.plant.data.ctrl.copy()
            ctrl[self._ctrl] = self.plant.data.qpos[self._qpos[list(self.specification.target_joint)]]
            for drive in self._drives.values():
                drive.reset(self.plant.data.qpos[self._qpos])
            if self._aim is not None:
                self._aim.reset(ctrl)
            self.plant.command(ctrl, self.plant.time)

    def parking(self) -> Target:
        """Return the home pose."""
        return home_target(self.specification)

    def recover(self) -> None:
        """Take targets again."""
        self._stopped = False

    def close(self) -> None:
        """Nothing is open."""

    def _shoot(self) -> None:
        """Capture one frame per camera, unless a fault keeps it from arriving."""
        t = self.plant.time
        if _reached(self._faults.freeze_cameras_at_s, t - self._begun):
            return
        shot = _Shot(t, self.plant.poses(), bool(self._rng.random() < self._faults.depth_blackout))
        for index in range(len(self.cameras)):
            first = self._shots[index] is None
            if first or not self._rng.random() < self._faults.frame_drop:
                self._shots[index] = shot

    def image(self, index: int, name: str) -> Frame | None:
        """Return the newest frame of one camera."""
        with self._lock:
            self.catch_up()
            shot = self._shots[index]
        if shot is None or self._render is None:
            return None
        if shot.images is None:
            shot.images = self._render(shot.poses)
        depth = shot.images.get(depth_name(name))
        if depth is not None and shot.dark:
            depth = np.zeros_like(depth)
        return Frame(shot.t, shot.images[rgb_name(name)], depth)


class TwinCamera:
    """One camera of a twin."""

    def __init__(self, twin: Twin, index: int, name: str) -> None:
        self.name = name
        self._twin, self._index = twin, index

    def latest(self) -> Frame | None:
        """Return the newest frame."""
        return self._twin.image(self._index, self.name)

    def close(self) -> None:
        """Nothing is open."""


def _reached(at: float | None, t: float) -> bool:
    return at is not None and t >= at - 1e-9
