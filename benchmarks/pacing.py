"""Does the loop keep its rate? ``python -m benchmarks.pacing [ROBOT] [SECONDS]`` (default: xarm7, 60 s).

The loop with driver, vendor's SDK, a camera thread of noise and the recorder, against the emulated device in a process
of its own. Jitter is the distance of a period from its nominal length.
"""

import sys
import tempfile
from pathlib import Path

import mujoco
import numpy as np

from benchmarks.loop_process import LENS, PERIOD_S, Noise, Waves, contract_of
from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import envelope
from s2rctl.control.episode_log import EpisodeLog
from s2rctl.control.loop import Rig, Settings, run_episode
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.control.safety import SafetyFilter
from s2rctl.core.clock import RealClock
from s2rctl.core.interrupt import interruptible
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.remote import EmulatorProcess
from s2rctl.robots import DRIVERS
from s2rctl.robots.cameras.stream import Camera
from s2rctl.robots.cameras.view import Fit, View
from s2rctl.scene import SCENES
from s2rctl.schema.load import load_profile
from s2rctl.systems import system_of_robot


def run(name: str, seconds: float, path: Path) -> EpisodeLog:
    """Drive an emulated robot back and forth for a while, record it to ``path``, and return the log."""
    model = SCENES.load(system_of_robot(name).scene)(0.005)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    with EmulatorProcess(name, model) as emulator:
        emulator.reset(PlantStart(data.qpos, data.qvel, data.ctrl), 0)
        profile = load_profile("xarm7-reach" if name == "xarm7" else "aloha", emulator.settings).profile
        robot, safety = DRIVERS.load(name)(profile.robot, profile.deploy.safety, PERIOD_S), profile.deploy.safety
        spec = robot.specification
        card = contract_of(spec)
        camera = Camera("eye", Noise(), Fit(View(32, 32, 40.0, None, None), LENS, "eye"))
        guard = SafetyFilter(
            envelope(spec, safety, 1 / PERIOD_S), action_mapping(spec, card, safety.tracking_error), spec
        )
        try:
            robot.connect()
            camera.wait()
            rig = Rig(robot, [camera], Waves(spec), ObservationBuilder(card, spec), guard, RealClock())
            recorder = McapRecorder(path, {"robot": name, "mode": "rehearse"})
            with interruptible() as interrupt:
                return run_episode(
                    rig, Settings(1 / PERIOD_S, round(seconds / PERIOD_S), 5), interrupt, recorder=recorder
                )
        finally:
            robot.close()
            camera.close()


def main(name: str = "xarm7", seconds: float = 60.0) -> None:
    """Run and print the timing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pacing.mcap"
        log = run(name, seconds, path)
        periods = np.diff(read_recording(path, images=False).column("t"))
    jitter = np.abs(periods - PERIOD_S) * 1e3
    print(f"{name}: {log.steps} steps, {log.outcome} {log.reason}; {log.timings.rate_hz():.3f} Hz")
    print(
        f"missed deadlines {log.missed}; jitter p50 {np.median(jitter):.3f} ms, p99 {np.quantile(jitter, 0.99):.3f} ms"
    )
    for what, figures in log.timings.summary().items():
        print(f"{what:<18}" + "".join(f"{q} {value:9.3f} ms   " for q, value in figures.items()))


if __name__ == "__main__":
    robots, lengths = sys.argv[1:2] or ["xarm7"], sys.argv[2:3] or ["60"]
    main(robots[0], float(lengths[0]))
