"""Turns what the operating system refuses (full disk, read-only folder) into errors that say what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s2rctl.core.errors import MissingEnvironmentError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST}


@contextmanager
def translated(root: Path, what: str = "store") -> Iterator[None]:
    """Raise MissingEnvironmentError instead of the OSErrors of a full, read-only or impossible store folder."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise MissingEnvironmentError(
                f"no space left for the {what} {root}; nothing that was stored is lost",
                "free space (s2rctl artifacts gc --yes) or choose another --store, then run the command again",
            ) from error
        if error.errno in _REFUSED:
            raise MissingEnvironmentError(
                f"cannot write to the {what} {root}: {error.strerror}",
                "make the folder writable, or choose another place with --store DIR or S2RCTL_STORE",
            ) from error
        if error.errno in _NOT_A_FOLDER:
            raise MissingEnvironmentError(
                f"the {what} {root} is not a folder: {error.filename or error.strerror}",
                "choose another place with --store DIR or S2RCTL_STORE",
            ) from error
        raise
