"""Emulated devices in their own process, and the side channel to them."""

import os
import signal
import socket
import threading
import time
from functools import partial

import mujoco
import numpy as np
import pytest

pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")
pytest.importorskip("xarm", reason="the vendor's SDK is an extra")

from s2rctl.core.channel import Message, receive, send
from s2rctl.core.errors import RunError, UsageError
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.process import DEVICES
from s2rctl.emulation.remote import EmulatorProcess
from s2rctl.operations.rehearsal.wire import located
from s2rctl.robots import DRIVERS, ROBOTS
from s2rctl.robots.protocol import Target
from s2rctl.scene import SCENES
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import ROBOT, AlohaRobot
from tests.waiting import wait_for

SCENE = {"aloha": "insertion", "xarm7": "reach"}
SAFETY = Safety(
    tool_speed=0.5,
    workspace_low=(0.15, -0.4, 0.02),
    workspace_high=(0.7, 0.4, 0.7),
    max_state_age_periods=20.0,  # ten times the usual: a test machine may be busy
    device_watchdog_s=2.5,
)


def test_messages_survive_the_wire():
    ours, theirs = socket.socketpair()
    sent = Message("look", {"t": 1.5, "list": [1, "a"]}, {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3, "<u2")})
    thread = threading.Thread(target=send, args=(ours, sent))
    thread.start()
    got = receive(theirs)
    thread.join()
    assert (got.name, got.values) == (sent.name, sent.values)
    for name, array in sent.arrays.items():
        assert got.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(got.arrays[name], array)
    ours.close()
    assert receive(theirs) is None


def test_no_objects_come_over_the_wire():
    ours, theirs = socket.socketpair()
    head = b'{"name": "x", "values": {}, "arrays": [["a", "|O", [1]]]}'
    ours.sendall(len(head).to_bytes(4, "little") + head)
    with pytest.raises(ValueError, match="is refused"):
        receive(theirs)


def start_of(model, joint=None, value=0.0):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    if joint:
        data.qpos[model.joint(joint).qposadr[0]] = data.ctrl[model.actuator(joint).id] = value
    return PlantStart(data.qpos.copy(), data.qvel.copy(), data.ctrl.copy())


def seen(robot, since, index, value):
    state = robot.read()
    return state.t > since and abs(state.joint_pos[index] - value) < 0.02


@pytest.mark.parametrize(("name", "joint"), [("aloha", "left/waist"), ("xarm7", "joint1")])
def test_a_driver_finds_the_device_and_sees_the_episode_that_was_set(name, joint):
    direct = {row for row in DRIVERS.rows if row in ROBOTS.rows}  # the others reach the same device in another way
    assert set(DEVICES.rows) == direct
    model = SCENES.load(SCENE[name])(0.005)
    shots = []
    with EmulatorProcess(name, model, shots.append) as device:
        robot = DRIVERS.load(name)(located(ROBOT.validate_python({"name": name}), device.settings), SAFETY, 0.05)
        robot.connect()
        index = ROBOTS.load(name).joints.index(joint)
        for value in (0.3, -0.2):
            begun = time.monotonic()
            device.reset(start_of(model, joint, value), 0, period=0.05, latency_s=(0.0, 0.01))
            assert wait_for(partial(seen, robot, begun, index, value))
        assert wait_for(lambda: sum(shot.begun == shots[-1].begun for shot in shots) >= 4)
        look = device.look()
        assert look.arrays["sensordata"].shape == (model.nsensordata,)
        assert begun < look.values["t"] < time.monotonic()
        robot.stop(robot_stop())
        robot.close()
    times = np.array([shot.t for shot in shots if shot.begun == shots[-1].begun])
    assert len(times) >= 4
    np.testing.assert_allclose(np.diff(times), 0.05, atol=1e-6)
    assert shots[-1].poses.geom_xpos.shape == (1, model.ngeom, 3)


def robot_stop():
    from s2rctl.robots.protocol import StopLevel

    return StopLevel.SOFT


def test_faults_come_when_they_are_due_and_the_next_episode_is_without():
    model = SCENES.load("insertion")(0.005)
    with EmulatorProcess("aloha", model) as device:
        robot = DRIVERS.load("aloha")(located(AlohaRobot(name="aloha"), device.settings), SAFETY, 0.05)
        device.reset(start_of(model), 0, faults=[(0.2, "overload")])
        assert wait_for(lambda: device.look().values["figures"]["errors"] == ["left/9"])
        device.reset(start_of(model), 1)
        robot.connect()
        assert robot.read().codes == ()
        robot.send(Target(np.array(ROBOTS.load("aloha").home)))
        device.inject("silence")
        assert wait_for(lambda: robot.read().codes)
        assert robot.read().codes == ("motor 1 of the left arm does not answer",)
        robot.close()


def test_a_process_that_dies_is_noticed_and_requests_to_stop_are_not_its_business():
    with EmulatorProcess("aloha", SCENES.load("insertion")(0.005)) as device:
        assert os.getsid(device.pid) != os.getsid(0)  # what a terminal says to all does not reach it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(device.pid, number)
            time.sleep(0.1)
            assert device.look().name == "look"
        os.kill(device.pid, signal.SIGKILL)
        with pytest.raises(RunError, match="has ended"):
            device.look()


def test_a_process_wide_time_out_is_not_taken_for_the_end():
    """The xArm SDK sets one whenever it connects, also from its own threads."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.2)
    try:
        with EmulatorProcess("aloha", SCENES.load("insertion")(0.005)) as device:
            time.sleep(0.4)
            assert device.look().name == "look"
    finally:
        socket.setdefaulttimeout(before)


def test_an_unknown_robot_is_refused():
    with pytest.raises(UsageError):
        DEVICES.load("spot")
