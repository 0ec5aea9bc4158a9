"""Validation errors as ``file:line: path: message``, with suggestions for unknown keys."""

import difflib
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from s2rctl.schema.moved import moved_to
from s2rctl.schema.source import Fault, KeyPath, Source, dotted, shown

MOST_SUGGESTIONS = 50
"""Unknown keys for which a known one is sought: it takes a while."""


_NEEDS = {
    "tuple_type": "a list in square brackets",
    "dict_type": "keys of its own, not a single value",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}
"""What pydantic asks for, by its name for the error, in words of a profile."""


def faults_of(error: ValidationError, model: type[BaseModel], source: Source) -> list[Fault]:
    """Return one fault per validation error, in the order of the profile's lines."""
    found: list[Fault] = []
    for item in error.errors(include_url=False):
        path: KeyPath = tuple(item["loc"])
        if item["type"] == "value_error":
            found += _told(str(item["ctx"]["error"]), path, source)
            continue
        if item["type"] == "extra_forbidden":
            new = moved_to(dotted(path))
            known = f"; {_suggest(path, model)}" if len(found) < MOST_SUGGESTIONS else ""
            message = f"stands at {new} now" if new else f"unknown key{known}"
        elif item["type"] == "missing":
            message = "required, but not given"
        elif item["type"] == "model_type":
            message = f"needs keys of its own, not a single value (got {shown(item['input'])})"
        elif item["type"] == "string_type" and isinstance(item["input"], int | float):
            message = f"needs text: quote it (got {shown(item['input'])})"
        elif item["type"] in _NEEDS:
            message = f"needs {_NEEDS[item['type']]} (got {shown(item['input'])})"
        else:
            message = item["msg"][:1].lower() + item["msg"][1:]
            if not isinstance(item["input"], dict | list):
                message += f" (got {shown(item['input'])})"
        found.append(Fault(origin_of(path, source), dotted(path), message))
    return found


def _told(message: str, path: KeyPath, source: Source) -> list[Fault]:
    """Return the faults that a check of several fields tells, one a line: ``field.of.it: what is the matter``."""
    faults = []
    for line in message.splitlines():
        where, colon, what = line.partition(": ")
        parts = tuple(int(part) if part.isdecimal() else part for part in where.split("."))
        inner = (*path, *parts) if colon and " " not in where else path
        faults.append(Fault(origin_of(inner, source), dotted(inner), what if inner is not path else line))
    return faults


def origin_of(path: KeyPath, source: Source) -> str:
    """Return where the value, or else the closest value around it, was written."""
    for length in range(len(path), -1, -1):
        if path[:length] in source.origins:
            return source.origins[path[:length]]
    return "profile"


def _suggest(path: KeyPath, model: type[BaseModel]) -> str:
    word = str(path[-1])
    around = _model_at(model, path[:-1])
    known = list(around.model_fields) if around else []
    close = difflib.get_close_matches(word, known, n=2)
    if close:
        return f"did you mean {' or '.join(close)}?"
    everywhere = list(known_paths(model))
    same = [dotted(other) for other in everywhere if other[-1] == word]
    if same:
        return f"did you mean {' or '.join(same[:3])}?"
    if len(path) > 1 or not known:
        return f"known: {', '.join(sorted(known))}"
    close = difflib.get_close_matches(word, [str(other[-1]) for other in everywhere], n=1)
    nested = [dotted(other) for other in everywhere if close and other[-1] == close[0]]
    return f"did you mean {nested[0]}?" if nested else f"known: {', '.join(sorted(known))}"


def known_paths(model: type[BaseModel], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every field of a model, at every depth."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        inner = _inner(field.annotation)
        if inner is not None and not _is_sequence(field.annotation):
            yield from known_paths(inner, (*path, name))


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        if current is None or part not in current.model_fields:
            return None
        current = _inner(current.model_fields[part].annotation)
    return current


def _inner(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside ``Model``, ``Model | None`` or ``tuple[Model, ...]``, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _inner(argument)
        if found is not None:
            return found
    return None


def _is_sequence(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Annotated):
        return any(_is_sequence(argument) for argument in get_args(annotation))
    return origin in (tuple, list, dict)
