"""The ground plan of docs/architecture.md, as far as it can be counted."""

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from s2rctl.systems import all_systems

PACKAGE = Path(__file__).parents[2] / "s2rctl"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = ("systems", "tasks", "scene", "experts", "robots")
"""Where a system, a task or a robot is at home."""
TABLES = ("schema/profile.py", "schema/robots.py", "schema/tasks.py", "schema/moved.py")
"""The rows of profile models, and what older profiles called things."""
MOST_LITERALS = 60


def trees() -> Iterator[tuple[str, ast.Module]]:
    for file in FILES:
        yield str(file.relative_to(PACKAGE)), ast.parse(file.read_text(encoding="utf-8"))


def names() -> set[str]:
    """Names of systems, robots, tasks, policies and exports."""
    found = set()
    for system in all_systems():
        found |= {system.name, system.robot, system.output, *system.tasks}
        for policy in system.policies:
            found |= {policy.name, policy.export}
    return found


def test_systems_tasks_and_robots_are_hardly_named_outside_their_rooms():
    known = names()
    outside = [
        f"{place}:{node.lineno}: {node.value}"
        for place, tree in trees()
        if not place.startswith(ROOMS) and place not in TABLES
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in known
    ]
    assert len(outside) <= MOST_LITERALS, "\n".join(outside)


def figures(node: ast.expr) -> tuple[float, ...]:
    """Return a list of at least three numbers that are neither all alike nor only 0 and 1."""
    elements = node.elts if isinstance(node, ast.Tuple | ast.List) else []
    try:
        values = tuple(float(ast.literal_eval(element)) for element in elements)
    except (TypeError, ValueError):
        return ()
    return values if len(values) >= 3 and len({abs(value) for value in values} - {0.0, 1.0}) >= 2 else ()


def test_no_list_of_figures_stands_in_two_files():
    """A home pose, a size, a limit: who needs it asks where it stands."""
    places: dict[tuple[float, ...], set[str]] = {}
    for place, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and (found := figures(node)):
                places.setdefault(found, set()).add(place)
    assert len(places) > 20
    assert {values: files for values, files in places.items() if len(files) > 1} == {}


def test_no_file_is_longer_than_300_lines():
    long = {str(file): lines for file in FILES if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 300}
    assert long == {}


def test_no_function_is_longer_than_60_lines():
    long = [
        f"{place}:{node.lineno}: {node.name}"
        for place, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > 60
    ]
    assert long == []


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    graph = grimp.build_graph("s2rctl", exclude_type_checking_imports=False)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_no_module_imports_itself_by_a_detour(imports):
    """Nor for its types only: two modules that need each other's names are one."""
    waiting = {module: set(others) for module, others in imports.items()}
    while free := [module for module, others in waiting.items() if not others]:
        for module in free:
            del waiting[module]
        for others in waiting.values():
            others.difference_update(free)
    assert waiting == {}, "these import each other in a circle, or import one that does"
