"""Sets single values in YAML text line by line, so that comments, order and everything else stay as they are.

Only block style is changed: ``section:`` on a line of its own and its keys below, indented. A value is written on one
line behind its key.
"""

import re
from collections.abc import Sequence

from s2rctl.core.errors import UsageError

_INDENT = 2


def with_value(text: str, path: Sequence[str], value: str) -> str:
    """Return YAML text in which the key at ``path`` has the value, written as it is; missing keys are added.

    UsageError where a section on the way is written on one line, which is not taken apart.
    """
    lines = text.splitlines()
    begin, end, indent = 0, len(lines), 0
    for depth, key in enumerate(path):
        last = depth == len(path) - 1
        at = _find(lines, begin, end, indent, key)
        if at is None:
            added = [f"{' ' * (indent + _INDENT * more)}{_key(name)}:" for more, name in enumerate(path[depth:])]
            added[-1] += f" {value}"
            place = _after_content(lines, begin, end)
            return _text([*lines[:place], *added, *lines[place:]])
        stop = _block_end(lines, at, end, indent)
        if last:
            kept = [line for line in lines[at + 1 : stop] if line.lstrip().startswith("#") and _width(line) <= indent]
            return _text([*lines[:at], f"{' ' * indent}{_key(key)}: {value}", *kept, *lines[stop:]])
        rest = lines[at].split(":", 1)[1].strip()
        if rest and not rest.startswith(("#", "&")):
            where = ".".join(path[: depth + 1])
            raise UsageError(
                f"the profile's {where} is written on one line", f"write {'.'.join(path)}: {value} yourself"
            )
        begin, end = at + 1, stop
        inner = [line for line in lines[begin:end] if line.strip() and not line.lstrip().startswith("#")]
        indent = _width(inner[0]) if inner else indent + _INDENT
    return text


def _find(lines: list[str], begin: int, end: int, indent: int, key: str) -> int | None:
    """Return the line of a key at an indentation, None where there is none."""
    pattern = re.compile(rf"^ {{{indent}}}([\"']?){re.escape(key)}\1\s*:(\s|$)")
    return next((number for number in range(begin, end) if pattern.match(lines[number])), None)


def _block_end(lines: list[str], at: int, end: int, indent: int) -> int:
    """Return the line behind everything that belongs to the key on line ``at``."""
    for number in range(at + 1, end):
        line = lines[number]
        if line.strip() and not line.lstrip().startswith("#") and _width(line) <= indent:
            return _after_content(lines, at + 1, number) if number > at + 1 else number
    return _after_content(lines, at + 1, end)


def _after_content(lines: list[str], begin: int, end: int) -> int:
    """Return the line behind the last one that is neither empty nor a comment."""
    place = end
    while place > begin and (not lines[place - 1].strip() or lines[place - 1].lstrip().startswith("#")):
        place -= 1
    return place


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w/.-]*", name) else f'"{name}"'


def _width(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
