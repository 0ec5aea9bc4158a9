"""What the card says of an action, for robots that are commanded in different ways."""

import pytest

from s2rctl.export import card
from s2rctl.export.graph import Graph
from s2rctl.robots import ROBOTS
from s2rctl.schema.simulation import Delays
from tests.gantry import SPECIFICATION, build

ROBOT = {"aloha": ROBOTS.load("aloha"), "xarm7": ROBOTS.load("xarm7"), "gantry": SPECIFICATION}
SAYS = {"aloha": ("", "joint target"), "xarm7": ("m", "tool position"), "gantry": ("", "command entry")}


@pytest.mark.parametrize("robot", ROBOT)
def test_an_action_is_described_by_the_command_s_entries(robot):
    specification, delays = ROBOT[robot], Delays(joint_action=(1.0, 1.0), gripper_action=(0.0, 0.0, 1.0))
    size = len(specification.command)
    made = card.build(
        Graph({"joint_pos": ((len(specification.joints),), "float32")}, {"action": size}, lambda inputs: {}),
        policy="test",
        specification=specification,
        rate_hz=20.0,
        action_scale=(0.02,) * size,
        vision=None,
        model=build(),
        delays=delays,
        trained_from={},
        versions={},
    )
    (action,) = made.outputs
    unit, words = SAYS[robot]
    assert (action.elements, action.unit) == (specification.space.names, unit)
    assert words in action.meaning and action.meaning == made.action_meaning
    assert action.high == ((0.02,) * size if unit else (1.0,) * size)
    grippers = sum(entry.kind == "gripper" for entry in specification.command) / size
    assert made.action_delay_steps[:2] == pytest.approx([(1 - grippers) / 2] * 2)
    assert sum(made.action_delay_steps[2:]) == pytest.approx(grippers)
