"""An identification without a robot: the genuine driver on an emulated wire, whose arm is not the simulated one.

Its figures are drawn within the profile's spread, one joint's zero is off, commands take effect late. What is found can
be compared with what is true.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.remote import EmulatorProcess
from s2rctl.identification.bench import Bench
from s2rctl.identification.rehearse import draw_values
from s2rctl.operations.identification.work import scene_of
from s2rctl.operations.rehearsal.wire import located
from s2rctl.robots import ROBOTS, make_joint_driver
from s2rctl.robots.protocol import Robot, State, Target
from s2rctl.robots.wrapped import Wrapped
from s2rctl.schema.profile import Profile


class OffZero(Wrapped):
    """A robot whose encoders do not read 0 where its joints are at 0: it reads and obeys by its own zeros."""

    def __init__(self, robot: Robot, zeros: np.ndarray) -> None:
        """``zeros`` (n,) rad: true position less reading."""
        super().__init__(robot)
        self._zeros = zeros
        space = self.specification.space
        self._shift = np.zeros(len(space))
        self._shift[space.driven] = zeros[space.joints]

    def read(self) -> State:
        """Return the newest measurement as the encoders have it."""
        state = self._robot.read()
        return replace(state, joint_pos=state.joint_pos - self._zeros)

    def send(self, target: Target) -> None:
        """Send."""
        self._robot.send(Target(target.values + self._shift))


class Emulated:
    """The emulated robot with its driver; use ``close``."""

    def __init__(self, profile: Profile, seed: int) -> None:
        settings = profile.identification
        scene = scene_of(profile)
        bench = Bench(scene, ROBOTS.load(profile.robot.name), 1)
        try:
            self._names = bench.space.names
            self._values = draw_values(
                bench, np.random.default_rng([seed, 11]), spread=settings.rehearsed_spread,
                delay_s=settings.rehearsed_delay_s, zero_deg=settings.rehearsed_zero_deg,
            )  # fmt: skip
            model, columns = bench.model_with(self._values, scene), bench.columns
            zeros = bench.space.part(self._values, "zero")
        finally:
            bench.close()
        self.device = EmulatorProcess(profile.robot.name, model)
        try:
            ctrl = np.array(model.key_ctrl[0]) if model.nkey else np.zeros(model.nu)
            qpos = np.array(model.key_qpos[0]) if model.nkey else np.array(model.qpos0)
            delay = float(self._values[-1])
            self.device.reset(PlantStart(qpos, np.zeros(model.nv), ctrl), seed, latency_s=(delay, delay))
            driver = make_joint_driver(
                located(profile.robot, self.device.settings),
                settings.safety(profile.deploy.safety),
                profile.simulation.period_s,
            )
            whole = np.zeros(len(driver.specification.joints))
            whole[columns] = zeros
            self.robot: Robot = OffZero(driver, whole)
        except BaseException:
            self.device.close()
            raise

    def lost(self) -> float:
        """Return for how many seconds this computer has kept the emulated arm from running."""
        return float(self.device.look().values["lost"])

    def truth(self) -> Mapping[str, Any]:
        """Return the robot's true figures by parameter, for the identification's folder."""
        return {"values": dict(zip(self._names, self._values.tolist(), strict=True))}

    def close(self) -> None:
        """End the emulator; the robot is its source's."""
        self.device.close()
