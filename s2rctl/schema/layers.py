"""Trees of plain values laid over one another, with the origin of every value kept."""

from collections.abc import Iterator
from typing import Any

from s2rctl.schema.source import Fault, KeyPath, Source, dotted


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
    _forget(origins, base, path)
    origins.update({inner: new[inner] for inner in _places(over, path) if inner in new})
    return over


def put(source: Source, path: KeyPath, value: Any, origin: str) -> None:
    """Put one value into the tree; a step into something that has no parts is a fault."""
    node = source.value
    for depth, part in enumerate(path[:-1]):
        following: Any = None
        if isinstance(node, dict):
            following = node.get(str(part))
            if following is None:
                following = node[str(part)] = {}
                source.origins[path[: depth + 1]] = origin
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            following = node[part]
        if not isinstance(following, dict | list) or not isinstance(node, dict | list):
            source.faults.append(Fault(origin, dotted(path), f"'{dotted(path[: depth + 1])}' has no parts"))
            return
        node = following
    last = path[-1]
    if isinstance(node, list):
        if not isinstance(last, int) or last >= len(node):
            source.faults.append(Fault(origin, dotted(path), f"the list has positions 0 to {len(node) - 1}"))
            return
        old, node[last] = node[last], value
    else:
        old, node[str(last)] = node.get(str(last)), value
        path = (*path[:-1], str(last))
    _forget(source.origins, old, path)
    source.origins[path] = origin


def _forget(origins: dict[KeyPath, str], value: Any, path: KeyPath) -> None:
    for inner in _places(value, path):
        origins.pop(inner, None)


def _places(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Yield the path of a value and of everything in it."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(item, (*path, key))
