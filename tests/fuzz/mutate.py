"""Small changes to valid input: of its bytes, of its numbers and words, and of the tree that it stands for.

Everything is decided by a chooser, so that the same changes can be drawn by hypothesis, by a random generator, or by a
coverage-guided fuzzer.
"""

import copy
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Chooser(Protocol):
    """Whatever decides."""

    def below(self, count: int) -> int:
        """Return a whole number from 0 to ``count - 1``."""


class RandomChooser:
    """Decides by chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, count: int) -> int:
        """Return a whole number from 0 to ``count - 1``."""
        return int(self._random() * count)


NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 8, 15, 16, 31, 64, 100, 127, 128, 200, 255, 256, 1000, 4096, 32767, 65535, 65536),
    *(2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**33, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**20),
    *(0.0, -0.0, 0.1, 0.5, 1.5, -0.25, 1e-320, 1e-30, 1e30, 1e308, -1e308, 3.4e38, 1e400, -1e400, 1e400 - 1e400),
)
"""Whole numbers and floats at the edges; the last three are the infinities and NaN."""

WORDS: tuple[str, ...] = (
    *("", " ", ".", "..", "/", "-", "--", "-x", "--json", "~", "~nosuchuser/x", "~root", "a" * 300, "a" * 5000),
    *("../../victim/f", "x/../../../../victim/f", "a/b/../../../victim", "victim", "x//y", "x/", "./x", "/tmp/x"),
    *(
        "\0",
        "a\0b",
        "\x1b[31mred",
        "\x9b31m",
        "\x7f",
        "\r",
        "\n",
        "two\nlines",
        "\u202etxt.exe",
        "\ud800",
        "é",
        "²",
        "٣",
    ),
    *("010", "0x10", "0o10", "1e999", ".inf", ".nan", "NaN", "Infinity", "1_000", "098765", "+1", "1:2", "2001-01-01"),
    *(
        "null",
        "true",
        "yes",
        "~",
        "!!python/object:os.system",
        "*a",
        "&a",
        "<<",
        "{}",
        "[]",
        "{0}",
        "%s",
        "%n",
        "${HOME}",
    ),
    *(
        "<script>alert(1)</script>",
        "'",
        '"',
        "`id`",
        "$(id)",
        "__class__",
        "__proto__",
        "=",
        "a=b",
        ":",
        "a:b",
        "a/b:c",
    ),
    *("latest", "teacher/pick:latest", "aloha", "xarm7", "xarm7-reach", "0" * 64, "f" * 64, "batch", "float32", "|S0"),
)

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
Mutation = Callable[[Chooser, bytes], bytes]


def pick(choose: Chooser, items: Sequence[Any]) -> Any:
    """Return one of the items."""
    return items[choose.below(len(items))]


def encode(word: str) -> bytes:
    """Return a word as bytes, halves of surrogate pairs too."""
    return word.encode("utf-8", "surrogatepass")


def mutate_bytes(choose: Chooser, data: bytes, others: Sequence[bytes] = (b"",), words: Sequence[str] = WORDS) -> bytes:
    """Return the bytes with one change: flip, cut, insert, duplicate, repeat, splice, or a number made extreme."""
    kind = choose.below(10)
    at = choose.below(len(data) + 1)
    length = 1 + choose.below((1, 4, 16, 64, max(1, len(data)))[choose.below(5)])
    part = data[at : at + length]
    if kind == 0 and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << choose.below(8)]) + data[at + 1 :]
    if kind == 1 and at < len(data):
        return (
            data[:at] + bytes([pick(choose, (0, 1, 9, 10, 27, 32, 46, 47, 127, 128, 155, 254, 255))]) + data[at + 1 :]
        )
    if kind == 2:
        return data[:at] + data[at + length :]
    if kind == 3:
        return data[:at] + encode(pick(choose, words)) + data[at:]
    if kind == 4:
        return data[:at] + part * (2 + choose.below(3)) + data[at + length :]
    if kind == 5:
        return (
            data[:at]
            + pick(choose, (part[:1], b"[", b"{", b"(", b"\0", b" ", b"\xff")) * choose.below(3500)
            + data[at:]
        )
    if kind == 6:
        other = pick(choose, others)
        return data[:at] + other[choose.below(len(other) + 1) :]
    if kind == 7:
        numbers = list(_NUMBER.finditer(data[at : at + 4096])) or list(_NUMBER.finditer(data[:4096]))
        if numbers:
            offset = at if _NUMBER.search(data[at : at + 4096]) else 0
            match = pick(choose, numbers)
            return data[: offset + match.start()] + number_text(choose) + data[offset + match.end() :]
    if kind == 8:
        return data[:at]
    size = (1, 2, 4, 8)[choose.below(4)]
    whole = int(choose.below(2)) * ((1 << 8 * size) - 1) ^ (0, 1, 2, 1 << (8 * size - 1))[choose.below(4)]
    return data[:at] + whole.to_bytes(size, ("little", "big")[choose.below(2)]) + data[at + size :]


def number_text(choose: Chooser) -> bytes:
    """Return an extreme number as text."""
    return repr(pick(choose, NUMBERS)).encode()


def places(value: Any, path: tuple[Any, ...] = (), limit: int = 3000) -> list[tuple[Any, ...]]:
    """Return the paths of all parts of a tree of dicts and lists, the top first."""
    found, waiting = [], [(path, value)]
    while waiting and len(found) < limit:
        here, node = waiting.pop(0)
        found.append(here)
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        waiting += [((*here, key), item) for key, item in items]
    return found


def at_path(tree: Any, path: Sequence[Any]) -> Any:
    """Return the part of a tree at a path."""
    for key in path:
        tree = tree[key]
    return tree


def edit_tree(choose: Chooser, value: Any, words: Sequence[str] = WORDS) -> Any:
    """Return a copy of a tree with one part replaced, removed, doubled, renamed, moved, or changed a little."""
    tree = copy.deepcopy(value)
    known = places(tree)
    path = pick(choose, known)
    if not path:
        return _other(choose, tree, known, words) if choose.below(4) == 0 else tree
    parent, key = at_path(tree, path[:-1]), path[-1]
    kind = choose.below(9)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind == 1:
        parent[pick(choose, words)] = copy.deepcopy(parent[key])
    elif kind == 2 and isinstance(parent, dict):
        parent[pick(choose, words)] = parent.pop(key)
    elif kind == 3:
        parent[key] = _nudged(choose, parent[key], words)
    else:
        parent[key] = _other(choose, tree, known, words)
    return tree


def _other(choose: Chooser, tree: Any, known: Sequence[tuple[Any, ...]], words: Sequence[str]) -> Any:
    """Return a value for a part: a number, a word, nothing, something empty, or another part."""
    kind = choose.below(6)
    if kind < 2:
        return pick(choose, NUMBERS)
    if kind == 2:
        return pick(choose, words)
    if kind == 3:
        return pick(choose, (None, True, False, [], {}, [[]], {"a": {}}, [None], [0.0, 0.0], [1.0, -1.0]))
    return copy.deepcopy(at_path(tree, pick(choose, known)))


def _nudged(choose: Chooser, value: Any, words: Sequence[str]) -> Any:
    """Return a value that is nearly the same."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return pick(choose, (value + 1, value - 1, -value, value * 1000, value * 0.5, str(value), [value]))
    if isinstance(value, str):
        at = choose.below(len(value) + 1)
        return value[:at] + pick(choose, words) + value[at + choose.below(3) :]
    if isinstance(value, list):
        return pick(choose, (value[::-1], value * 2, value[:1], [value], [*value, None]))
    return [value]
