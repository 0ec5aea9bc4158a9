"""The million hostile steps of benchmarks.adversary, in small, and proof that its referee sees what is wrong."""

import numpy as np
import pytest

from benchmarks.adversary import attack, violations
from s2rctl.control.envelope import envelope
from s2rctl.control.safety import Memory
from s2rctl.robots import ROBOTS
from s2rctl.schema.deployment import Safety

SAFETY = Safety(joint_speed=1.0, tool_speed=0.25, workspace_low=(0.15, -0.4, 0.02), workspace_high=(0.7, 0.4, 0.7))


@pytest.mark.parametrize("robot", ["xarm7", "aloha"])
def test_hostile_steps_never_leave_the_envelope(robot):
    with np.errstate(all="ignore"):
        seen, broken = attack(robot, 800, np.random.default_rng(1))
    assert not broken
    assert seen["stops"] > 150 and seen["commands, limited"] > 150


def test_the_referee_names_every_broken_promise():
    xarm, aloha = ROBOTS.load("xarm7"), ROBOTS.load("aloha")
    box, arms = envelope(xarm, SAFETY, 20.0), envelope(aloha, SAFETY, 20.0)
    tool = Memory(np.array([0.4, 0.0, 0.3]), np.zeros((1, 3)))
    home = Memory(np.array(aloha.home), np.zeros((2, 3)))
    assert violations(xarm, box, tool, tool.last, 0.0) == []
    assert violations(xarm, box, tool, np.full(3, np.nan), 0.0) == ["not a number"]
    assert violations(xarm, box, tool, tool.last, 1.0) == ["from an old observation"]
    assert violations(xarm, box, tool, tool.last + np.array([0.0, 0.0, 0.02]), 0.0) == ["rate", "tool speed"]
    near = Memory(np.array([0.4, 0.399, 0.3]), np.zeros((1, 3)))
    assert set(violations(xarm, box, near, near.last + np.array([0.0, 0.01, 0.0]), 0.0)) == {"range", "workspace"}
    turned = home.last.copy()
    turned[0] += 0.06  # more than 1 rad/s at 20 Hz, and the tool half a metre away moves 3 cm
    assert {"rate", "tool speed"} <= set(violations(aloha, arms, home, turned, 0.0))
