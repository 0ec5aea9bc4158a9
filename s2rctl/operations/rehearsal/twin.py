"""The rehearsal twin of a profile: MuJoCo body, rendered cameras and the task's own judge.

This is where the robot side meets JAX: starts, images and judgement come from the code that training uses, as plain
functions of numpy arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.core.clock import Clock
from s2rctl.emulation.faults import Faults
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.twin import Twin
from s2rctl.env.build import make_images, make_model, make_task
from s2rctl.env.images import Images
from s2rctl.env.keys import make_key
from s2rctl.env.randomise import draw_params, model_edits
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import CameraSource, Robot
from s2rctl.scene.poses import Poses
from s2rctl.scene.signals import SignalReader
from s2rctl.schema.profile import Profile
from s2rctl.systems import system_named
from s2rctl.tasks.protocol import Params, Task, World


@dataclass(frozen=True)
class Verdict:
    """What the task says of a finished episode."""

    success: bool
    failure: str
    steps: int


class Judge:
    """Follows an episode with the task's own functions; every episode has its own draw of the task's quantities."""

    def __init__(self, task: Task, model: mujoco.MjModel) -> None:
        self._task, self._model = task, model
        reader: SignalReader[Any] = SignalReader(model, task.signals)

        def advance(state: Any, params: Params, before: Any, after: Any, action: jax.Array) -> Any:
            world = World(reader.read(before[0]), before[1], state, params)
            _, moved = task.target(world, action)
            return task.advance(World(reader.read(after[0]), after[1], moved, params), action)

        self._advance = jax.jit(advance)
        self._reset = jax.jit(task.reset)
        self._params: Params = {}
        self._state: Any = None
        self._outcome: Any = None
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self.steps = 0

    @property
    def episode_steps(self) -> int:
        """Length of an episode in control steps."""
        return self._task.episode_steps

    @property
    def goal(self) -> np.ndarray | None:
        """The goal (3,) m in the robot's base frame, for tasks that have one."""
        goal = getattr(self._state, "goal", None)
        return None if goal is None else np.asarray(goal)

    def start(self, seed: int) -> PlantStart:
        """Draw an episode and return where its body begins."""
        quantities_key, start_key = jax.random.split(make_key(seed))
        drawn = draw_params(self._task.randomised, quantities_key, 1)
        edits = model_edits(self._model, self._task.randomised, drawn)
        self._params = {name: value[0] for name, value in drawn.items()}
        start = self._reset(start_key, self._params)
        self._state, self._outcome, self._last, self.steps = start.state, None, None, 0
        return PlantStart(
            np.asarray(start.qpos, float),
            np.asarray(start.qvel, float),
            np.asarray(start.ctrl, float),
            {name: np.asarray(rows)[0] for name, rows in edits.items()},
        )

    def watch(self, data: mujoco.MjData, action: np.ndarray) -> bool:
        """Judge the body after a control step (called once before the first, with any action); return whether it ended.

        ``action`` (n,) is in [-1, 1].
        """
        now = (data.sensordata.astype(np.float32), data.ctrl.astype(np.float32))
        before, self._last = self._last, now
        if before is None:
            return False
        self._outcome = self._advance(self._state, self._params, before, now, jnp.asarray(action, jnp.float32))
        self._state = self._outcome.state
        self.steps += 1
        return bool(self._outcome.done) or self.steps >= self._task.episode_steps

    def verdict(self) -> Verdict:
        """Return what the last judged step means for the episode."""
        if self._outcome is None:
            return Verdict(False, "not_started", 0)
        success = bool(self._outcome.success)
        index = int(self._outcome.failure)
        names = self._task.failures
        failure = "none" if success else names[index] if 0 < index < len(names) else "timeout"
        return Verdict(success, failure, self.steps)


class Eyes:
    """Renders the policy cameras of one world, with one appearance per episode, as in training."""

    def __init__(self, images: Images) -> None:
        self.cameras = tuple(camera.name for camera in images.cameras)
        self._images = images
        self._draw = jax.jit(lambda key: images.draw(key, 1))
        self._take = jax.jit(images.take)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Draw the episode's appearance."""
        self._key = make_key(seed)
        self._look = self._draw(self._key)

    def __call__(self, poses: Poses) -> dict[str, np.ndarray]:
        """Return the camera tensors by name for poses with a batch of one."""
        self._key, key = jax.random.split(self._key)
        images = self._take(key, poses, *self._look)
        return {name: np.asarray(image)[0] for name, image in images.items()}


@dataclass(frozen=True)
class TwinRig:
    """Implements ``RehearsalRig`` with a twin inside this process."""

    twin: Twin
    judge: Judge
    eyes: Eyes

    @property
    def robot(self) -> Robot:
        """The twin."""
        return self.twin

    @property
    def cameras(self) -> Sequence[CameraSource]:
        """The twin's cameras."""
        return self.twin.cameras

    @property
    def model(self) -> mujoco.MjModel:
        """The scene."""
        return self.twin.plant.model

    def begin(self, seed: int) -> None:
        """Start the episode of a seed."""
        start = self.judge.start(seed)
        self.eyes.reset(seed)
        self.twin.reset(start, seed)
        self.judge.watch(self.twin.plant.data, np.zeros(1))

    def look(self) -> mujoco.MjData:
        """Return the body as it is now."""
        self.twin.catch_up()
        return self.twin.plant.data

    def close(self) -> None:
        """Nothing is open."""


def make_rehearsal(profile: Profile, clock: Clock, faults: Faults) -> TwinRig:
    """Return the rig of a profile: its scene, cameras and task, compiled and ready to run in real time."""
    name = system_named(profile.system).deployed.task
    model = make_model(profile, name)
    task = make_task(profile, name, model)
    eyes = Eyes(make_images(profile, name, model))
    twin = Twin(
        model,
        ROBOTS.load(profile.robot.name),
        clock,
        eyes.cameras,
        eyes,
        faults,
        profile.tool_limits,
        period_s=profile.simulation.period_s,
        setpoint_speed=profile.setpoint_speed(profile.deploy.safety.joint_speed),
    )
    rehearsal = TwinRig(twin, Judge(task, model), eyes)
    rehearsal.begin(0)
    eyes(twin.plant.poses())
    rehearsal.judge.watch(twin.plant.data, np.zeros(task.action_size))
    return rehearsal
