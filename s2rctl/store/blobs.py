"""Files under the name of their own SHA-256: written once, read-only, never changed."""

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from s2rctl.core.atomic import sync_folder
from s2rctl.core.errors import ArtifactError
from s2rctl.store.place import clear_way, discard, entries, is_folder, is_regular, subfolder

_CHUNK = 1 << 20
_START, _REST = re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{62}")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Blobs:
    """The blob part of a store: ``blobs/sha256/ab/<62 hex>`` plus a folder for temporary files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "blobs" / "sha256"
        # What this process has already hashed: (size, mtime) of blobs known to be whole.
        self._checked: dict[str, tuple[int, int]] = {}

    def path(self, sha256: str) -> Path:
        """Return where the blob is or would be; nothing is checked."""
        return self._folder / sha256[:2] / sha256[2:]

    def add(self, source: Path) -> tuple[str, int]:
        """Copy a file into the store and return its digest and size in bytes."""
        with source.open("rb") as stream:
            return self.add_stream(stream)

    def add_stream(self, stream: IO[bytes], expected: str | None = None) -> tuple[str, int]:
        """Store what ``stream`` yields; raise ArtifactError when its digest is not ``expected``.

        Temporary file beside the blobs, hashed while it is written, synced, renamed: a blob is there whole or not at
        all, whenever the process dies.
        """
        hasher, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(prefix="blob-", dir=subfolder(self._root, "tmp", make=True))
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                while chunk := stream.read(_CHUNK):
                    hasher.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            sha256 = hasher.hexdigest()
            if expected is not None and sha256 != expected:
                raise ArtifactError(
                    f"blob {expected[:12]} is corrupt: its content hashes to {sha256[:12]}",
                    "download or copy the file again",
                )
            self._place(temporary, sha256, size)
        finally:
            temporary.unlink(missing_ok=True)
        return sha256, size

    def _place(self, temporary: Path, sha256: str, size: int) -> None:
        target = self.path(sha256)
        # An existing blob is kept only if it is whole: publishing again heals a damaged store.
        with contextlib.suppress(FileNotFoundError):  # it may just be collected
            if self.present(sha256, size) and file_digest(target) == sha256:
                os.utime(target)  # garbage collection spares young blobs
                return
        temporary.chmod(0o444)
        new = not is_folder(target.parent)
        subfolder(self._root, "blobs", "sha256", sha256[:2], make=True)
        if new:
            sync_folder(target.parent.parent)
        clear_way(self._root, target)
        temporary.replace(target)
        sync_folder(target.parent)
        self._checked.pop(sha256, None)

    def present(self, sha256: str, size: int) -> bool:
        """Return whether the blob is there with the right size; reads no content."""
        try:
            status = self.path(sha256).lstat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size

    def whole(self, sha256: str) -> bool:
        """Return whether the blob is there and hashes to its name; each blob is read once per process and change."""
        path = self.path(sha256)
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):  # nor a link to a regular file: that one could change
                return False
            state = (status.st_size, status.st_mtime_ns)
            if self._checked.get(sha256) == state:
                return True
            if file_digest(path) != sha256:
                return False
        except OSError:
            return False
        self._checked[sha256] = state
        return True

    def fresh(self, sha256: str) -> bool:
        """Return whether the blob is whole, reading it even if this process has read it before."""
        self._checked.pop(sha256, None)
        return self.whole(sha256)

    def remove(self, sha256: str) -> None:
        """Delete the blob."""
        discard(self._root, "blobs", "sha256", sha256[:2], sha256[2:])

    def all(self) -> Iterator[str]:
        """Yield the digests of all blobs, sorted; what else lies there is left to ``verify``."""
        if not is_folder(self._folder.parent):
            return
        for start in entries(self._folder):
            if not _START.fullmatch(start.name):
                continue
            for path in entries(start):
                if _REST.fullmatch(path.name) and is_regular(path):
                    yield start.name + path.name
