"""Troubleshooting quotes messages; they must be what the program says."""

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import TOP, without_blocks

PAGE = TOP / "docs" / "troubleshooting.md"
QUOTED = [m[1] for _, line in without_blocks(PAGE) if (m := re.match(r"### `(.+)`$", line))]
GAP = "\0"


def spoken(node: ast.expr) -> str | None:
    """Return the text of a string expression with a gap for every value; None for something else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(spoken(part) or GAP if isinstance(part, ast.Constant) else GAP for part in node.values)
    return None


@cache
def texts() -> tuple[str, ...]:
    """Return every string in the package; what stands between the values of a longer one is no string of its own."""
    found = []
    for file in sorted((TOP / "s2rctl").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        pieces = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        found += [
            text for node in nodes if isinstance(node, ast.expr) and id(node) not in pieces if (text := spoken(node))
        ]
    return tuple(found)


def test_there_are_messages():
    assert len(QUOTED) > 25


@pytest.mark.parametrize("message", QUOTED)
def test_the_program_says_it(message):
    parts = [re.escape(part) for part in message.split("…") if part]
    said = re.compile(".*".join(parts), re.DOTALL)
    assert any(said.search(text) for text in texts()), "no message in s2rctl/ reads like this"
