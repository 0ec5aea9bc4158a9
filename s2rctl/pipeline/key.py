"""Cache keys: what a stage's work depends on, as one digest."""

from collections.abc import Mapping
from typing import Any

from s2rctl.core.errors import UsageError
from s2rctl.schema.profile import Profile
from s2rctl.store.canonical import digest
from s2rctl.systems.protocol import APART, EVERYTHING, LATER, Stage

_ABSENT: Any = object()


def read_fields(stage: Stage, resolved: Mapping[str, Any], lenient: bool = False) -> dict[str, Any]:
    """Return the profile values that the stage declares to read, by dotted path.

    UsageError for a path that the profile does not have, unless ``lenient``: an earlier one may not.
    """
    fields: dict[str, Any] = {}
    for path in stage.reads:
        if path == EVERYTHING:
            return dict(resolved)
        value: Any = resolved
        for part in path.split("."):
            value = value[part] if isinstance(value, Mapping) and part in value else _ABSENT
        if value is _ABSENT and not lenient:
            raise UsageError(f"stage {stage.name} reads '{path}', which this profile does not have")
        if value is not _ABSENT and (path not in LATER or value != LATER[path]):
            fields[path] = _without_later(path, _without_apart(path, value))
    return fields


def _without_later(path: str, value: Any) -> Any:
    """Return the value at ``path`` without what came later and is as if it had not come, at any depth."""
    if not any(later.startswith(f"{path}.") for later in LATER):
        return value
    if isinstance(value, Mapping):
        below = {name: (f"{path}.{name}", item) for name, item in value.items()}
        return {
            name: _without_later(place, item)
            for name, (place, item) in below.items()
            if place not in LATER or item != LATER[place]
        }
    if isinstance(value, list):
        return [_without_later(f"{path}.*", item) for item in value]
    return value


def _without_apart(path: str, value: Any) -> Any:
    """Return a task's section without the parts that a stage has to name."""
    if path.startswith("tasks.") and path.count(".") == 1 and isinstance(value, Mapping):
        return {name: item for name, item in value.items() if name not in APART}
    return value


def cache_key(stage: Stage, profile: Profile, inputs: Mapping[str, str]) -> str:
    """Return the key of the work: stage and version, profile fields read, input ids by role, seed (64 hex digits)."""
    return digest(
        {
            "stage": stage.name,
            "version": stage.version,
            "output": f"{stage.kind}/{stage.output}",
            "fields": read_fields(stage, profile.model_dump(mode="json")),
            "inputs": dict(inputs),
            "seed": profile.seed,
        }
    )
