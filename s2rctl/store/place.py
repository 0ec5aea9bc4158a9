"""Where a store may write and delete: in real folders below its own, never through a link that leads elsewhere.

A store can be damaged or come from somebody else, so what lies in it is looked at before it is trusted: every folder on
the way has to be a folder, not a link to one.
"""

import itertools
import os
import shutil
import stat
from pathlib import Path

from s2rctl.core.atomic import sort_of
from s2rctl.core.errors import ArtifactError

REPAIR = "s2rctl artifacts verify   (sets aside what does not belong there)"


def mode_of(path: Path) -> int:
    """Return ``st_mode`` of what lies there itself, links not followed; 0 if there is nothing."""
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def is_folder(path: Path) -> bool:
    """Return whether a folder lies there: no link to one."""
    return stat.S_ISDIR(mode_of(path))


def is_regular(path: Path) -> bool:
    """Return whether a regular file lies there: no link to one."""
    return stat.S_ISREG(mode_of(path))


def subfolder(root: Path, *parts: str, make: bool = False) -> Path:
    """Return the folder ``root/parts``, made if ``make``; ArtifactError if anything on the way is no real folder."""
    path = root
    if make:
        root.mkdir(parents=True, exist_ok=True)
    for part in parts:
        path = path / part
        mode = mode_of(path)
        if mode == 0 and make:
            path.mkdir(exist_ok=True)
        elif mode != 0 and not stat.S_ISDIR(mode):
            raise ArtifactError(
                f"the store {root} is damaged: {path.relative_to(root)} is {sort_of(mode) or 'a file'}, not a folder",
                REPAIR,
            )
    return path


def entries(path: Path) -> list[Path]:
    """Return what lies in a folder, sorted; nothing if it is none, is a link, or cannot be read."""
    if not is_folder(path):
        return []
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def contains(root: Path, name: str) -> bool:
    """Return whether the regular file ``root/name`` is reached through real folders only."""
    *above, last = name.split("/")
    path = root
    for part in above:
        path = path / part
        if not is_folder(path):
            return False
    return is_regular(path / last)


def discard(root: Path, *parts: str) -> bool:
    """Delete the file, link or folder ``root/parts`` and return whether it is gone; never through a link."""
    path = root.joinpath(*parts)
    try:
        subfolder(root, *parts[:-1])
    except ArtifactError:
        return False
    if is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return mode_of(path) == 0


def discard_old(root: Path, limit: float, *parts: str) -> bool:
    """Delete the file, link or folder ``root/parts`` if it was last touched by ``limit`` (s since 1970).

    It is moved away first and looked at then: who touches it to keep it does so before, and it is put back, or does not
    find it any more, and makes it again.
    """
    path = root.joinpath(*parts)
    try:
        subfolder(root, *parts[:-1])
        away = _free(subfolder(root, "tmp"), f"old-{parts[-1]}")
        path.rename(away)
    except FileNotFoundError:
        return False
    except (OSError, ArtifactError):  # there is nowhere to move it to
        return _touched(path) <= limit and discard(root, *parts)
    if _touched(away) > limit:
        away.rename(path)
        return False
    return discard(root, "tmp", away.name)


def _touched(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def set_aside(root: Path, path: Path, name: str | None = None) -> Path:
    """Move what lies at ``path`` to ``quarantine/`` under a name of its own and return where; OSError if refused.

    A link is moved, not what it leads to. Nothing that was set aside before is replaced.
    """
    quarantine = root / "quarantine"
    if mode_of(quarantine) and not is_folder(quarantine):
        quarantine.rename(_free(root, "quarantine.damaged"))
    quarantine.mkdir(exist_ok=True)
    return path.rename(_free(quarantine, name or path.name))


def clear_way(root: Path, target: Path) -> None:
    """Set a folder aside that lies where a file is about to be written; a rename would fail on it."""
    if is_folder(target):
        set_aside(root, target)


def _free(place: Path, name: str) -> Path:
    """Return a path in ``place`` where nothing is, called like ``name`` as far as that is free."""
    short = name.encode()[:200].decode(errors="ignore")
    names = itertools.chain([short], (f"{short}.{number}" for number in itertools.count(1)))
    return next(place / candidate for candidate in names if not os.path.lexists(place / candidate))
