"""``deploy --mode live`` on a terminal that hangs up: the arm is parked, and what was recorded is published."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("xarm", reason="the vendor's SDK is an extra")

from s2rctl.control.recording import read_recording
from s2rctl.core.clock import RealClock
from s2rctl.emulation.xarm.server import make
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.schema.load import load_profile
from tests.kinematic_robot import KinematicRobot
from tests.stages.test_deploy import reach_card, ready
from tests.terminal import Terminal
from tests.waiting import HANG_S, wait_for

pytestmark = pytest.mark.paced

RATE_HZ = 4.0  # slow, because a test machine may be busy
SETS = (
    f"simulation.substeps={1 / RATE_HZ / 0.005:g}",
    "tasks.reach.episode_steps=200",
    "evaluate.gate.success_low=0.5",
    "deploy.live.episodes=2",
    "deploy.live.ramp=[1.0]",
    "deploy.safety.device_watchdog_s=2.5",
    "deploy.safety.max_age_periods=8",
    "deploy.safety.max_state_age_periods=8",
    "deploy.safety.max_missed_deadlines=40",
)
# The camera is no subject here. The vendor's SDK talks through the driver's process to an emulated controller.
PROGRAM = """
import sys
from tests.stages.test_live import Eye
from s2rctl.cli.main import main
from s2rctl.stages import live
live.open_cameras = lambda devices, wanted: [Eye()]
sys.exit(main(sys.argv[1:]))
"""


def tool(emulator):
    """Return where the emulated arm has its tool (3,) m."""
    with emulator.controller.lock:
        return np.array(emulator.controller.report().pose[:3]) / 1e3


@pytest.fixture
def job(tmp_path):
    card = reach_card(policy="reach/xarm7", rate_hz=RATE_HZ)
    return ready(tmp_path, load_profile("xarm7-smoke", SETS).profile, card=card, action=(0.0, 0.012, 0.0))


@pytest.mark.parametrize("bars", [True, False])
def test_an_arm_whose_terminal_hangs_up_is_parked(tmp_path, job, bars):
    with make(SCENES.load("reach")(0.005)) as emulator:
        home = KinematicRobot(ROBOTS.load("xarm7"), RealClock()).parking().values
        command = [sys.executable, "-c", PROGRAM, "deploy", job.inputs["onnx"].id]
        options = ["--store", str(job.store.root), "--mode", "live", "--arm", "--yes", "-vv"]
        options += ["--set", f"robot.address={emulator.address}"]
        environment = os.environ | {
            "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm" if bars else "dumb"
        }  # fmt: skip
        environment.pop("CI", None)
        with Terminal([*command, *options], environment) as terminal:
            assert wait_for(lambda: tool(emulator)[1] - home[1] > 0.06, 90), terminal.said
            terminal.hang_up()
            terminal.process.wait(timeout=HANG_S)
        assert np.allclose(tool(emulator), home, atol=0.005), terminal.said
        assert not emulator.controller.error
    (made,) = (item for item in job.store.list("deployment") if item.ref.endswith("-live"))
    assert made.manifest.origin.metrics["outcomes"] == "interrupted"
    recording = read_recording(made.path("episode-000.mcap"))
    assert recording.outcome["outcome"] == "interrupted" and recording.outcome["steps"] == len(recording.steps)
