"""YAML as plain values plus the file and line that each of them came from.

What a file may contain is narrow, so that none can surprise or exhaust: mappings, lists, text, numbers, true, false and
null, within limits of size, depth and number of values. Anchors and aliases work; every use of one counts.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]
"""Where a value is: mapping keys and list positions from the top."""

MOST_BYTES = 262_144
"""Of one file. The largest profile that comes with s2rctl has 6 kB."""
MOST_VALUES = 10_000
"""In one file, after aliases are expanded. A profile with every value given has some 300."""
DEEPEST = 32
"""Levels of nesting."""
LONGEST_KEY = 200
MOST_DIGITS = 40
"""Of one number: more than any number needs, and few enough to print."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where it was written, which value it concerns, and what is the matter."""

    origin: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.path}: {self.message}" if self.path else f"{self.origin}: {self.message}"


@dataclass
class Source:
    """A tree of plain values, the origin of each of them, and the faults met while reading."""

    value: Any = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def dotted(path: KeyPath) -> str:
    """Return ``a.b.0.c`` for a path."""
    return ".".join(str(part) for part in path)


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every scalar (and every empty or scalar-only list) of a tree with its path."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def shown(value: Any, most: int = 60) -> str:
    """Return a value in a form that fits into a message."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


def unprintable(text: str) -> str:
    """Return the name of the first character that no text of a profile may have (``U+0000``), '' if there is none.

    Line breaks and tabs are text. Control characters, and halves of surrogate pairs, break whatever they reach: path
    names, terminals, files.
    """
    for character in text:
        if character not in "\n\r\t" and unicodedata.category(character) in ("Cc", "Cs"):
            return f"U+{ord(character):04X}"
    return ""


_TAG = "tag:yaml.org,2002:"
_FORMS = {
    "bool": (r"true|false|True|False", "tfTF"),
    "null": (r"~|null|Null|NULL|", "~nN"),
    "int": (r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.?[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        "-+0123456789.",
    ),
}


class _Loader(yaml.SafeLoader):
    """YAML without the surprises of version 1.1: only true/false are booleans, 1e-3 is a number, dates are text."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node; refuse one that is nested too deep before Python's own limit does."""
        self.depth += 1
        try:
            if self.depth > DEEPEST:
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise _refusal(f"nested more than {DEEPEST} levels deep", mark)
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.yaml_implicit_resolvers = {}
for _kind, (_pattern, _first) in _FORMS.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver(_TAG + "null", re.compile("$"), [""])


def read_yaml(text: str | bytes, name: str) -> Source:
    """Parse one YAML document whose top is a mapping; ``name`` is the file name that origins and faults show.

    Bytes are UTF-8, with or without a byte order mark. Everything that is wrong becomes a fault of the source.
    """
    source = Source()
    try:
        source.value = _parse(_decoded(text, name) if isinstance(text, bytes) else text, name, source)
    except _Unreadable as error:
        source.faults.append(Fault(f"{name}:{error.line}", "", f"not valid YAML: {error}"))
    if source.value is None and not source.faults:
        source.value = {}
    if not source.faults and not isinstance(source.value, dict):
        source.faults.append(Fault(f"{name}:1", "", "a profile is a mapping of keys to values"))
    if not isinstance(source.value, dict):
        source.value = {}
    return source


def read_scalar(text: str) -> Any:
    """Parse the value of a ``--set`` option, YAML under the rules for files; raise ValueError with what is wrong."""
    source = Source()
    try:
        value = _parse(text, "", source)
    except _Unreadable as error:
        raise ValueError(f"{shown(text)} is not a YAML value: {error}") from None
    if source.faults:
        fault = source.faults[0]
        raise ValueError(f"{fault.path}: {fault.message}" if fault.path else fault.message)
    return value


class _Unreadable(Exception):
    """Text that is no profile, and the line that says so."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def _refusal(message: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, message, mark)


def _decoded(content: bytes, name: str) -> str:
    """Return the text of a file."""
    if len(content) > MOST_BYTES:
        raise _Unreadable(f"a profile has at most {MOST_BYTES // 1024} kB", 1)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Unreadable("it is UTF-16 text; save it as UTF-8", 1)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _Unreadable(f"the byte 0x{error.object[error.start]:02x} is no UTF-8 text", line) from None


def _parse(text: str, name: str, source: Source) -> Any:
    """Return the value of one document; None for an empty one."""
    if len(text) > MOST_BYTES:
        raise _Unreadable(f"longer than {MOST_BYTES} characters", 1)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _Builder(name, source).build(node, (), ())
        finally:
            loader.dispose()  # type: ignore[no-untyped-call]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Unreadable(str(error.problem or error.context), mark.line + 1 if mark else 1) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(0, error.position)) + 1
        raise _Unreadable(f"the character U+{ord(text[error.position]):04X} is not allowed", line) from None


class _Builder:
    """Turns nodes into plain values, counting them."""

    def __init__(self, name: str, source: Source) -> None:
        self._name, self._source, self._count = name, source, 0
        self._furthest: Any = None  # mark of the last line reached: what an alias stands for was written before

    def build(self, node: yaml.Node, path: KeyPath, around: tuple[yaml.Node, ...]) -> Any:
        """Return the value of a node at a path; note origins and faults."""
        self._count += 1
        if self._furthest is None or node.start_mark.line > self._furthest.line:
            self._furthest = node.start_mark
        if self._count > MOST_VALUES:
            raise _refusal(f"more than {MOST_VALUES} values", self._furthest)
        if len(around) >= DEEPEST:
            raise _refusal(f"nested more than {DEEPEST} levels deep", node.start_mark)
        if any(node is other for other in around):
            raise _refusal("a value that contains itself", node.start_mark)
        self._source.origins.setdefault(path, self._at(node))
        inside = (*around, node)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path, inside)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.build(item, (*path, index), inside) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        raise _refusal(f"unknown tag {node.tag}", node.start_mark)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, inside: tuple[yaml.Node, ...]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.removeprefix(_TAG) not in (*_FORMS, "str"):
                raise _refusal("a key is plain text", key_node.start_mark)
            key, place = str(key_node.value), self._at(key_node)
            if key == "<<":
                raise _refusal("merge keys (<<) are not supported; see extends", key_node.start_mark)
            if len(key) > LONGEST_KEY:
                raise _refusal(f"a key of more than {LONGEST_KEY} characters", key_node.start_mark)
            if strange := unprintable(key):
                raise _refusal(f"a key with the character {strange}", key_node.start_mark)
            if key in mapping:
                self._source.faults.append(Fault(place, dotted((*path, key)), "given twice"))
            self._source.origins[(*path, key)] = place
            mapping[key] = self.build(value_node, (*path, key), inside)
        return mapping

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if kind == "str":
            if strange := unprintable(text):
                self._source.faults.append(Fault(self._at(node), dotted(path), f"text with the character {strange}"))
            return text
        if kind not in _FORMS:
            raise _refusal(f"unknown tag {node.tag}", node.start_mark)
        if not re.fullmatch(_FORMS[kind][0], text):
            raise _refusal(f"{shown(text)} is no {kind}", node.start_mark)
        try:
            return _plain(kind, text)
        except ValueError as error:
            # Read on: the other faults are worth telling too.
            self._source.faults.append(Fault(self._at(node), dotted(path), str(error)))
            return text

    def _at(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"


def _plain(kind: str, text: str) -> Any:
    """Return the value of plain text that has the form of its kind; ValueError for a number that misleads."""
    if kind == "bool":
        return text.lower() == "true"
    if kind == "null":
        return None
    digits = text.replace("_", "")
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits ({MOST_DIGITS} at most); quote it if it is text")
    if kind == "float":
        return float(digits.replace(".inf", "inf").replace(".nan", "nan"))
    bare = digits.lstrip("+-")
    if bare.startswith("0x"):
        return int(bare, 16)
    if len(bare) > 1 and bare.startswith("0"):
        # YAML 1.1 reads it as octal, YAML 1.2 as decimal, and whoever wrote it may have meant a serial number.
        raise ValueError(
            f"{text} begins with 0, which some programs take for an octal number: "
            f"leave the 0 out ({bare.lstrip('0') or '0'}), or quote it if it is text ('{text}')"
        )
    return int(digits)
