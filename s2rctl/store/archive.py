"""Artifacts as one plain tar file, byte for byte the same for the same content; reading one trusts nothing in it.

Members, in this order: ``index.json`` (refs to set), ``manifests/<id>.json``, ``blobs/sha256/ab/<62 hex>``, sorted.
"""

import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from s2rctl.core.atomic import replacing
from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.schema.manifest import Manifest
from s2rctl.store.canonical import canonical
from s2rctl.store.faults import translated
from s2rctl.store.lineage import closure
from s2rctl.store.reading import LARGEST_JSON, parse_json
from s2rctl.store.refs import check_alias, split
from s2rctl.store.store import Artifact, Store, is_whole

_MANIFEST = re.compile(r"manifests/([0-9a-f]{64})\.json")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{2})/([0-9a-f]{62})")


def export_archive(store: Store, refs: Mapping[str, Artifact], target: Path, parents: bool = True) -> list[str]:
    """Write the artifacts, with everything they were made from unless ``parents`` is false; return the ids inside.

    ``refs`` maps each ref that importing shall set (``kind/name:alias``) to its artifact. Every blob is hashed on the
    way out: a corrupt one raises ArtifactError and leaves no file behind. UsageError for a ref that importing would
    refuse and for a ``target`` that is neither absent nor a regular file; ``-`` is standard output.
    """
    for ref in refs:
        if split(ref) is None:
            raise UsageError(f"'{ref}' is not a ref", "write kind/name:alias, e.g. teacher/pick:candidate")
    roots = [artifact.id for artifact in refs.values()]
    identities = sorted(closure(store, roots) if parents else set(roots))
    artifacts = [store.get(identity) for identity in identities]
    with replacing(target) as temporary:
        blobs = {file.sha256: artifact.path(file.path) for artifact in artifacts for file in artifact.files.values()}
        index = {"schema": 1, "refs": {ref: artifact.id for ref, artifact in sorted(refs.items())}}
        with translated(target.parent, "folder"), tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            _write(tar, "index.json", canonical(index))
            for artifact in artifacts:
                _write(tar, f"manifests/{artifact.id}.json", canonical(artifact.manifest.model_dump(mode="json")))
            for sha256 in sorted(blobs):
                with blobs[sha256].open("rb") as file:
                    info = _member(f"blobs/sha256/{sha256[:2]}/{sha256[2:]}", blobs[sha256].stat().st_size)
                    tar.addfile(info, file)
    return identities


@dataclass(frozen=True)
class Imported:
    """What an import brought: ids, and the refs that were set."""

    ids: tuple[str, ...]
    refs: dict[str, str]


def import_archive(store: Store, source: Path, alias: str | None = None) -> Imported:
    """Read an archive into the store and set its refs, with ``alias`` instead of their own if given.

    The file is read as a stream; only the names above are accepted, every blob and manifest must hash to its name, and
    nothing is written outside the store or executed. Importing twice changes nothing. Faults raise ArtifactError, an
    impossible alias UsageError.
    """
    if alias is not None:
        check_alias(alias)
    try:
        file = source.open("rb")
    except OSError as error:
        raise ArtifactError(f"cannot read {source}: {error.strerror}", "check the path") from None
    try:
        with file, translated(store.root), _opened(file) as tar:
            refs, manifests = _read(store, tar, source)
    except (tarfile.TarError, EOFError) as error:
        raise ArtifactError(
            f"{source} is not a complete, uncompressed tar archive: {error}", "download or copy the file again"
        ) from error
    if not manifests:
        raise ArtifactError(f"{source} contains no artifact", "make one with s2rctl artifacts export REF FILE")
    _check(store, manifests, refs, source)
    with translated(store.root):
        for raw in manifests.values():
            store.add_manifest(raw)
    done = {}
    for ref, identity in refs.items():
        chosen = f"{ref.rpartition(':')[0]}:{alias}" if alias else ref
        store.set_ref(chosen, identity, f"imported from {source.name}")
        done[chosen] = identity
    return Imported(tuple(sorted(manifests)), done)


def _read(store: Store, tar: tarfile.TarFile, source: Path) -> tuple[dict[str, str], dict[str, Any]]:
    refs: dict[str, str] = {}
    manifests: dict[str, Any] = {}
    sizes: dict[str, int] = {}  # of the blobs that manifests name
    seen: set[str] = set()
    store.prepare()
    for member in _members(tar):
        # A sparse member claims more than the archive holds.
        stream = tar.extractfile(member) if member.isreg() and not member.issparse() else None
        manifest, blob = _MANIFEST.fullmatch(member.name), _BLOB.fullmatch(member.name)
        if stream is None or not (manifest or blob or member.name == "index.json"):
            raise ArtifactError(
                f"{source} holds {member.name[:200]!r}, which does not belong there", "do not trust the file"
            )
        if member.name in seen:
            raise ArtifactError(f"{source} holds {member.name} twice", "do not trust the file")
        seen.add(member.name)
        if blob:
            sha256 = blob[1] + blob[2]
            if sizes.get(sha256) != member.size:
                raise ArtifactError(f"{source}: no manifest names {member.name} of this size", "do not trust the file")
            store.blobs.add_stream(stream, expected=sha256)
            continue
        if not 0 <= member.size <= LARGEST_JSON:
            raise ArtifactError(f"{source}: {member.name} has an invalid size", "do not trust the file")
        try:
            value = parse_json(stream.read())
        except ValueError as error:
            raise ArtifactError(
                f"{source}: {member.name} is not JSON: {error}", "download or copy the file again"
            ) from error
        if manifest:
            sizes |= _valid(value, manifest[1], source)
            manifests[manifest[1]] = value
        else:
            refs = _index(value, source)
    return refs, manifests


class _Source(io.RawIOBase):
    """The file that is read; its own faults are told apart from those of the store that is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Read; ReadError if the file cannot be."""
        try:
            return self._file.read(size)
        except OSError as error:
            raise tarfile.ReadError(error.strerror or str(error)) from error


_STUMBLES = (ValueError, OverflowError, IndexError, KeyError, RecursionError)
"""What tarfile raises on some headers that make no sense."""


def _opened(file: IO[bytes]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=_Source(file), mode="r|")
    except _STUMBLES as error:
        raise tarfile.ReadError(f"invalid header: {error}") from error


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while True:
        try:
            member = tar.next()
        except _STUMBLES as error:
            raise tarfile.ReadError(f"invalid header: {error}") from error
        if member is None:
            return
        yield member


def _valid(raw: Mapping[str, Any], identity: str, source: Path) -> dict[str, int]:
    """Return the sizes of the blobs that a manifest names; ArtifactError unless it hashes to its id and validates."""
    if not is_whole(raw, identity):
        raise ArtifactError(
            f"{source}: manifest {identity[:12]} does not hash to its name", "download or copy the file again"
        )
    try:
        return {file.sha256: file.size for file in Manifest.model_validate(raw).content.files}
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{source}: manifest {identity[:12]} is invalid: {place}: {first['msg']}",
            "do not trust the file; if it comes from a newer version, update s2rctl",
        ) from error


def _index(value: Mapping[str, Any], source: Path) -> dict[str, str]:
    refs = value.get("refs")
    if value.get("schema") != 1 or not isinstance(refs, dict):
        raise ArtifactError(f"{source}: index.json has an unknown format", "update s2rctl")
    if not all(split(ref) and isinstance(identity, str) for ref, identity in refs.items()):
        raise ArtifactError(f"{source}: index.json contains an invalid ref", "do not trust the file")
    return dict(refs)


def _check(store: Store, manifests: Mapping[str, Any], refs: Mapping[str, str], source: Path) -> None:
    """Refuse manifests whose blobs are missing and refs to artifacts that are not inside."""
    for raw in manifests.values():
        content = Manifest.model_validate(raw).content
        for file in content.files:
            if not store.blobs.present(file.sha256, file.size):
                raise ArtifactError(
                    f"{source}: file '{file.path}' of {content.kind}/{content.name} is missing",
                    "download or copy the file again",
                )
    for ref, identity in refs.items():
        raw = manifests.get(identity)
        parts = split(ref)
        if raw is None or parts is None or (raw["content"]["kind"], raw["content"]["name"]) != parts[:2]:
            raise ArtifactError(f"{source}: ref {ref} does not fit what is inside", "do not trust the file")


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o444, 0
    return info


def _write(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_member(name, len(data)), io.BytesIO(data))
