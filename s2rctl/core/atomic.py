"""Files that are either there whole or not at all, in folders of our own and under paths that a user named."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path

from s2rctl.core.errors import MissingEnvironmentError, RunError, UsageError

_STDOUT = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}
_CANNOT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_SORTS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def write_atomic(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write ``content`` to ``path`` through a synced temporary file in the same folder and a rename.

    For folders that are ours; what a user named goes through ``replacing``.
    """
    # The name may be as long as the file system takes, so the temporary one must not grow with it.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:32]}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sort_of(mode: int) -> str:
    """Return what a file of this ``st_mode`` is, in words; empty for a regular file."""
    return next((word for test, word in _SORTS if test(mode)), "")


def is_stdout(path: Path) -> bool:
    """Return whether a user who named this path meant standard output."""
    return str(path) in _STDOUT


@contextmanager
def replacing(target: Path, option: str = "FILE") -> Iterator[Path]:
    """Yield a temporary path; what is written there takes the place of ``target`` when the block ends without error.

    Only what is absent or a regular file is replaced: a link, device, pipe, socket or folder raises UsageError and
    stays (as root, a device would be gone for the whole machine). ``-`` and ``/dev/stdout`` are written through.
    ``option`` is what the hint calls the path. A full or read-only disk raises MissingEnvironmentError.
    """
    if is_stdout(target):
        with tempfile.TemporaryDirectory(prefix="s2rctl-") as folder:
            temporary = Path(folder) / "output"
            yield temporary
            _to_stdout(temporary)
        return
    require_replaceable(target, option)
    with _named(target, option):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".s2rctl-{secrets.token_hex(8)}{target.suffix[:16]}")
        # Made here, exclusively, so that whoever writes by name finds a regular file and no link of somebody else.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        with _named(target, option):
            _sync(temporary)
            require_replaceable(target, option)
            temporary.replace(target)
            sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _to_stdout(path: Path) -> None:
    """Write a file through to standard output; a reader that has gone ends the command, and needs no words."""
    try:
        with path.open("rb") as source, os.fdopen(os.dup(1), "wb") as stream:
            shutil.copyfileobj(source, stream)
    except BrokenPipeError:
        raise RunError("") from None
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot write to standard output: {error.strerror}", "free space, or write to another place"
        ) from error


def require_replaceable(target: Path, option: str = "FILE") -> None:
    """Raise UsageError unless ``replacing`` would take ``target``: for work that should not begin in vain."""
    if is_stdout(target):
        return
    hint = f"name a new or a regular file as {option}"
    if not target.name or target.name == "..":
        raise UsageError(f"{target} is a folder and will not be replaced", hint)
    found = ""
    with _named(target, option), contextlib.suppress(FileNotFoundError):
        found = sort_of(target.lstat().st_mode)
    if found:
        raise UsageError(f"{target} is {found} and will not be replaced", hint)


def open_to_append(path: Path, option: str, verb: str) -> RawIOBase:
    """Open a path that a user named for appending, without a buffer.

    A pipe, a terminal and ``-`` (stdout) are written through. UsageError for what cannot be appended to: a folder, a
    disk, a pipe that nobody reads (it would make us wait); its message says that one cannot ``verb`` the path.
    """
    if is_stdout(path):
        return os.fdopen(os.dup(1), "wb", buffering=0)
    with _named(path, option, verb):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if stat.S_ISBLK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is a device and will not be written", f"choose another {option}")
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb", buffering=0)


def write_output(target: Path, content: bytes, option: str = "FILE") -> None:
    """Write ``content`` to a path that a user named; see ``replacing``."""
    with replacing(target, option) as temporary, _named(target, option):
        temporary.write_bytes(content)


def output_folder(folder: Path, option: str = "DIR") -> Path:
    """Make the folder that a user named, if it is not there, and return it; UsageError if it is something else."""
    with _named(folder, option):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named(target: Path, option: str, verb: str = "write") -> Iterator[None]:
    """Raise what a user can act on instead of the operating system's refusals of a path."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in _CANNOT:
            raise MissingEnvironmentError(
                f"cannot {verb} {target}: {why}", f"free space, make the folder writable or choose another {option}"
            ) from error
        if error.errno == errno.ENXIO:
            why = "nobody reads at its other end"
        raise UsageError(f"cannot {verb} {target}: {why}", f"choose another {option}") from error
    except ValueError as error:  # a NUL in the path
        raise UsageError(f"cannot {verb} {str(target)!r}: {error}", f"choose another {option}") from error
