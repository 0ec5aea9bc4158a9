"""An artifact: immutable named files with a manifest that says what they are and what they were made from."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from s2rctl.core.errors import ArtifactError, MissingEnvironmentError
from s2rctl.core.names import path_fault
from s2rctl.core.tables import suggestion
from s2rctl.schema.manifest import File, Manifest
from s2rctl.store.blobs import Blobs, file_digest
from s2rctl.store.place import contains, discard, is_folder, subfolder
from s2rctl.store.reading import parse_json

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


_BY_HAND = {
    "import": "import the file again, or s2rctl artifacts rm {id} --yes",
    "live": "a run on the real robot cannot be made again: s2rctl artifacts import a copy of it",
    "shadow": "a run on the real robot cannot be made again: s2rctl artifacts import a copy of it",
    "sweep": "run the same s2rctl sweep again (cells that are there are found; s2rctl artifacts why {id} names them)",
}
"""What makes artifacts that no stage makes again, by what made them."""


def rebuild_command(artifact: "Artifact") -> str:
    """Return the command that makes a damaged artifact again."""
    by_hand = _BY_HAND.get(artifact.manifest.content.stage.name)
    return by_hand.format(id=artifact.id[:12]) if by_hand else f"s2rctl reproduce {artifact.id[:12]} --keep"


class Home(Protocol):
    """What an artifact needs of the store that holds it."""

    root: Path
    blobs: Blobs

    def get(self, identity: str) -> "Artifact":
        """Return the artifact with an id."""

    def list(self, kind: str | None = None) -> "list[Artifact]":
        """Return all artifacts (of a kind), oldest first."""

    def scratch(self) -> Path:
        """Return a folder outside the store."""


@dataclass(frozen=True)
class Artifact:
    """One published artifact; ``id`` is the digest of its content."""

    manifest: Manifest
    id: str
    store: Home

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
                f"s2rctl artifacts verify --full, then rebuild it: {rebuild_command(self)}",
            )
        return self.store.blobs.path(sha256)

    def json(self, name: str) -> dict[str, Any]:
        """Return the JSON object in file ``name``; ArtifactError if it is not whole or holds none."""
        try:
            return parse_json(self.path(name).read_bytes())
        except ValueError as error:
            raise ArtifactError(
                f"file '{name}' of {self.ref} ({self.id[:12]}) is not a JSON object: {error}",
                f"rebuild it: {rebuild_command(self)}",
            ) from error

    def intact(self) -> bool:
        """Return whether all files are present with the right size; reads no content, so it is fast."""
        return all(self.store.blobs.present(file.sha256, file.size) for file in self.manifest.content.files)

    def folder(self) -> Path:
        """Return a read-only folder that holds the artifact's files under their own names (hard links to the blobs).

        Where the store cannot be written it lies elsewhere and goes with the store object; a path that a user gets to
        see comes from ``lasting_folder``.
        """
        return self._folder([self.store.scratch])

    def lasting_folder(self) -> Path:
        """Return a folder like ``folder`` that is still there when this process has ended."""
        return self._folder([_cache, lambda: Path(tempfile.mkdtemp(prefix="s2rctl-"))])

    def _folder(self, elsewhere: Sequence[Callable[[], Path]]) -> Path:
        sources = {name: self.path(name) for name in self.files}
        root = self.store.root
        try:
            return _check_out(subfolder(root, "checkouts", make=True) / self.id, sources)
        except (OSError, ArtifactError) as error:  # a store that cannot be written can still be read
            refused = error
        for place in elsewhere:
            try:
                return _check_out(place() / self.id, sources)
            except OSError as error:
                refused = error
        raise MissingEnvironmentError(
            f"cannot store the files of {self.ref}: {refused}", "make the store writable, or free space"
        ) from refused


def _cache() -> Path:
    """Return our folder in the user's cache, made if it is not there; OSError if there is none."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "")) / ".cache")
    if not home.is_absolute():
        raise FileNotFoundError("the user has no cache")
    place = home / "s2rctl" / "checkouts"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _check_out(target: Path, sources: dict[str, Path]) -> Path:
    if _complete(target, sources):
        return target
    building = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
    try:
        _fill(building, sources)
        discard(target.parent, target.name)
        building.rename(target)
    except OSError:
        if not _complete(target, sources):  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _complete(checkout: Path, sources: dict[str, Path]) -> bool:
    if not is_folder(checkout):
        return False
    for name, blob in sources.items():
        if not contains(checkout, name):
            return False
        copy = checkout / name
        if not copy.samefile(blob) and (
            copy.stat().st_size != blob.stat().st_size or file_digest(copy) != file_digest(blob)
        ):
            return False
    return True


def _fill(checkout: Path, sources: dict[str, Path]) -> None:
    """Link the files into an empty folder; ArtifactError if a name leads out of it, whatever let that name through."""
    for name, blob in sources.items():
        copy = checkout / name
        if path_fault(name) is None:
            copy.parent.mkdir(parents=True, exist_ok=True)
        if path_fault(name) is not None or not copy.parent.resolve().is_relative_to(checkout.resolve()):
            raise ArtifactError(
                f"the file name {name!r} points outside its artifact", "do not trust where it comes from"
            )
        try:
            os.link(blob, copy)
        except OSError:
            shutil.copyfile(blob, copy)
            copy.chmod(0o444)
