"""The side channel of an emulator's process with a parent that does not keep to the protocol."""

import os
import socket
import threading

import numpy as np
import pytest

from s2rctl.core.channel import Message, receive, send
from s2rctl.core.errors import UsageError
from s2rctl.emulation.process import Host
from s2rctl.emulation.xarm.server import EmulatedXArm
from s2rctl.scene import SCENES

HOST = f"127.{os.getpid() % 200 + 1}.{os.getpid() // 200 % 200 + 1}.13"  # its own address: report ports are fixed
HANG_S = 60
"""Far beyond what anything here takes: only a hang is caught."""
GOOD = {"seed": 1, "latency_s": [0.0, 0.0], "period": 0.0, "faults": []}


@pytest.fixture
def parent():
    model = SCENES.load("reach")(0.005)
    ours, theirs = socket.socketpair()
    ours.settimeout(HANG_S)
    with EmulatedXArm(model, HOST, 5502) as device:
        thread = threading.Thread(target=Host(device, theirs).serve, daemon=True)
        thread.start()
        assert receive(ours).name == "ready"
        yield ours, device
        ours.close()
        thread.join(timeout=HANG_S)
        assert not thread.is_alive()


def test_messages_that_cannot_be_used_are_answered_and_change_nothing(parent):
    ours, device = parent
    arrays = {"qpos": np.array(device.plant.data.qpos), "qvel": np.zeros(device.plant.model.nv)}
    arrays["ctrl"] = np.array(device.plant.data.ctrl)
    send(ours, Message("reset", GOOD, arrays))
    assert receive(ours).name == "look"
    gravity = device.plant.model.geom_size.copy()
    bad = [Message("fly"), Message("fault"), Message("fault", {"fault": "overlord"}), Message("fault", {"fault": []})]
    bad += [
        Message("reset", {**GOOD, name: value}, arrays)
        for name, value in (
            ("seed", None),
            ("seed", -1),
            ("seed", 1.5),
            ("seed", True),
            ("latency_s", 3),
            ("latency_s", [1, 0]),
            ("latency_s", [0, "a"]),
            ("latency_s", [0, float("inf")]),
            ("latency_s", [-1, 0]),
            ("period", "a"),
            ("period", float("nan")),
            ("period", -1.0),
            ("faults", 3),
            ("faults", [3]),
            ("faults", [[0.1]]),
            ("faults", [["soon", "silence"]]),
            ("faults", [[0.1, "overlord"]]),
        )
    ]
    bad += [
        Message("reset", GOOD, {**arrays, name: value})
        for name, value in (
            ("qpos", np.zeros(3)),
            ("qvel", np.zeros((7, 2))),
            ("ctrl", np.full_like(arrays["ctrl"], np.nan)),
            ("field:nothing", np.zeros(3)),
            ("field:opt", np.zeros(3)),
            ("field:__class__", np.zeros(3)),
            ("field:geom_size", np.zeros(3)),
            ("field:geom_size", np.full(gravity.shape, np.inf)),
        )
    ]
    bad += [Message("reset", GOOD, {k: v for k, v in arrays.items() if k != name}) for name in arrays]
    for message in bad:
        send(ours, message)
        answer = receive(ours)
        assert answer.name == "error" and answer.values["kind"] == UsageError.__name__, message
    np.testing.assert_array_equal(device.plant.model.geom_size, gravity)
    send(ours, Message("reset", {**GOOD, "faults": [[0.0, "collision"]]}, arrays))
    assert receive(ours).name == "look"
    send(ours, Message("look"))
    look = receive(ours)
    assert look.name == "look" and np.isfinite(look.arrays["qpos"]).all()
