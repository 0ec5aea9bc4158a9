"""Rehearsal through the real driver: the vendor's SDK speaks to an emulated device in a process of its own.

Only what no device offers goes past the wire: the beginning of an episode, what the cameras would see, and the state
that the task judges.
"""

import gc
import threading
import time
from collections.abc import Mapping, Sequence

import mujoco
import numpy as np

from s2rctl.core.channel import Message
from s2rctl.core.errors import SafetyStop
from s2rctl.emulation.faults import Faults
from s2rctl.emulation.plant import Plant, PlantStart
from s2rctl.emulation.remote import EmulatorProcess, Shot
from s2rctl.env.build import make_images, make_model, make_task
from s2rctl.operations.rehearsal.twin import Eyes, Judge
from s2rctl.robots import make_driver
from s2rctl.robots.protocol import Frame, Robot
from s2rctl.schema.profile import Profile
from s2rctl.schema.robots import RobotSection
from s2rctl.schema.tensors import depth_name, rgb_name
from s2rctl.systems import system_named

ERROR_FAULT = {"aloha": "overload", "xarm7": "collision"}
"""The device error that ``Faults.error_at_s`` means for each robot."""
SETTLED_S = 0.1
"""After a reset the measurements must be this much newer: drivers compute speeds over a short past."""
FIRST_FRAME_S = 10.0
CAMERA_HZ = 30.0
"""Frame rate of cameras that ``robot.cameras`` does not describe: what a D405 and most webcams deliver by default."""


class Photographer:
    """Renders the newest camera shot in a thread of its own, as a camera delivers frames beside the loop."""

    def __init__(self, eyes: Eyes, faults: Faults) -> None:
        self._eyes, self._faults = eyes, faults
        self._wake = threading.Condition()
        self._waiting: Shot | None = None
        self._frames: dict[str, Frame] = {}
        self._rng = np.random.default_rng(0)
        self._since = float("inf")
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="photographer", daemon=True)
        self._thread.start()

    def begin(self, seed: int) -> None:
        """Forget all frames and take only shots of episodes that begin from now on."""
        with self._wake:
            self._eyes.reset(seed)
            self._rng = np.random.default_rng(seed)
            self._since, self._waiting = time.monotonic(), None
            self._frames = {}

    def take(self, shot: Shot) -> None:
        """Note a shot; where the one before is not drawn yet, it is dropped as a camera drops frames."""
        with self._wake:
            self._waiting = shot
            self._wake.notify()

    def frame(self, name: str) -> Frame | None:
        """Return the newest frame of one camera."""
        return self._frames.get(name)

    def close(self) -> None:
        """End the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closing or self._waiting is not None)
                if self._closing:
                    return
                shot, self._waiting = self._waiting, None
                since = self._since
            if shot is None or shot.begun < since or self._is_frozen(shot):
                continue
            images = self._eyes(shot.poses)
            with self._wake:
                if since == self._since:  # no other episode has begun meanwhile
                    self._publish(shot, images)

    def _is_frozen(self, shot: Shot) -> bool:
        at = self._faults.freeze_cameras_at_s
        return at is not None and shot.t - shot.begun >= at - 1e-9

    def _publish(self, shot: Shot, images: Mapping[str, np.ndarray]) -> None:
        """Replace the frames of the cameras whose frame arrives."""
        dark = bool(self._rng.random() < self._faults.depth_blackout)
        frames = dict(self._frames)
        for name in self._eyes.cameras:
            lost = self._rng.random() < self._faults.frame_drop
            if lost and name in frames:
                continue
            depth = images.get(depth_name(name))
            if depth is not None and dark:
                depth = np.zeros_like(depth)
            frames[name] = Frame(shot.t, images[rgb_name(name)], depth)
        self._frames = frames


class WireCamera:
    """One camera of the rehearsal."""

    def __init__(self, photographer: Photographer, name: str) -> None:
        self.name = name
        self._photographer = photographer

    def latest(self) -> Frame | None:
        """Return the newest frame."""
        return self._photographer.frame(self.name)

    def close(self) -> None:
        """Do nothing: the photographer belongs to the rehearsal."""


class DriverRig:
    """Implements ``RehearsalRig``: driver, wire, emulated device."""

    def __init__(self, profile: Profile, model: mujoco.MjModel, judge: Judge, eyes: Eyes, faults: Faults) -> None:
        self.judge, self.model, self._eyes, self._faults = judge, model, eyes, faults
        self._name = profile.robot.name
        slowest = min((camera.fps for camera in profile.robot.cameras.values()), default=CAMERA_HZ)
        self._period = 1.0 / max(slowest, profile.simulation.rate_hz)
        self._mirror = mujoco.MjData(model)
        self._photographer = Photographer(eyes, faults)
        self.cameras: Sequence[WireCamera] = [WireCamera(self._photographer, name) for name in eyes.cameras]
        try:
            self.device = EmulatorProcess(self._name, model, self._photographer.take)
        except BaseException:
            self._photographer.close()
            raise
        try:
            settings = located(profile.robot, self.device.settings)
            self.robot: Robot = make_driver(settings, profile.deploy.safety, profile.simulation.period_s)
        except BaseException:
            self.device.close()
            self._photographer.close()
            raise

    def begin(self, seed: int) -> None:
        """Start the episode of a seed: the device is put there, the driver connects anew, then time begins."""
        start = self.judge.start(seed)
        self._reset(start, seed, begins=False)
        self.robot.close()
        self.robot.connect()
        self._photographer.begin(seed)
        begun = time.monotonic()
        message = self._reset(start, seed, begins=True)
        self._fill(message)
        self.judge.watch(self._mirror, np.zeros(1))
        self._wait(begun)

    def look(self) -> mujoco.MjData:
        """Return the body as the emulator has it now."""
        self._fill(self.device.look())
        return self._mirror

    def close(self) -> None:
        """Disconnect the driver, then end the emulator."""
        try:
            self.robot.close()
        finally:
            self.device.close()
            self._photographer.close()
            gc.unfreeze()

    def _reset(self, start: PlantStart, seed: int, *, begins: bool) -> Message:
        """Put the device where the episode begins; its faults and its cameras only run in the episode itself."""
        faults = []
        if self._faults.silence_at_s is not None:
            faults.append((self._faults.silence_at_s, "silence"))
        if self._faults.error_at_s is not None:
            faults.append((self._faults.error_at_s, ERROR_FAULT[self._name]))
        return self.device.reset(
            start,
            seed,
            latency_s=self._faults.latency_s if begins else (0.0, 0.0),
            period=self._period if begins else 0.0,
            faults=faults if begins else (),
        )

    def _fill(self, message: Message) -> None:
        for name, array in message.arrays.items():
            getattr(self._mirror, name)[:] = array
        self._mirror.time = message.values["t"]

    def _wait(self, begun: float) -> None:
        """Wait until measurements and frames are of this episode."""
        deadline = time.monotonic() + FIRST_FRAME_S
        while time.monotonic() < deadline:
            measured = self.robot.read().t > begun + SETTLED_S
            if measured and all(camera.latest() is not None for camera in self.cameras):
                return
            time.sleep(0.005)
        raise SafetyStop(
            "the emulated robot delivers no measurements or no frames", "check whether the computer is overloaded"
        )


def located(robot: RobotSection, settings: Sequence[str]) -> RobotSection:
    """Return the profile's robot section with an emulated device's own address or ports."""
    values = robot.model_dump() | {"driver": "direct"}  # the emulated device is on the vendor's own wire
    for setting in settings:
        path, _, value = setting.partition("=")
        keys = path.split(".")[1:]
        if len(keys) == 1:
            values[keys[0]] = value
        else:
            values[keys[0]] = values[keys[0]] | {keys[1]: value}
    return type(robot).model_validate(values)


def make_rehearsal(profile: Profile, faults: Faults) -> DriverRig:
    """Return the rig of a profile on the wire, compiled and ready to run in real time."""
    name = system_named(profile.system).deployed.task
    model = make_model(profile, name)
    task = make_task(profile, name, model)
    eyes = Eyes(make_images(profile, name, model))
    judge = Judge(task, model)
    body = Plant(model)
    body.reset(judge.start(0), 0.0)
    eyes(body.poses())  # compiles, before anything has to keep time
    for _ in range(2):
        judge.watch(body.data, np.zeros(task.action_size))
    # The loop collects garbage before each episode. With JAX's objects in the heap that would pause all threads for
    # 0.5 s and trip the device's watchdog; frozen objects are left out.
    gc.collect()
    gc.freeze()
    return DriverRig(profile, model, judge, eyes, faults)
