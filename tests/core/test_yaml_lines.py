"""Values are set in YAML text line by line; everything else stays as it was."""

import pytest
import yaml

from s2rctl.core.errors import UsageError
from s2rctl.core.yaml_lines import with_value

TEXT = """# my robot
extends: aloha
name: mine

robot:
  name: aloha       # two arms
  motion:
    left/waist: {gain: 40}   # measured by hand
  ports: {left: /dev/a}

# tasks of it
tasks:
  pick:
    delays:         # weights
      joint_action: [1, 0]
  insertion:
    episode_steps: 160

seed: 3
"""


def value(text: str, *path: str):
    found = yaml.safe_load(text)
    for key in path:
        found = found[key]
    return found


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("robot", "motion", "left/waist"), {"gain": 41.5}),
        (("robot", "motion", "left/elbow"), {"damping": 3}),
        (("tasks", "pick", "delays", "joint_action"), [0.5, 0.5]),
        (("tasks", "pick", "dynamics", "gain"), [0.9, 1.1]),
        (("tasks", "insertion", "delays", "observation"), [1]),
        (("tasks", "reach", "delays", "observation"), [1]),
        (("vision", "shadows"), True),
        (("seed",), 4),
    ],
)
def test_one_value_changes_and_nothing_else(path, to):
    made = with_value(TEXT, path, yaml.safe_dump(to, default_flow_style=True).removesuffix("...\n").strip())
    assert value(made, *path) == to
    before, after = yaml.safe_load(TEXT), yaml.safe_load(made)
    for text in (before, after):
        _forget(text, path)
    assert before == after
    kept = [line for line in TEXT.splitlines() if "#" in line and path[-1] not in line]
    assert all(line in made.splitlines() for line in kept)


def test_setting_a_value_again_changes_nothing():
    once = with_value(TEXT, ("robot", "motion", "left/elbow"), "{gain: 5}")
    assert with_value(once, ("robot", "motion", "left/elbow"), "{gain: 5}") == once


def test_a_block_below_the_key_is_replaced():
    text = "robot:\n  motion:\n    left/waist:\n      gain: 4\n      damping: 2\n    left/elbow: {gain: 1}\n"
    made = with_value(text, ("robot", "motion", "left/waist"), "{gain: 9}")
    assert yaml.safe_load(made) == {"robot": {"motion": {"left/waist": {"gain": 9}, "left/elbow": {"gain": 1}}}}


def test_a_section_on_one_line_is_not_taken_apart():
    with pytest.raises(UsageError, match=r"robot\.ports is written on one line"):
        with_value(TEXT, ("robot", "ports", "right"), "/dev/b")


def _forget(found: dict, path: tuple[str, ...]) -> None:
    """Remove the value at a path, and what is empty then."""
    if path[0] not in found:
        return
    if len(path) == 1:
        del found[path[0]]
        return
    _forget(found[path[0]], path[1:])
    if not found[path[0]]:
        del found[path[0]]
