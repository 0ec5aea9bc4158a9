"""``robot recover`` from the outside, on emulated devices."""

import json

import pytest

pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")
pytest.importorskip("xarm", reason="the vendor's SDK is an extra")

from s2rctl.cli.main import main
from s2rctl.core.exits import ExitCode
from s2rctl.emulation.dynamixel.server import EmulatedAloha
from s2rctl.emulation.xarm.server import make as make_xarm
from s2rctl.scene import SCENES


def call(capsys, *words):
    code = main(["robot", "recover", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


PATIENT = ("deploy.safety.max_state_age_periods=20", "deploy.safety.device_watchdog_s=2.5")
"""Ten times the usual, as far as it goes: a test machine may be busy."""


def sets(device):
    return [word for setting in (*device.settings(), *PATIENT) for word in ("--set", setting)]


def test_an_aloha_whose_gripper_was_overloaded_and_whose_program_died(capsys):
    with EmulatedAloha(SCENES.load("insertion")(0.005)) as device:
        gripper, waist = device.arms.motor("left", "gripper"), device.arms.motor("right", "waist")
        gripper.fail(1 << 5)
        waist.table[98] = 255
        code, answer = call(capsys, "-p", "aloha", *sets(device))
        assert code == ExitCode.USAGE and "no terminal" in answer["error"]["message"]
        assert answer["error"]["hint"].endswith("--yes")
        assert gripper.alert() and waist.tripped
        code, answer = call(capsys, "-p", "aloha", "--yes", *sets(device))
        assert code == 0
        assert answer["data"]["codes"] == [] and len(answer["data"]["joint_pos"]) == 16
        assert not gripper.alert() and not waist.tripped
        assert gripper.torque and waist.torque


def test_an_xarm_that_hit_something(capsys):
    with make_xarm(SCENES.load("reach")(0.005)) as device:
        device.controller.fail(31)
        code, answer = call(capsys, "-p", "xarm7-reach", "--yes", *sets(device))
        assert code == 0 and answer["data"]["codes"] == []
        assert device.controller.error == 0


def test_an_arm_that_is_not_there(capsys):
    ports = ["--set", "robot.ports.left=/dev/nothing_left", "--set", "robot.ports.right=/dev/nothing_right"]
    code, answer = call(capsys, "-p", "aloha", "--yes", *ports)
    assert code == ExitCode.ENVIRONMENT and "/dev/nothing_left" in answer["error"]["message"]
