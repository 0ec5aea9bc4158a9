"""What may lie where in a store: finds links, folders, files and devices in places where something else belongs."""

import re
from collections.abc import Iterator
from pathlib import Path

from s2rctl.core.atomic import sort_of
from s2rctl.store.place import entries, is_folder, is_regular, mode_of
from s2rctl.store.refs import LARGEST_LOG, fits

_FILES = ("VERSION", "lock", "lock.pid", "refs.log", "index.json")
_FOLDERS = ("blobs", "manifests", "keys", "refs", "checkouts", "runs", "tmp", "quarantine", "logs")
_HEX = {length: re.compile(f"[0-9a-f]{{{length}}}") for length in (2, 62)}


def misplaced(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield (path, what is wrong) for everything in the store that is of the wrong sort, from the top down.

    Links are not followed. The caller may move each path away before it asks for the next one.
    """
    for name in _FILES:
        yield from _wanted_file(root / name)
    log = root / "refs.log"
    if is_regular(log) and log.lstat().st_size > LARGEST_LOG:
        yield log, f"has more than {LARGEST_LOG} bytes"
    for name in _FOLDERS:
        yield from _wanted_folder(root / name)
    for name in ("manifests", "keys"):
        for path in entries(root / name):
            yield from _wanted_file(path)
    for path in entries(root / "checkouts"):
        yield from _wanted_folder(path)
    for path in entries(root / "runs"):
        yield from _wanted_file(path) if path.name.startswith(".") else _wanted_folder(path)
        yield from _wanted_file(path / "state.json") if is_folder(path) else ()
    yield from _refs(root / "refs")
    yield from _blobs(root / "blobs")


def _refs(top: Path) -> Iterator[tuple[Path, str]]:
    for kind in entries(top):
        yield from _named_folder(kind)
        for name in entries(kind):
            yield from _named_folder(name)
            for alias in entries(name):
                if alias.name.startswith(".") or fits(alias.name):
                    yield from _wanted_file(alias)
                else:
                    yield alias, "has a name that no ref can have"


def _named_folder(path: Path) -> Iterator[tuple[Path, str]]:
    if path.name.startswith("."):  # what a killed process left: garbage collection takes it
        yield from _wanted_file(path)
    elif not fits(path.name):
        yield path, "has a name that no ref can have"
    else:
        yield from _wanted_folder(path)


def _blobs(top: Path) -> Iterator[tuple[Path, str]]:
    yield from _wanted_folder(top / "sha256")
    for start in entries(top / "sha256"):
        if not _HEX[2].fullmatch(start.name):
            yield start, "has a name that no blob can have"
            continue
        yield from _wanted_folder(start)
        for path in entries(start):
            if not _HEX[62].fullmatch(path.name):
                yield path, "has a name that no blob can have"
            else:
                yield from _wanted_file(path)


def _wanted_file(path: Path) -> Iterator[tuple[Path, str]]:
    if mode_of(path) and not is_regular(path):
        yield path, f"is {sort_of(mode_of(path))} where a file belongs"


def _wanted_folder(path: Path) -> Iterator[tuple[Path, str]]:
    if mode_of(path) and not is_folder(path):
        yield path, f"is {sort_of(mode_of(path)) or 'a file'} where a folder belongs"
