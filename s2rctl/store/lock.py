"""Locks for writers of refs, for garbage collection and for run folders; readers need none."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from s2rctl.core.errors import StoreLockedError


@contextmanager
def locked(path: Path, what: str, timeout: float = 10.0) -> Iterator[None]:
    """Hold the lock file ``path``; raise StoreLockedError naming the holder when it stays taken for ``timeout`` s.

    The kernel releases the lock when its holder dies, so a crash never leaves a store locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_name(path.name + ".pid")
    lock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        pid = _read(holder)
        raise StoreLockedError(
            f"{what} is locked by process {pid or 'unknown'}",
            f"wait until it has ended and repeat the command{f', or stop it: kill {pid}' if pid else ''}",
        ) from None
    try:
        holder.write_text(f"{os.getpid()}\n", encoding="ascii")
        yield
    finally:
        holder.unlink(missing_ok=True)  # a number left behind would name a stranger to the next one who waits
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="ascii").strip()
    except OSError:
        return ""
