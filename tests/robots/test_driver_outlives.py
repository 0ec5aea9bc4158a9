"""A driver's process outlives what stops everybody else: signals, and the terminal that its SDK prints to."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from s2rctl.core.channel import Message, receive, send
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import XArm7Robot

# A driver that prints in every call, as the vendors' SDKs do, in the place of a real one.
PROGRAM = """
import sys
from s2rctl.core.clock import RealClock
from s2rctl.core.tables import Table
from s2rctl.robots import ROBOTS, process
from tests.kinematic_robot import KinematicRobot

class Talker(KinematicRobot):
    def send(self, target):
        print("sending", flush=True)
        print("a warning", file=sys.stderr, flush=True)
        super().send(target)

def make(robot, safety, period_s):
    return Talker(ROBOTS.load("xarm7"), RealClock())

process.FACTORIES = Table("driver", {"talker": "__main__:make"})
sys.exit(process.main(["talker", *sys.argv[1:]]))
"""


@pytest.fixture
def driver():
    commands, theirs = socket.socketpair()
    pulse, theirs_too = socket.socketpair()
    ends = (theirs.fileno(), theirs_too.fileno())
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, ends)],
        pass_fds=ends,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    theirs.close()
    theirs_too.close()
    commands.settimeout(60)
    settings = {
        "robot": XArm7Robot(name="xarm7").model_dump(mode="json"),
        "safety": Safety().model_dump(mode="json"),
        "period_s": 0.05,
    }
    send(commands, Message("make", settings))
    assert receive(commands).name == "ready"
    yield child, commands
    commands.close()
    pulse.close()
    try:
        assert child.wait(timeout=60) == 0  # it goes when its parent does
    finally:
        child.kill()
        child.stdout.close()


def ask(commands, message):
    send(commands, message)
    return receive(commands).name


def test_no_signal_ends_it_while_its_parent_lives(driver):
    child, commands = driver
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        child.send_signal(number)
        time.sleep(0.1)
        assert ask(commands, Message("read")) == "state"
    assert child.poll() is None


def test_a_terminal_that_is_gone_does_not_end_a_call(driver):
    child, commands = driver
    target = Message("send", {}, {"values": np.array([0.4, 0.0, 0.3])})
    assert ask(commands, Message("connect")) == "identity"
    assert ask(commands, target) == "done"
    child.stdout.close()  # from now on every print fails
    for _ in range(5):
        assert ask(commands, target) == "done"
    assert ask(commands, Message("hold")) == "done"
