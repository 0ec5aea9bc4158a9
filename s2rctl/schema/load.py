"""Profiles from files: ``extends``, ``--set``, validation of everything at once, and the origin of every value."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from s2rctl.core.errors import ProfileError, UsageError
from s2rctl.core.resources import data_folder
from s2rctl.schema.faults import faults_of
from s2rctl.schema.moved import upgraded
from s2rctl.schema.profile import PROFILES, Profile
from s2rctl.schema.source import Fault, KeyPath, Source, dotted, leaves, merge, read_scalar, read_yaml

DEFAULT = "default"


@dataclass(frozen=True)
class Loaded:
    """A valid profile, where each given value came from, and what was asked for."""

    profile: Profile
    origins: dict[str, str]  # dotted path -> "file:line" or "--set a.b=value"; values not listed are defaults
    file: Path
    sets: tuple[str, ...]

    def values(self) -> list[tuple[str, Any, str]]:
        """Return (path, value, origin) of every value of the resolved profile."""
        listed = []
        for path, value in leaves(self.profile.model_dump(mode="json")):
            around = (dotted(path[:length]) for length in range(len(path), 0, -1))
            listed.append((dotted(path), value, next((self.origins[p] for p in around if p in self.origins), DEFAULT)))
        return listed


def profile_files() -> dict[str, Path]:
    """Return the profiles that can be called by name: those of ``./profiles``, then those that come with s2rctl."""
    found: dict[str, Path] = {}
    for folder in (Path.cwd() / "profiles", data_folder("profiles")):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def load_profile(name_or_path: str, sets: Sequence[str] = (), seed: int | None = None) -> Loaded:
    """Load, merge and validate a profile; ProfileError lists every fault, UsageError tells of a malformed ``--set``.

    Later wins: schema default, ``extends`` parent, profile, ``--set`` in the order given, ``--seed``.
    """
    changes = [_parse_set(item) for item in sets]
    file = _locate(name_or_path, None)
    return _finish(_read_chain(file, ()), file, changes, sets, seed)


def load_resolved(values: Mapping[str, Any], sets: Sequence[str] = (), seed: int | None = None) -> Loaded:
    """Return the profile that an artifact's manifest holds, with ``--set`` and ``--seed`` on top."""
    changes = [_parse_set(item) for item in sets]
    name = str(values.get("name", "manifest"))
    source = Source(json.loads(json.dumps(upgraded(values))), {(): f"manifest of {name}"})
    return _finish(source, Path(name), changes, sets, seed)


def _finish(
    source: Source, file: Path, changes: Sequence[tuple[str, KeyPath, Any]], sets: Sequence[str], seed: int | None
) -> Loaded:
    """Apply the changes, validate, and raise everything that is wrong at once."""
    for text, path, value in changes:
        _apply(source, path, value, f"--set {text}")
    if seed is not None:
        _apply(source, ("seed",), seed, f"--seed {seed}")
    # What was to be read and is not there would only give faults that are none.
    unread = any(fault.message.startswith("not valid YAML") for fault in source.faults)
    model = None if unread else _model(source)
    profile = _validate(model, source) if model is not None else None
    if profile is None or source.faults:
        raise _error(file, source.faults)
    origins = {dotted(path): origin for path, origin in source.origins.items() if path and _is_leaf(source.value, path)}
    return Loaded(profile, origins, file, tuple(sets))


def _validate(model: type[BaseModel], source: Source) -> Any:
    try:
        return model.model_validate(source.value)
    except ValidationError as error:
        source.faults += faults_of(error, model, source)
        return None


def _error(file: Path, faults: Sequence[Fault]) -> ProfileError:
    lines = [str(fault) for fault in sorted(faults, key=_place)]
    if all(fault.origin.startswith("--") for fault in faults):
        hint = f"s2rctl profile show {_shown(file)}   (lists every path and its value)"
    else:
        hint = f"correct and check: s2rctl profile validate {_shown(file)}"
    if len(lines) == 1:
        return ProfileError(lines[0], hint)
    return ProfileError(f"{len(lines)} faults in profile {_shown(file)}\n" + "\n".join(lines), hint)


def _place(fault: Fault) -> tuple[str, int]:
    file, _, line = fault.origin.rpartition(":")
    return (file, int(line)) if line.isdigit() else ("~" + fault.origin, 0)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _locate(name: str, beside: Path | None) -> Path:
    """Return the file of a profile given by name or by path (relative to ``beside`` for ``extends``)."""
    if name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name:
        path = Path(name).expanduser()
        path = path if path.is_absolute() else (beside or Path.cwd()) / path
        if not path.is_file():
            raise ProfileError(f"there is no profile file {_shown(path)}", "s2rctl profile list")
        return path
    known = profile_files()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3) or sorted(known)
        raise ProfileError(
            f"there is no profile '{name}'",
            f"use {', '.join(close)}, or the path of a .yaml file (s2rctl profile list)",
        )
    return known[name]


def _read_chain(file: Path, below: tuple[Path, ...], asked: str = "") -> Source:
    """Read a file and, underneath, everything it extends; ``asked`` is where the file is named."""
    file = file.resolve()
    if file in below:
        circle = " -> ".join(_shown(path) for path in (*below, file))
        raise ProfileError(f"{asked}: profiles extend each other in a circle: {circle}", "remove one 'extends'")
    try:
        source = read_yaml(file.read_text(encoding="utf-8"), _shown(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"cannot read profile {_shown(file)}: {error}", "check the file") from None
    parent = source.value.pop("extends", None)
    origin = source.origins.pop(("extends",), "")
    if parent is None:
        return source
    if not isinstance(parent, str):
        source.faults.append(Fault(origin, "extends", "needs the name or the path of one profile"))
        return source
    try:
        base = _read_chain(_locate(parent, file.parent), (*below, file), origin)
    except ProfileError as error:
        raise ProfileError(
            error.message
            if "in a circle" in error.message or error.message.startswith("cannot")
            else f"{origin}: {error.message}",
            error.hint,
        ) from None
    return merge(base, source)


def _parse_set(text: str) -> tuple[str, KeyPath, Any]:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"--set {text}: needs the form path=value", "e.g. --set teacher.pick.ppo.steps=100000")
    try:
        parsed = read_scalar(value)
    except ValueError as error:
        raise UsageError(f"--set {text}: {error}", "quote text that YAML cannot read") from None
    return text, tuple(int(part) if part.isdigit() else part for part in parts), parsed


def _apply(source: Source, path: KeyPath, value: Any, origin: str) -> None:
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
        node[last] = value
    else:
        node[str(last)] = value
        path = (*path[:-1], str(last))
    for old in [known for known in source.origins if known[: len(path)] == path]:
        del source.origins[old]
    source.origins[path] = origin


def _model(source: Source) -> type[Profile] | None:
    """Return the model that ``system`` names, or add the fault."""
    system = source.value.get("system")
    if isinstance(system, str) and system in PROFILES.names():
        model: type[Profile] = PROFILES.load(system)
        return model
    choice = " or ".join(sorted(PROFILES.names()))
    origin = source.origins.get(("system",), source.origins.get((), "profile"))
    source.faults.append(Fault(origin, "system", f"must be {choice}" + (f" (got {system!r})" if system else "")))
    return None


def _is_leaf(value: Any, path: KeyPath) -> bool:
    for part in path:
        if not isinstance(value, dict | list):
            return False
        try:
            value = value[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return False
    return not isinstance(value, dict)
