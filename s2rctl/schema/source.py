"""YAML as plain values plus the file and line that each of them came from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]
"""Where a value is: mapping keys and list positions from the top."""


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


class _Loader(yaml.SafeLoader):
    """YAML without the surprises of version 1.1: only true/false are booleans, 1e-3 is a number, dates are text."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|false|True|False", "tfTF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.?[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("$"), [""])


_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def read_yaml(text: str, name: str) -> Source:
    """Parse one YAML document whose top is a mapping; ``name`` is the file name that origins and faults show."""
    source = Source()
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return source
        source.value = _build(loader, node, (), name, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        source.faults.append(
            Fault(f"{name}:{mark.line + 1 if mark else 1}", "", f"not valid YAML: {error.problem or error.context}")
        )
    except (yaml.YAMLError, ValueError) as error:
        source.faults.append(Fault(f"{name}:1", "", f"not valid YAML: {error}"))
    finally:
        loader.dispose()  # type: ignore[no-untyped-call]
    if not source.faults and not isinstance(source.value, dict):
        source.faults.append(Fault(f"{name}:1", "", "a profile is a mapping of keys to values"))
    if not isinstance(source.value, dict):
        source.value = {}
    return source


def read_scalar(text: str) -> Any:
    """Parse the value of a ``--set`` option: a YAML scalar or flow list; raise ValueError if it is neither."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else loader.construct_object(node, deep=True)  # type: ignore[no-untyped-call]
    except yaml.YAMLError as error:
        raise ValueError(f"'{text}' is not a YAML value") from error
    finally:
        loader.dispose()  # type: ignore[no-untyped-call]


def _build(
    loader: _Loader, node: yaml.Node, path: KeyPath, name: str, source: Source, around: tuple[yaml.Node, ...] = ()
) -> Any:
    origin = f"{name}:{node.start_mark.line + 1}"
    if node in around:
        raise yaml.constructor.ConstructorError(None, None, "a value that contains itself", node.start_mark)
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN:
        raise yaml.constructor.ConstructorError(None, None, f"unknown tag {node.tag}", node.start_mark)
    inside = (*around, node)
    source.origins.setdefault(path, origin)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            place = f"{name}:{key_node.start_mark.line + 1}"
            if key in mapping:
                source.faults.append(Fault(place, dotted((*path, key)), "given twice"))
            source.origins[(*path, key)] = place
            mapping[key] = _build(loader, value_node, (*path, key), name, source, inside)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, index), name, source, inside) for index, item in enumerate(node.value)]
    return loader.construct_object(node)  # type: ignore[no-untyped-call]


def merge(base: Source, over: Source) -> Source:
    """Return ``base`` with ``over`` laid on top: mappings are merged key by key, everything else is replaced."""
    origins = dict(base.origins)
    value = _merge(base.value, over.value, (), origins, over.origins)
    return Source(value, origins, [*base.faults, *over.faults])


def _merge(base: Any, over: Any, path: KeyPath, origins: dict[KeyPath, str], new: dict[KeyPath, str]) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        if path in new:
            origins[path] = new[path]
        merged = dict(base)
        for key, item in over.items():
            merged[key] = _merge(base.get(key), item, (*path, key), origins, new)
        return merged
    for old in [known for known in origins if known[: len(path)] == path]:
        del origins[old]
    origins.update({known: origin for known, origin in new.items() if known[: len(path)] == path})
    return over


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
