"""Reads files of a store that may hold anything: bounded, without waiting, and never through a link."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from s2rctl.core.atomic import sort_of
from s2rctl.core.errors import ArtifactError, MissingEnvironmentError
from s2rctl.store.canonical import canonical
from s2rctl.store.place import REPAIR

LARGEST_JSON = 16 << 20
"""Bytes; real manifests have a few kB."""
_LARGEST_LINE = 4096
_DEEPEST = 64
"""Levels of JSON; real manifests have about ten. Whoever walks a value must not run out of stack."""


def read_bytes(path: Path, limit: int = LARGEST_JSON) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    FileNotFoundError if nothing is there, ArtifactError if something else is (a link, a folder, a pipe, too much),
    MissingEnvironmentError if it may not be read.
    """
    try:
        # Not blocking, so that a pipe does not make us wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ArtifactError(f"{path} is {sort_of(mode)}, not a regular file of a store", REPAIR)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise ArtifactError(f"{path} is damaged: it has more than {limit} bytes", REPAIR)
    return content


def read_line(path: Path) -> str:
    """Return the one line of ASCII text that a small file holds, stripped; errors as ``read_bytes``."""
    try:
        text = read_bytes(path, _LARGEST_LINE).decode("ascii").strip()
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        raise ArtifactError(f"{path} is damaged: it holds no line of text", REPAIR)
    return text


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; ArtifactError if it holds none, other errors as ``read_bytes``."""
    try:
        return parse_json(read_bytes(path))
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: {error}", REPAIR) from None


def parse_json(data: bytes) -> dict[str, Any]:
    """Return a JSON object that can be written again as canonical JSON; ValueError for anything else.

    Refused: NaN, text that is no Unicode, more than 64 levels.
    """
    try:
        value = json.loads(data, parse_constant=_refuse)
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        _limit_depth(value)
        canonical(value)
    except RecursionError:
        raise ValueError(f"its JSON has more than {_DEEPEST} levels") from None
    except UnicodeError:
        raise ValueError("its text is no Unicode") from None
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _limit_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        items = [item.values() if isinstance(item, dict) else item for item in level]
        level = [child for item in items for child in item if isinstance(child, dict | list)]
        if not level:
            return
    raise RecursionError


def _unreadable(path: Path, error: OSError) -> ArtifactError | MissingEnvironmentError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return MissingEnvironmentError(f"cannot read {path}: {error.strerror}", "make the store readable to yourself")
    why = "it is a link" if error.errno == errno.ELOOP else error.strerror or str(error)
    return ArtifactError(f"{path} is damaged: {why}", REPAIR)
