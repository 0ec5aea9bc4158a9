"""The loop's process of the fault table: ``python -m benchmarks.loop_process ROBOT SETTING...``.

It drives the real driver back and forth with a camera of noise, says ``moving`` once it moves, does what it is told on
its standard input (a fault of camera or policy), and says in one line of JSON how it ended.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping

import numpy as np

from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import envelope
from s2rctl.control.loop import Rig, Settings, run_episode
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.safety import SafetyFilter
from s2rctl.core.clock import RealClock
from s2rctl.core.interrupt import interruptible
from s2rctl.robots import DRIVERS
from s2rctl.robots.cameras.stream import Camera, Device, Shot
from s2rctl.robots.cameras.view import Fit, View
from s2rctl.robots.protocol import Robot, RobotSpecification, StopLevel
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.contract import Contract, Tensor
from s2rctl.schema.load import load_profile

PERIOD_S = 0.05
BACK_AND_FORTH_S = 3.0
BURSTS = {"burst": 3, "outage": 15}
"""Pictures on end that a busy USB bus loses, once in ``BURST_EVERY``."""
BURST_EVERY = 45
CAMERA_FAULTS = ("freeze", "hang", "unplug", *BURSTS)
LENS = Intrinsics(width=64, height=64, fx=64, fy=64, cx=31.5, cy=31.5)


class Noise(Device):
    """A camera of noise at 30 Hz; ``mode`` is its fault."""

    def __init__(self) -> None:
        self.intrinsics, self.mode = LENS, ""
        self.taken = 0
        self._rng = np.random.default_rng(0)
        self._last = np.zeros((64, 64, 3), np.uint8)

    def grab(self) -> Shot | None:
        """Return a picture, the same again, none, or fail."""
        time.sleep(1 / 30)
        if self.mode == "unplug":
            raise OSError("the device is gone")
        self.taken += 1
        if self.mode == "hang" or self.taken % BURST_EVERY < BURSTS.get(self.mode, 0):
            return None
        if self.mode != "freeze":
            self._last = self._rng.integers(0, 256, (64, 64, 3), np.uint8)
        return Shot(time.monotonic(), self._last.copy())

    def close(self) -> None:
        """Nothing is open."""


class Waves:
    """A policy that moves back and forth; ``mode`` is its fault."""

    def __init__(self, spec: RobotSpecification) -> None:
        self.mode, self._steps = "", 0
        # Aloha: both waists, in parts of the scale; xArm: along y, in m
        parts = {"waist": 0.8, "y": 0.015}
        self._amplitude = np.array([parts.get(name.rpartition("/")[2], 0.0) for name in spec.space.names])

    def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the next action."""
        if self.mode == "stall":
            self.mode = ""
            time.sleep(1.0)
        self._steps += 1
        if self._steps == 20:
            print("moving", flush=True)
        value = self._amplitude * np.cos(2 * np.pi * self._steps * PERIOD_S / BACK_AND_FORTH_S)
        return {"action": np.full((1, value.size), np.nan) if self.mode == "nan" else value[None]}


def contract_of(spec: RobotSpecification) -> Contract:
    """Return a contract with one picture in and the robot's action out."""
    names, tool = spec.space.names, bool(spec.space.tools)
    unit = "m" if tool else ""
    eye = Tensor(name="rgb_eye", dtype="uint8", shape=("batch", 32, 32, 3), meaning="noise")
    action = Tensor(name="action", dtype="float32", shape=("batch", len(names)), meaning="motion", unit=unit)
    return Contract(
        policy="waves",
        robot=spec.name,
        rate_hz=1 / PERIOD_S,
        inputs=(eye,),
        outputs=(action,),
        action_meaning="back and forth",
        action_scale=(0.03 if tool else 0.02,) * len(names),
    )


class Clocked:
    """Passes everything on to a driver and notes when it was first told to stop."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self.stopped: float | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._robot, name)

    def stop(self, level: StopLevel) -> None:
        """Note the time and stop."""
        self.stopped = self.stopped or time.monotonic()
        self._robot.stop(level)


def main(arguments: list[str]) -> None:
    """Run until a fault, a signal or the end of the standard input."""
    name, *settings = arguments
    profile = load_profile("xarm7-reach" if name == "xarm7" else "aloha", settings).profile
    robot = Clocked(DRIVERS.load(name)(profile.robot, profile.deploy.safety, PERIOD_S))
    spec = robot._robot.specification
    noise, waves = Noise(), Waves(spec)
    camera = Camera("eye", noise, Fit(View(32, 32, 40.0, None, None), LENS, "eye"))

    def listen() -> None:
        for line in sys.stdin:
            word = line.strip()
            noise.taken = -1  # a burst begins at once
            noise.mode, waves.mode = (word, "") if word in CAMERA_FAULTS else ("", word)
        os._exit(3)  # the parent has gone

    with interruptible() as interrupt:
        robot._robot.connect()
        camera.wait()
        safety, card = profile.deploy.safety, contract_of(spec)
        guard = SafetyFilter(
            envelope(spec, safety, 1 / PERIOD_S), action_mapping(spec, card, safety.tracking_error), spec
        )
        rig = Rig(robot, [camera], waves, ObservationBuilder(card, spec), guard, RealClock())  # type: ignore[arg-type]
        threading.Thread(target=listen, daemon=True).start()
        log = run_episode(rig, Settings(1 / PERIOD_S, 10_000, 5), interrupt)
        ended = time.monotonic()
    print(json.dumps({"outcome": log.outcome, "reason": log.reason, "stopped": robot.stopped or ended}), flush=True)
    time.sleep(30)  # the connection stays open: what holds the arm now is the device


if __name__ == "__main__":
    main(sys.argv[1:])
