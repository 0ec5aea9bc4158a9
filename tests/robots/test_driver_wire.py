"""A driver's process and the loop, each with a partner that does not keep to the protocol."""

import json
import socket
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from s2rctl.core.channel import Message, receive, send
from s2rctl.core.errors import MissingEnvironmentError, SafetyStop
from s2rctl.robots import process, remote
from s2rctl.robots.protocol import Identity, State, StopLevel, Target
from s2rctl.robots.xarm7.specification import SPECIFICATION
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import XArm7Robot

HANG_S = 60
"""Far beyond what anything here takes: only a hang is caught."""


class Arm:
    """A robot that writes down what is done with it."""

    def __init__(self):
        self.done = []

    def connect(self):
        return Identity("toy", "1", "2")

    def read(self):
        return State(0.0, np.zeros(7), np.zeros(7), np.zeros((1, 7)))

    def send(self, target):
        self.done.append(target)

    def stop(self, level):
        self.done.append(level)

    def close(self):
        self.done.append("closed")


@pytest.fixture
def hosted(monkeypatch):
    """The driver's process, in a thread: its two sockets, the robot, and what it returned."""
    arm = Arm()
    monkeypatch.setattr(process, "FACTORIES", SimpleNamespace(load=lambda name: lambda robot, safety, period_s: arm))
    monkeypatch.setattr(process, "leave_to_parent", lambda: None)  # only a main thread may
    commands, theirs = socket.socketpair()
    pulse, theirs_too = socket.socketpair()
    commands.settimeout(HANG_S)
    codes = []
    ends = [str(theirs.detach()), str(theirs_too.detach())]
    thread = threading.Thread(target=lambda: codes.append(process.main(["toy", *ends])), daemon=True)
    thread.start()
    yield commands, arm, thread, codes
    commands.close()
    pulse.close()
    thread.join(timeout=HANG_S)
    assert not thread.is_alive()


def make(commands):
    robot = XArm7Robot(name="xarm7", address="x")
    settings = {"robot": robot.model_dump(mode="json"), "safety": Safety().model_dump(mode="json"), "period_s": 0.05}
    send(commands, Message("make", settings))
    assert receive(commands).name == "ready"


def test_commands_that_cannot_be_used_are_answered_and_the_next_one_is_carried_out(hosted):
    commands, arm, _, _ = hosted
    make(commands)
    for bad in (
        Message("fly"),
        Message("__init__"),
        Message("send"),
        Message("send", {"values": [0.0] * 7}),
        Message("send", {}, {"targets": np.zeros(7)}),
    ):
        send(commands, bad)
        answer = receive(commands)
        assert answer.name == "error" and "cannot use" in answer.values["message"], bad.name
    assert arm.done == []
    send(commands, Message("send", {}, {"values": np.ones(7)}))
    assert receive(commands).name == "done"
    assert isinstance(arm.done[0], Target)


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff\xff", b"\x02\x00\x00\x00[]", b"\x05\x00\x00\x00\xff\xff\xff\xff\xff"]
)
def test_a_stream_that_is_lost_stops_the_arm_that_moves(hosted, garbage):
    commands, arm, thread, codes = hosted
    make(commands)
    send(commands, Message("send", {}, {"values": np.ones(7)}))
    assert receive(commands).name == "done"
    commands.sendall(garbage)
    assert receive(commands).name == "error"
    thread.join(timeout=HANG_S)
    assert codes == [2] and arm.done[1:] == [StopLevel.SOFT, "closed"]


@pytest.mark.parametrize("values", [{}, {"robot": 1, "safety": {}}, {"robot": {}, "safety": {"speed": "x"}}])
def test_settings_that_are_none_are_answered(hosted, values):
    commands, arm, thread, codes = hosted
    send(commands, Message("make", values))
    answer = receive(commands)
    assert answer.name == "error" and "cannot use" in answer.values["message"]
    thread.join(timeout=HANG_S)
    assert codes == [2] and arm.done == []


LIAR = """
import json, socket, sys
from s2rctl.core.channel import Message, receive, send
commands = socket.socket(fileno=int(sys.argv[-2]))
lies = json.loads(open({lies!r}).read())
while (message := receive(commands)) is not None:
    lie = lies.get(message.name, {{"name": "ready", "values": {{}}}})
    if "raw" in lie:
        commands.sendall(bytes.fromhex(lie["raw"]))
        while commands.recv(100):
            pass
        break
    send(commands, Message(lie["name"], lie["values"]))
"""
LIES = {
    "a head too large": {"raw": "ffffffff"},
    "no JSON": {"raw": "02000000ffff"},
    "half a message": {"raw": "ff000000"},
    "another answer": {"name": "done", "values": {}},
    "values of another sort": {"name": "state", "values": {"t": "now", "codes": []}},
    "an error that is none": {"name": "error", "values": {}},
    "an error of texts that are none": {"name": "error", "values": {"kind": [], "message": 1, "hint": {}}},
}


@pytest.fixture
def lying(tmp_path, monkeypatch):
    """A loop's robot whose driver's process says what it is told to."""

    def start(**lies):
        said, script, shell = tmp_path / "lies.json", tmp_path / "liar.py", tmp_path / "python"
        said.write_text(json.dumps(lies))
        script.write_text(LIAR.format(lies=str(said)))
        shell.write_text(f'#!/bin/sh\nshift  # -P\nexec "{sys.executable}" "{script}" "$@"\n')
        shell.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(shell))
        robot = XArm7Robot(name="xarm7", address="x")
        return remote.RemoteRobot(SPECIFICATION, robot, Safety(), 0.05, factory="xarm7")

    return start


@pytest.mark.parametrize("call", ["connect", "read", "parking"])
@pytest.mark.parametrize("lie", LIES)
def test_a_driver_that_answers_nonsense_is_a_safety_stop(lying, monkeypatch, lie, call):
    monkeypatch.setattr(remote, "BRINGUP_S", 5.0)
    said = {call: LIES[lie]}
    if call != "connect":
        said["connect"] = {"name": "identity", "values": {"model": "a", "serial": "b", "firmware": "c"}}
    arm = lying(**said)
    if call != "connect":
        arm.connect()
    with pytest.raises(SafetyStop, match="process has died or hangs") as caught:
        getattr(arm, call)()
    assert caught.value.hint


@pytest.mark.parametrize("lie", ["a head too large", "no JSON", "an error that is none"])
def test_a_driver_that_does_not_start_rightly_is_a_missing_environment(lying, lie):
    with pytest.raises(MissingEnvironmentError, match="did not start"):
        lying(make=LIES[lie]).connect()
