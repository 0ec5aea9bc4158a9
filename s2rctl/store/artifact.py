"""An artifact: immutable named files with a manifest that says what they are and what they were made from."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s2rctl.core.errors import ArtifactError
from s2rctl.core.tables import suggestion
from s2rctl.schema.manifest import File, Manifest
from s2rctl.store.blobs import file_digest

if TYPE_CHECKING:
    from s2rctl.store.store import Store

_SUFFIXES = {
    ".safetensors": "application/x-safetensors",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".onnx": "application/onnx",
    ".html": "text/html",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".png": "image/png",
    ".npz": "application/x-npz",
    ".npy": "application/x-npy",
    ".csv": "text/csv",
    ".yaml": "application/yaml",
    ".mcap": "application/x-mcap",
    ".txt": "text/plain",
}


def media_type(path: str) -> str:
    """Return the media type that the suffix stands for."""
    return _SUFFIXES.get(Path(path).suffix.lower(), "application/octet-stream")


def producer(manifest: Manifest) -> str:
    """Return the command that makes an artifact like this again."""
    return f"s2rctl pipeline run -p {manifest.content.profile.get('name', 'PROFILE')}"


@dataclass(frozen=True)
class Artifact:
    """One published artifact; ``id`` is the digest of its content."""

    manifest: Manifest
    id: str
    store: "Store"

    @property
    def ref(self) -> str:
        """``kind/name``, without an alias."""
        return f"{self.manifest.content.kind}/{self.manifest.content.name}"

    @property
    def files(self) -> dict[str, File]:
        """Files by their path inside the artifact."""
        return {file.path: file for file in self.manifest.content.files}

    def path(self, name: str) -> Path:
        """Return the read-only blob of file ``name``, checked against its digest; ArtifactError if it is not whole."""
        files = self.files
        if name not in files:
            raise ArtifactError(f"{self.ref} ({self.id[:12]}) has no file '{name}'", suggestion(name, files))
        sha256 = files[name].sha256
        if not self.store.blobs.whole(sha256):
            state = "corrupt" if self.store.blobs.path(sha256).is_file() else "missing"
            raise ArtifactError(
                f"file '{name}' of {self.ref} ({self.id[:12]}) is {state}: blob {sha256[:12]}",
                f"s2rctl artifacts verify --full, then make it again: {producer(self.manifest)}",
            )
        return self.store.blobs.path(sha256)

    def intact(self) -> bool:
        """Return whether all files are present with the right size; reads no content, so it is fast."""
        return all(self.store.blobs.present(file.sha256, file.size) for file in self.manifest.content.files)

    def folder(self) -> Path:
        """Return a read-only folder that holds the artifact's files under their own names (hard links to the blobs)."""
        sources = {name: self.path(name) for name in self.files}
        target = self.store.root / "checkouts" / self.id
        if _complete(target, sources):
            return target
        try:
            return self._check_out(target, sources)
        except OSError:  # a store that cannot be written can still be read
            temporary = self.store.scratch() / self.id
            if not _complete(temporary, sources):
                _fill(temporary, sources)
            return temporary

    def _check_out(self, target: Path, sources: dict[str, Path]) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
        try:
            _fill(building, sources)
            if target.exists():
                shutil.rmtree(target)
            building.rename(target)
        except OSError:
            if not _complete(target, sources):  # otherwise another process was faster
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return target


def _complete(folder: Path, sources: dict[str, Path]) -> bool:
    for name, blob in sources.items():
        copy = folder / name
        if not copy.is_file():
            return False
        if not copy.samefile(blob) and (
            copy.stat().st_size != blob.stat().st_size or file_digest(copy) != file_digest(blob)
        ):
            return False
    return folder.is_dir()


def _fill(folder: Path, sources: dict[str, Path]) -> None:
    for name, blob in sources.items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        try:
            os.link(blob, copy)
        except OSError:
            shutil.copyfile(blob, copy)
