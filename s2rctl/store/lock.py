"""Locks for writers of refs, for garbage collection and for run folders; readers need none."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from s2rctl.core.errors import ArtifactError, StoreLockedError
from s2rctl.store.place import REPAIR, is_regular, mode_of
from s2rctl.store.reading import read_line

_FULL = {errno.ENOSPC, errno.EDQUOT}
_POLL_S = 0.02


@contextmanager
def locked(path: Path, what: str, timeout: float = 10.0) -> Iterator[None]:
    """Hold the lock file ``path``; raise StoreLockedError naming the holder when it stays taken for ``timeout`` s.

    The kernel releases the lock when its holder dies, so a crash never leaves a store locked. OSError when the file
    cannot be made, ArtifactError when something else lies there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode_of(path) and not is_regular(path):
        raise ArtifactError(f"the lock {path} is damaged: it is not a regular file", REPAIR)
    holder = path.with_name(path.name + ".pid")
    lock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        raise _taken(what, holder) from None
    try:
        _sign(holder)
        yield
    finally:
        _unsign(holder)  # a number left behind would name a stranger to the next one who waits
        lock.release()


def is_held(path: Path) -> bool:
    """Return whether a process that lives holds the lock file ``path``; nothing is written, and nobody has to wait.

    The kernel knows: the lock of a process that died is free, whatever its files say.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system that locks nothing
        return False
    finally:
        os.close(descriptor)
    return False


def holder(path: Path) -> int | None:
    """Return the process that says it holds the lock file ``path``; None if none does."""
    try:
        number = read_line(path.with_name(path.name + ".pid"))
    except (OSError, ArtifactError):
        return None
    return int(number) if number.isdecimal() and len(number) < 12 else None


@contextmanager
def store_locked(root: Path, timeout: float = 10.0) -> Iterator[None]:
    """Hold the lock of a store, which needs no space: repair commands have to work on a full disk.

    Two locks: the file ``lock``, and the folder itself for the case that the file is not there and cannot be made.
    """
    what = f"the store {root}"
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(root / "lock", what, timeout))
        except OSError as error:
            if error.errno not in _FULL:
                raise
        held.enter_context(_folder_locked(root, what, timeout))
        yield


@contextmanager
def _folder_locked(folder: Path, what: str, timeout: float) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + timeout
        while not _try(descriptor):
            if time.monotonic() >= end:
                raise _taken(what, folder / "lock.pid")
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    """Return whether we need not wait any longer: locked, or a file system that locks no folders (some of NFS)."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _sign(holder: Path) -> None:
    """Say who holds the lock, if there is space for it; what lies there is replaced, not followed."""
    _unsign(holder)
    with contextlib.suppress(OSError), holder.open("x", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")


def _unsign(holder: Path) -> None:
    with contextlib.suppress(OSError):
        holder.unlink(missing_ok=True)


def _taken(what: str, holder: Path) -> StoreLockedError:
    try:
        number = read_line(holder)
    except (OSError, ArtifactError):
        number = ""
    pid = number if number.isdecimal() else ""
    return StoreLockedError(
        f"{what} is locked by process {pid or 'unknown'}",
        f"wait until it has finished and run the command again{f', or stop it: kill {pid}' if pid else ''}",
    )
