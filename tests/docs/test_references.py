"""Reference pages that are written from the code, and what they must not miss."""

import ast
import json
import re
import tomllib

import pytest
import yaml

from s2rctl.cli.reference import markdown
from s2rctl.core.exits import ExitCode
from tests.docs.pages import PAGES, SHELL, TOP, blocks, tree

PACKAGE = TOP / "s2rctl"


def test_the_committed_command_reference_is_the_command_line():
    page = TOP / "docs" / "reference" / "commands.md"
    assert page.read_text(encoding="utf-8") == markdown(), (
        "run: python -m s2rctl.cli.reference > docs/reference/commands.md"
    )


def test_it_lists_every_command_and_option():
    text = markdown()
    for name, command in tree().items():
        assert re.search(rf"(?m)^#+ {re.escape(name)}$", text)
        for item in command.params:
            options = [option for option in (*item.opts, *item.secondary_opts) if option.startswith("-")]
            assert all(option in text for option in options), (name, options)


def test_the_exit_codes_are_those_of_the_code():
    page = (TOP / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"(?m)^\| (\d+) \| `(\w+)` \|", page))
    assert {int(code): name for code, name in rows.items()} == {int(code): code.name for code in ExitCode}


def test_every_public_name_has_a_docstring():
    """Modules that hold anything, public classes, functions and methods; what overrides needs none of its own."""
    silent = []
    for file in sorted(PACKAGE.rglob("*.py")):
        place = str(file.relative_to(TOP))
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if tree.body and ast.get_docstring(tree) is None:
            silent.append(place)
        silent += [f"{place}:{node.lineno} {node.name}" for node in public(tree) if ast.get_docstring(node) is None]
    assert silent == []


def public(tree: ast.Module | ast.ClassDef):
    """Yield the public classes and functions of a module, and the public methods of these classes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def test_what_assistants_are_told_has_every_exit_code():
    skill = (TOP / "docs" / "agents" / "SKILL.md").read_text(encoding="utf-8")
    readme, short = ((TOP / name).read_text(encoding="utf-8") for name in ("README.md", "llms.txt"))
    codes = {int(code) for code in ExitCode}
    assert {int(code) for code in re.findall(r"(?m)^\| (\d+) \|", skill)} == codes
    for code in codes:
        assert re.search(rf"\| {code} \|", readme) and re.search(rf"\b{code} [a-z]", short), code


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page)], ids=lambda block: block.place)
def test_a_block_is_what_it_says_it_is(block):
    readers = {"json": json.loads, "toml": tomllib.loads, "python": ast.parse, "yaml": yaml.safe_load}
    known = {*readers, *SHELL, "text"}
    assert block.language in known
    if reader := readers.get(block.language):
        value = reader(block.text)
        assert block.language != "json" or set(value) in (
            {"schema", "command", "ok", "data"},
            {"schema", "command", "ok", "error"},
        )
