"""Reference pages that are written from the code, and what they must not miss."""

import ast
import re

from s2rctl.cli.reference import markdown
from s2rctl.core.exits import ExitCode
from tests.docs.pages import TOP, tree

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
