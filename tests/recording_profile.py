"""A profile that notes which of its values somebody reads.

Every section becomes a subclass of its model, made for its place in the profile, so everything that works on a section
still does: ``isinstance``, methods and properties (what they read is noted), and ``model_copy``, whose copies go on
noting what they still have of the profile. To dump or compare a section is to read all of it. To dump the whole profile
is no reading: that is how keys, lineage and certificates name it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from s2rctl.schema.base import Model
from s2rctl.schema.profile import Profile

AnyProfile = TypeVar("AnyProfile", bound=Profile)


def recording(profile: AnyProfile, reads: set[str]) -> AnyProfile:
    """Return an equal profile that adds the dotted path of every value that is read to ``reads``.

    A place in a list or a key of a mapping is no part of a path: ``vision.cameras.width`` is the width of any camera.
    Whether an optional section is there is a value of its own, e.g. ``vision.depth_noise``.
    """
    made: AnyProfile = _noted(profile, "", reads, {})
    return made


_Sections = dict[tuple[type[Model], str], type[Model]]


def _noted(value: Any, path: str, reads: set[str], sections: _Sections) -> Any:
    """Return a value with every section in it made to note; sections of one model and place are of one class."""
    if isinstance(value, Model):
        model = type(value)
        if (model, path) not in sections:
            sections[model, path] = _section(model, path, reads)
        fields = {n: _noted(getattr(value, n), _join(path, n), reads, sections) for n in model.model_fields}
        return sections[model, path].model_construct(set(value.model_fields_set), **fields)
    if isinstance(value, tuple):
        return tuple(_noted(item, path, reads, sections) for item in value)
    if isinstance(value, dict):
        return {key: _noted(item, path, reads, sections) for key, item in value.items()}
    return value


def _section(model: type[Model], path: str, reads: set[str]) -> type[Model]:
    """Return the subclass of a model for one place in the profile."""
    # A field that always holds a section is only a way to what is in it.
    ways = {
        n for n, f in model.model_fields.items() if isinstance(f.annotation, type) and issubclass(f.annotation, Model)
    }
    leaves = frozenset(model.model_fields.keys() - ways)

    def __getattribute__(self: Any, name: str) -> Any:
        if name in leaves:
            reads.add(_join(path, name))
        return model.__getattribute__(self, name)

    def model_dump(self: Any, **options: Any) -> Any:
        reads.update(_below(self, path))
        return model.model_dump(self, **options)

    def model_dump_json(self: Any, **options: Any) -> str:
        reads.update(_below(self, path))
        return model.model_dump_json(self, **options)

    def __eq__(self: Any, other: object) -> bool:
        if not isinstance(other, model):
            return NotImplemented
        reads.update(_below(self, path))
        return bool(model.model_dump(self) == model.model_dump(other))

    def __iter__(self: Any) -> Any:
        reads.update(_below(self, path))
        return model.__iter__(self)

    members: dict[str, Any] = {"__getattribute__": __getattribute__, "__eq__": __eq__, "__module__": model.__module__}
    if path:
        members |= {"model_dump": model_dump, "model_dump_json": model_dump_json, "__iter__": __iter__}
    return type(model.__name__, (model,), members)


def _below(value: Any, path: str) -> Iterable[str]:
    """Return the paths of all values of a section, a list or a mapping of sections."""
    if isinstance(value, Model):
        for name, item in vars(value).items():
            yield from _below(item, _join(path, name))
    elif isinstance(value, tuple | Mapping) and any(isinstance(item, Model) for item in _items(value)):
        yield path
        for item in _items(value):
            yield from _below(item, path)
    else:
        yield path


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
