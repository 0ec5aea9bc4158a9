"""Profiles from files: ``extends``, ``--set``, validation of everything at once, and the origin of every value."""

import difflib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from s2rctl.core.errors import ArtifactError, ProfileError, UsageError
from s2rctl.core.resources import data_folder
from s2rctl.core.text import one_line
from s2rctl.schema.faults import faults_of
from s2rctl.schema.layers import merge, put
from s2rctl.schema.moved import upgraded
from s2rctl.schema.profile import PROFILES, Profile
from s2rctl.schema.source import (
    DEEPEST,
    MOST_BYTES,
    Fault,
    KeyPath,
    Source,
    dotted,
    leaves,
    read_scalar,
    read_yaml,
    shown,
    unprintable,
)

DEFAULT = "default"
LONGEST_CHAIN = 16
"""Profiles that extend each other."""
LONGEST_SET = 4_096
"""Characters of one ``--set`` option."""
MOST_FAULTS = 50
"""That are listed."""


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
        for path, value in leaves(self.profile.complete()):
            around = (dotted(path[:length]) for length in range(len(path), 0, -1))
            listed.append((dotted(path), value, next((self.origins[p] for p in around if p in self.origins), DEFAULT)))
        return listed


def profile_files() -> dict[str, Path]:
    """Return the profiles that can be called by name: those of ``./profiles``, then those that come with s2rctl."""
    found: dict[str, Path] = {}
    with suppress(OSError):  # of a working folder that is gone
        found |= {path.stem: path for path in sorted((Path.cwd() / "profiles").glob("*.yaml"))}
    for path in sorted(data_folder("profiles").glob("*.yaml")):
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
    """Return the profile that an artifact's manifest holds, with ``--set`` and ``--seed`` on top.

    Raises ArtifactError if the manifest's own values are invalid, and ProfileError if only the changes are.
    """
    changes = [_parse_set(item) for item in sets]
    name = str(values.get("name", "manifest"))
    origin = f"manifest of {one_line(name)}"
    source = Source(json.loads(json.dumps(upgraded(values))), {(): origin})
    for path, value in leaves(source.value):
        if any(unprintable(str(part)) for part in (*path, *(value if isinstance(value, list) else [value]))):
            source.faults.append(Fault(origin, shown(dotted(path)), "text with a control character"))
    try:
        return _finish(source, Path(name), changes, sets, seed)
    except ProfileError:
        own = [str(fault) for fault in sorted(source.faults, key=_place) if not fault.origin.startswith("--")]
        if not own:
            raise
        more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
        raise ArtifactError(
            f"the profile kept with the artifact is invalid: {own[0]}{more}",
            "train or export it again, or choose a profile with --profile",
        ) from None


def _finish(
    source: Source, file: Path, changes: Sequence[tuple[str, KeyPath, Any]], sets: Sequence[str], seed: int | None
) -> Loaded:
    """Apply the changes, validate, and raise everything that is wrong at once."""
    for text, path, value in changes:
        put(source, path, value, f"--set {text}")
    if seed is not None:
        put(source, ("seed",), seed, f"--seed {seed}")
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
    if len(lines) > MOST_FAULTS:
        lines[MOST_FAULTS:] = [f"and {len(lines) - MOST_FAULTS} more"]
    if all(fault.origin.startswith("--") for fault in faults):
        hint = f"s2rctl profile show {_shown(file)}   (lists every path and its value)"
    else:
        hint = f"correct and check: s2rctl profile validate {_shown(file)}"
    if len(lines) == 1:
        return ProfileError(lines[0], hint)
    return ProfileError(f"{len(faults)} errors in profile {_shown(file)}\n" + "\n".join(lines), hint)


def _place(fault: Fault) -> tuple[str, int]:
    file, _, line = fault.origin.rpartition(":")
    return (file, int(line)) if line.isdigit() else ("~" + fault.origin, 0)


def _shown(path: Path) -> str:
    try:
        return one_line(str(path.relative_to(Path.cwd())))
    except (ValueError, OSError):
        return one_line(str(path))


def _locate(name: str, beside: Path | None) -> Path:
    """Return the file of a profile given by name or by path (relative to ``beside`` for ``extends``)."""
    if strange := unprintable(name):
        raise ProfileError(f"a profile's name cannot have the character {strange}", "s2rctl profile list")
    if name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name:
        try:
            path = Path(name).expanduser()
            path = path if path.is_absolute() else (beside or Path.cwd()) / path
            there, regular = path.exists(), path.is_file()
        except (OSError, RuntimeError, ValueError) as error:
            raise ProfileError(f"cannot read profile {shown(name)}: {_reason(error)}", "check the path") from None
        if not there:
            raise ProfileError(f"there is no profile file {_shown(path)}", "s2rctl profile list")
        if not regular:
            raise ProfileError(f"{_shown(path)} is not a file", "give the path of a .yaml file (s2rctl profile list)")
        return path
    known = profile_files()
    if name not in known:
        close = difflib.get_close_matches(name[:100], known, n=3) or sorted(known)
        with suppress(OSError, ValueError):  # a name that no file can have
            if ((beside or Path.cwd()) / f"{name}.yaml").is_file():
                close = [f"./{name}.yaml", *close]
        raise ProfileError(
            f"there is no profile {shown(name)}",
            f"use {', '.join(close)}, or the path of a .yaml file (s2rctl profile list)",
        )
    return known[name]


def _content(file: Path) -> bytes:
    """Return what a profile's file holds, and no more than tells that it is too large; ProfileError if unreadable."""
    try:
        # Not to wait for a writer: between the look at the path and this, a file can become anything.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ProfileError(f"{_shown(file)} is not a file", "give the path of a .yaml file")
            return opened.read(MOST_BYTES + 1) or b""
    except (OSError, ValueError) as error:
        raise ProfileError(f"cannot read profile {_shown(file)}: {_reason(error)}", "check the file") from None


def _parsed(content: bytes, name: str) -> Source:
    """Return what a file says, free to be changed: parsing takes most of the time that loading does."""
    known = _parsed_once(content, name)
    return Source(deepcopy(known.value), dict(known.origins), list(known.faults))


@lru_cache(maxsize=32)
def _parsed_once(content: bytes, name: str) -> Source:
    return read_yaml(content, name)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _read_chain(file: Path, below: tuple[Path, ...], asked: str = "") -> Source:
    """Read a file and, underneath, everything it extends; ``asked`` is where the file is named."""
    file = file.resolve()
    if file in below:
        circle = " -> ".join(_shown(path) for path in (*below, file))
        raise ProfileError(f"{asked}: circular 'extends': {circle}", "remove one 'extends'")
    if len(below) >= LONGEST_CHAIN:
        raise ProfileError(
            f"{asked}: the chain of 'extends' is longer than {LONGEST_CHAIN} profiles",
            "merge some of them into one file",
        )
    source = _parsed(_content(file), _shown(file))
    parent = source.value.pop("extends", None)
    origin = source.origins.pop(("extends",), "")
    if parent is None:
        return source
    if not isinstance(parent, str):
        source.faults.append(Fault(origin, "extends", "needs the name or the path of one profile"))
        return source
    try:
        above = _locate(parent, file.parent)
    except ProfileError as error:
        raise ProfileError(f"{origin}: {error.message}", error.hint) from None
    base = _read_chain(above, (*below, file), origin)
    return merge(base, source)


def _parse_set(text: str) -> tuple[str, KeyPath, Any]:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if len(text) > LONGEST_SET:
        raise UsageError(f"--set {text[:60]}…: longer than {LONGEST_SET} characters", "write a profile that extends it")
    if strange := unprintable(text):
        raise UsageError(f"--set {shown(text)}: text with the character {strange}", "remove it")
    if not equals or not all(parts):
        raise UsageError(f"--set {text}: needs the form path=value", "e.g. --set teacher.pick.ppo.steps=100000")
    if len(parts) > DEEPEST:
        raise UsageError(f"--set {text}: a path has at most {DEEPEST} parts", "s2rctl profile show PROFILE")
    try:
        parsed = read_scalar(value)
    except ValueError as error:
        raise UsageError(f"--set {text}: {error}", "quote text that YAML cannot read") from None
    return text, tuple(int(part) if _is_position(part) else part for part in parts), parsed


def _is_position(part: str) -> bool:
    """Return whether a part of a path can be a place in a list; ``²`` is a digit to Python, and no number."""
    return part.isascii() and part.isdigit() and len(part) <= 9 and str(int(part)) == part


def _model(source: Source) -> type[Profile] | None:
    """Return the model that ``system`` names, or add the fault."""
    system = source.value.get("system")
    if isinstance(system, str) and system in PROFILES.names():
        model: type[Profile] = PROFILES.load(system)
        return model
    choice = " or ".join(sorted(PROFILES.names()))
    origin = source.origins.get(("system",), source.origins.get((), "profile"))
    source.faults.append(Fault(origin, "system", f"must be {choice}" + (f" (got {shown(system)})" if system else "")))
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
