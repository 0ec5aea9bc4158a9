"""The command reference, written from the commands: ``python -m s2rctl.cli.reference`` prints it as Markdown."""

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from s2rctl.cli.app import app

COMMON = ("store", "as_json", "events", "quiet", "verbose")
"""Parameters that every command takes, listed once."""

_HEAD = """# Commands

Written from the command line by `python -m s2rctl.cli.reference`; do not edit by hand. `s2rctl COMMAND --help` prints
the same in a terminal. Exit codes and the form of `--json` are in [exit codes and JSON](exit-codes.md).
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command's full name, e.g. ``artifacts list``, and Typer's object for it; groups come first."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        context = typer.Context(command)
        if name:
            yield name, command
        if isinstance(command, typer.core.TyperGroup):
            for child in command.list_commands(context):
                yield from walk(command.get_command(context, child), f"{name} {child}".strip())

    yield from walk(typer.main.get_command(app), "")


def markdown() -> str:
    """Return the reference of all commands as Markdown."""
    found = list(commands())
    by_name = dict(found)
    shared = [parameter for parameter in by_name["doctor"].params if parameter.name in COMMON]
    parts = [_HEAD, f"## Options of every command\n\n{_table(shared)}"]
    parts += [_section(name, command) for name, command in found]
    return "\n".join(parts)


def _section(name: str, command: Any) -> str:
    own = [item for item in command.params if item.name not in COMMON]
    group = isinstance(command, typer.core.TyperGroup)
    lines = [f"{'##' if group or ' ' not in name else '###'} {name}", ""]
    words, _, examples = (command.help or "").partition("\b\nExamples:\n")
    lines += [words.strip(), ""]
    if not group or command.invoke_without_command:
        pieces = command.collect_usage_pieces(typer.Context(command))
        lines += ["```text", " ".join(["s2rctl", name, *pieces]), "```", ""]
    if own:
        lines += [_table(own)]
    if examples.strip():
        lines += ["```sh", re.sub(r"(?m)^ +", "", examples.strip()), "```", ""]
    return "\n".join(lines)


def _table(items: list[Any]) -> str:
    records = [item.get_help_record(typer.Context(typer.core.TyperCommand("s2rctl"))) for item in items]
    rows = [f"| `{_escaped(names)}` | {_escaped(re.sub(' +', ' ', meaning))} |" for names, meaning in records]
    return "\n".join(["| option | meaning |", "|---|---|", *rows, ""])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(markdown())
