"""Where the store is: chosen, or found upwards from the working folder."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from s2rctl.core.atomic import sort_of
from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.core.paths import expanded


def find_store(option: Path | None = None) -> Path:
    """Return the store's folder: the option, ``S2RCTL_STORE``, or ``.s2rctl`` found upwards (else here)."""
    chosen = option or os.environ.get("S2RCTL_STORE")
    source = "--store" if option else "S2RCTL_STORE" if chosen else "the working folder"
    try:
        path = expanded(chosen).absolute() if chosen else _upwards(Path.cwd())
        path.exists()
    except UsageError as error:
        raise UsageError(f"{source}: {error.message}", error.hint) from None
    except OSError as error:
        # A name that no folder can have is a mistake of whoever gave it; a place that cannot be reached is not.
        kind = UsageError if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else MissingEnvironmentError
        raise kind(
            f"cannot use the store that {source} names{f', {chosen}' if chosen else ''}: {error.strerror}",
            "choose another place with --store DIR",
        ) from None
    return path


def _upwards(here: Path) -> Path:
    """Return the first ``.s2rctl`` from here to the root, or the one to be made here."""
    for folder in (here, *here.parents):
        with contextlib.suppress(OSError):  # a folder that one may not look into
            if (folder / ".s2rctl").is_dir():
                return folder / ".s2rctl"
    return here / ".s2rctl"


def require_folder(path: Path) -> None:
    """Raise UsageError unless a store is or can be at ``path``."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        why = "a link that leads nowhere" if path.is_symlink() else ""
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise MissingEnvironmentError(
                f"cannot read the store {path}: {error.strerror}", "make it readable to yourself, or choose another"
            ) from error
        why = f"not possible ({error.strerror if isinstance(error, OSError) else error})"
    else:
        why = "" if stat.S_ISDIR(mode) else sort_of(mode) or "a file"
    if why:
        raise UsageError(
            f"the store {path} is {why}, not a folder", "choose another place with --store DIR or S2RCTL_STORE"
        )
