"""Files under the name of their own SHA-256: written once, read-only, never changed."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from s2rctl.core.atomic import sync_folder
from s2rctl.core.errors import ArtifactError

_CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Blobs:
    """The blob part of a store: ``blobs/sha256/ab/<62 hex>`` plus a folder for temporary files."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "blobs" / "sha256"
        self._temporary = root / "tmp"
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
        self._temporary.mkdir(parents=True, exist_ok=True)
        hasher, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(prefix="blob-", dir=self._temporary)
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
                    f"blob {expected[:12]} is corrupt: its content hashes to {sha256[:12]}", "fetch the file again"
                )
            self._place(temporary, sha256, size)
        finally:
            temporary.unlink(missing_ok=True)
        return sha256, size

    def _place(self, temporary: Path, sha256: str, size: int) -> None:
        target = self.path(sha256)
        # An existing blob is kept only if it is whole: publishing again heals a damaged store.
        if target.is_file() and target.stat().st_size == size and file_digest(target) == sha256:
            os.utime(target)  # garbage collection spares young blobs
            return
        temporary.chmod(0o444)
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(target.parent.parent)
        temporary.replace(target)
        sync_folder(target.parent)
        self._checked.pop(sha256, None)

    def present(self, sha256: str, size: int) -> bool:
        """Return whether the blob is there with the right size; reads no content."""
        try:
            return self.path(sha256).stat().st_size == size
        except OSError:
            return False

    def whole(self, sha256: str) -> bool:
        """Return whether the blob is there and hashes to its name; each blob is read once per process and change."""
        path = self.path(sha256)
        try:
            status = path.stat()
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

    def all(self) -> Iterator[str]:
        """Yield the digests of all blobs, sorted."""
        for folder in sorted(self._folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                yield folder.name + path.name
