"""A calibration without a robot or a camera: the genuine driver on an emulated wire, and a rendered board.

The camera stands somewhere near where the scene has it, as after mounting by hand; its pictures have blur, exposure and
noise; joint readings have noise and zero errors. What is found can be compared with what is true.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np

from s2rctl.calibration.rehearse import Printer, Truth, draw_truth, with_camera
from s2rctl.calibration.stand import Stand
from s2rctl.core.clock import Clock
from s2rctl.core.errors import SafetyStop
from s2rctl.core.spatial import inverse
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.remote import EmulatorProcess
from s2rctl.operations.rehearsal.wire import located
from s2rctl.render.film import Film
from s2rctl.robots import make_joint_driver
from s2rctl.robots.cameras.stream import Shot
from s2rctl.robots.protocol import Robot, State
from s2rctl.robots.wrapped import Wrapped
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.deployment import Calibration as Settings
from s2rctl.schema.profile import Profile

CAMERA_HZ = 15.0


class Misread(Wrapped):
    """A robot whose joint readings err: a driver with noise and zero errors on top."""

    def __init__(self, robot: Robot, offsets: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> None:
        """``offsets`` and ``sigma`` (n,) rad: read = true + offset + noise, the noise of one standing still."""
        super().__init__(robot)
        self._offsets, self._sigma, self._rng = offsets, sigma, rng
        self._shift = np.zeros_like(offsets)
        self._held: np.ndarray | None = None

    def read(self) -> State:
        """Return the newest measurement with its error; it is drawn anew for every pose, as gears and sag give it."""
        state = self._robot.read()
        if self._held is None or np.abs(state.joint_pos - self._held).max() > 0.1:
            self._held = state.joint_pos
            self._shift = self._sigma * self._rng.normal(size=len(self._sigma))
        return replace(state, joint_pos=state.joint_pos + self._offsets + self._shift)


class RenderedEye:
    """Implements ``Eye``: what a camera at the true place sees of the emulated robot, with the board in it."""

    def __init__(
        self, device: EmulatorProcess, stand: Stand, settings: Settings, truth: Truth, lens: Intrinsics, seed: int
    ) -> None:
        self.serial = "rehearsed"
        self.lens: Intrinsics | None = lens
        self._device, self._stand, self._truth = device, stand, truth
        self._film = Film(with_camera(stand, truth.camera, lens), settings.camera, lens.width, lens.height)
        self._printer = Printer(settings, lens)
        self._rng = np.random.default_rng([seed, 7])
        self._newest: Shot | None = None
        self.lost = False

    def shot(self) -> Shot | None:
        """Return the newest picture; SafetyStop once the camera is lost."""
        if self.lost:
            raise SafetyStop("the camera failed: no such device", "check its cable")
        now = time.monotonic()
        if self._newest is None or now - self._newest.t > 1.0 / CAMERA_HZ:
            qpos = self._device.look().arrays["qpos"]
            self._newest = Shot(now, self.picture(qpos))
        return self._newest

    def picture(self, qpos: np.ndarray) -> np.ndarray:
        """Return the picture (H, W, 3) at the model's positions (nq,)."""
        stand = self._stand
        in_camera = inverse(self._truth.camera) @ stand.chain.motion(qpos[stand.qpos_of]) @ self._truth.board
        return self._printer.photograph(self._film.frame(qpos), in_camera, self._rng)

    def close(self) -> None:
        """Free the renderer."""
        self._film.close()


class Emulated:
    """The emulated robot with its driver and camera; use ``close``."""

    def __init__(self, profile: Profile, stand: Stand, lens: Intrinsics, clock: Clock, seed: int) -> None:
        settings = profile.calibration
        self.truth = draw_truth(stand, settings.board, np.random.default_rng([seed, 0]))
        self.device = EmulatorProcess(profile.robot.name, stand.model)
        try:
            qpos = stand.qpos(stand.home)
            ctrl = np.array(stand.model.key_ctrl[0]) if stand.model.nkey else np.zeros(stand.model.nu)
            self.device.reset(PlantStart(qpos, np.zeros(stand.model.nv), ctrl), seed)
            section = located(profile.robot, self.device.settings)
            safety = settings.safety(profile.deploy.safety)
            driver = make_joint_driver(section, safety, profile.simulation.period_s)
            offsets, sigma = joint_errors(stand, settings)
            self.robot = Misread(driver, offsets, sigma, np.random.default_rng([seed, 3]))
            self.eye = RenderedEye(self.device, stand, settings, self.truth, lens, seed)
        except BaseException:
            self.device.close()
            raise

    def close(self) -> None:
        """End the emulator; robot and camera are their source's."""
        self.device.close()


def joint_errors(stand: Stand, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return zero errors and noise (n,) rad of the readings that a rehearsal asks for."""
    names: Sequence[str] = stand.specification.joints
    offsets, sigma = np.zeros(len(names)), np.zeros(len(names))
    for name, degrees in settings.joint_offset_deg.items():
        matching = [number for number, joint in enumerate(names) if joint == name or joint.endswith(f"/{name}")]
        offsets[matching] = np.deg2rad(degrees)
    sigma[stand.moving] = np.deg2rad(settings.joint_noise_deg)
    return offsets, sigma


def truth_note(truth: Truth) -> dict[str, list[list[float]]]:
    """Return a rehearsal's truth for the session's folder."""
    return {"camera": truth.camera.tolist(), "board": truth.board.tolist()}


def start_of(stand: Stand) -> mujoco.MjData:
    """Return the model's data at home."""
    data = mujoco.MjData(stand.model)
    data.qpos[:] = stand.qpos(stand.home)
    mujoco.mj_forward(stand.model, data)
    return data
