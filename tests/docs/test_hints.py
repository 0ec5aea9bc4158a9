"""Errors tell people what to type next; the program must read it."""

import re
import shlex

import pytest

from tests.docs.pages import parse
from tests.docs.test_troubleshooting import GAP, texts

_END = re.compile(r"[,;(\n]| {2,}| lists ")
COMMANDS = sorted(
    {
        command
        for text in texts()
        if text.startswith("s2rctl ") and not text.startswith(f"s2rctl {GAP}")
        if (command := _END.split(text)[0].strip()) not in ("s2rctl", "s2rctl deploy \0 --serve \0")
    }
)


def test_there_are_hints():
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_a_hint_is_a_command(command):
    parse(tuple(shlex.split(command.replace(GAP, "x"))[1:]))
