"""A driver in a process of its own: the xArm's, against an emulated controller."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("xarm", reason="the vendor's SDK is an extra")

from s2rctl.core.errors import MissingEnvironmentError, SafetyStop, UsageError
from s2rctl.emulation.xarm.controller import STOPPED
from s2rctl.emulation.xarm.server import EmulatedXArm
from s2rctl.robots import DRIVERS
from s2rctl.robots.protocol import StopLevel, Target
from s2rctl.robots.xarm7.specification import SPECIFICATION
from s2rctl.scene import SCENES
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import XArm7Robot
from tests.driven import DrivenClock
from tests.waiting import wait_for

HOST = f"127.{os.getpid() % 200 + 1}.{os.getpid() // 200 % 200 + 1}.17"
SAFETY = Safety(
    tool_speed=0.1,
    workspace_low=(0.15, -0.4, 0.02),
    workspace_high=(0.7, 0.4, 0.7),
    tracking_error=0.15,
    max_state_age_periods=20.0,  # ten times the usual: a test machine may be busy
    device_watchdog_s=1.0,
)
LOOP = """
import sys, time
import numpy as np
from s2rctl.robots import DRIVERS
from s2rctl.robots.protocol import Target
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import XArm7Robot
safety = Safety.model_validate_json(sys.argv[2])
arm = DRIVERS.load("xarm7")(XArm7Robot(name="xarm7", address=sys.argv[1]), safety, 0.05)
arm.connect()
arm.send(Target(arm.parking().values + np.array([0.0, 0.3, 0.0])))
print("moving", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def emulator():
    with EmulatedXArm(SCENES.load("reach")(0.005), HOST, 5502) as emulator:
        yield emulator


@pytest.fixture
def arm(emulator):
    driver = make(emulator.address)
    assert driver.connect().model == "xArm7"
    yield driver
    driver.close()


def make(address):
    return DRIVERS.load("xarm7")(XArm7Robot(name="xarm7", address=address), SAFETY, 0.05)


def send(arm, values):
    arm.send(Target(values))


def test_it_moves_and_stops_as_the_driver_itself(emulator, arm):
    begun = time.monotonic()
    assert wait_for(lambda: arm.read().t > begun)
    state = arm.read()
    assert begun < state.t < time.monotonic() and state.codes == () and state.joint_pos.shape == (7,)
    home = arm.parking()
    assert np.allclose(state.tool[0, :3], home.values, atol=0.01)
    goal = home.values + np.array([0.0, 0.05, 0.0])
    send(arm, goal)
    assert wait_for(lambda: np.allclose(arm.read().tool[0, :3], goal, atol=0.003))
    arm.hold()
    arm.stop(StopLevel.SOFT)
    assert emulator.controller.state == STOPPED
    with pytest.raises(SafetyStop, match="stopped"):
        arm.send(home)
    arm.connect()  # in the same process, which is ready again
    send(arm, home.values)
    assert wait_for(lambda: np.allclose(arm.read().tool[0, :3], home.values, atol=0.003))


def test_errors_come_through_as_they_are(arm):
    with pytest.raises(SafetyStop, match="only finite tool positions"):
        arm.send(Target(np.array([np.nan, 0.0, 0.3])))
    with pytest.raises(UsageError, match="address is not set") as caught:
        DRIVERS.load("xarm7")(XArm7Robot(name="xarm7"), SAFETY, 0.05).connect()
    assert "robot.address" in caught.value.hint
    with pytest.raises(MissingEnvironmentError, match="no xArm controller answers"):
        make("127.0.0.1:9").connect()


def test_before_it_is_connected_there_is_nothing_to_read_or_stop():
    driver = make("127.0.0.1:9")
    with pytest.raises(SafetyStop, match="not connected"):
        driver.read()
    driver.stop(StopLevel.HARD)
    driver.close()


def test_a_driver_that_is_gone_stops_the_loop(emulator):
    driver = make(emulator.address)
    driver.connect()
    driver._link._process.kill()
    with pytest.raises(SafetyStop, match="has died or hangs"):
        driver.read()
    assert driver.connect().model == "xArm7"  # with a new process
    driver.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_arm_stops_when_the_loop_is_killed_or_hangs(number):
    """Loop and driver run in real time; the arm's time stands still once it moves, so it cannot arrive before."""
    clock = DrivenClock()
    with EmulatedXArm(SCENES.load("reach")(0.005), f"{HOST}7", 5502, clock) as emulator:
        controller = emulator.controller

        def place():
            return SPECIFICATION.kinematics.point("tcp", controller.motion.joints)[1]

        command = [sys.executable, "-c", LOOP, emulator.address, SAFETY.model_dump_json()]
        loop = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            with clock.passing():
                assert loop.stdout.readline() == "moving\n"
                assert wait_for(lambda: place() > 0.02)
            assert controller.state != STOPPED
            loop.send_signal(number)
            assert wait_for(lambda: controller.state == STOPPED)
            stopped = place()
            clock.advance(3.0)
            assert stopped < place() < 0.28  # of 0.3 m: it stopped on its way
        finally:
            loop.kill()
            loop.communicate()
