"""Artifacts as one plain tar file, byte for byte the same for the same content; reading one trusts nothing in it.

Members, in this order: ``index.json`` (refs to set), ``manifests/<id>.json``, ``blobs/sha256/ab/<62 hex>``, sorted.
"""

import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from s2rctl.core.errors import ArtifactError
from s2rctl.schema.manifest import Manifest
from s2rctl.store.canonical import canonical, digest
from s2rctl.store.faults import translated
from s2rctl.store.lineage import closure
from s2rctl.store.refs import split
from s2rctl.store.store import Artifact, Store

_MANIFEST = re.compile(r"manifests/([0-9a-f]{64})\.json")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{2})/([0-9a-f]{62})")
_LARGEST_JSON = 16 << 20  # bytes; real manifests have a few kB


def export_archive(store: Store, refs: Mapping[str, Artifact], target: Path, parents: bool = True) -> list[str]:
    """Write the artifacts, with everything they were made from unless ``parents`` is false; return the ids inside.

    ``refs`` maps each ref that importing shall set (``kind/name:alias``) to its artifact. Every blob is hashed on the
    way out: a corrupt one raises ArtifactError and leaves no file behind.
    """
    roots = [artifact.id for artifact in refs.values()]
    identities = sorted(closure(store, roots) if parents else set(roots))
    artifacts = [store.get(identity) for identity in identities]
    blobs = {file.sha256: artifact.path(file.path) for artifact in artifacts for file in artifact.files.values()}
    index = {"schema": 1, "refs": {ref: artifact.id for ref, artifact in sorted(refs.items())}}
    temporary = target.with_name(f".{target.name}.part")
    try:
        with translated(target.parent, "folder"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
                _write(tar, "index.json", canonical(index))
                for artifact in artifacts:
                    _write(tar, f"manifests/{artifact.id}.json", canonical(artifact.manifest.model_dump(mode="json")))
                for sha256 in sorted(blobs):
                    with blobs[sha256].open("rb") as file:
                        info = _member(f"blobs/sha256/{sha256[:2]}/{sha256[2:]}", blobs[sha256].stat().st_size)
                        tar.addfile(info, file)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return identities


@dataclass(frozen=True)
class Imported:
    """What an import brought: ids, and the refs that were set."""

    ids: tuple[str, ...]
    refs: dict[str, str]


def import_archive(store: Store, source: Path, alias: str | None = None) -> Imported:
    """Read an archive into the store and set its refs, with ``alias`` instead of their own if given.

    The file is read as a stream; only the names above are accepted, every blob and manifest must hash to its name, and
    nothing is written outside the store or executed. Importing twice changes nothing. Faults raise ArtifactError.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise ArtifactError(f"cannot read {source}: {error.strerror}", "check the path") from None
    try:
        with file, translated(store.root), tarfile.open(fileobj=file, mode="r|") as tar:
            refs, manifests = _read(store, tar, source)
    except (tarfile.TarError, EOFError) as error:
        raise ArtifactError(f"{source} is not a whole plain tar archive: {error}", "fetch the file again") from error
    if not manifests:
        raise ArtifactError(f"{source} holds no artifact", "make one with s2rctl artifacts export REF FILE")
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
    named: set[str] = set()
    store.prepare()
    for member in tar:
        stream = tar.extractfile(member) if member.isreg() else None
        manifest, blob = _MANIFEST.fullmatch(member.name), _BLOB.fullmatch(member.name)
        if stream is None or not (manifest or blob or member.name == "index.json"):
            raise ArtifactError(f"{source} holds '{member.name}', which does not belong there", "do not trust the file")
        if blob:
            if blob[1] + blob[2] not in named:
                raise ArtifactError(f"{source}: no manifest names {member.name}", "do not trust the file")
            store.blobs.add_stream(stream, expected=blob[1] + blob[2])
            continue
        if member.size > _LARGEST_JSON:
            raise ArtifactError(f"{source}: {member.name} is too large", "do not trust the file")
        value = _json(stream.read(), source, member.name)
        if manifest:
            named |= _valid(value, manifest[1], source)
            manifests[manifest[1]] = value
        else:
            refs = _index(value, source)
    return refs, manifests


def _valid(raw: Mapping[str, Any], identity: str, source: Path) -> set[str]:
    """Return the blobs that a manifest names; raise ArtifactError unless it hashes to its id and validates."""
    if digest(raw.get("content")) != identity:
        raise ArtifactError(f"{source}: manifest {identity[:12]} does not hash to its name", "fetch the file again")
    try:
        return {file.sha256 for file in Manifest.model_validate(raw).content.files}
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{source}: manifest {identity[:12]} is invalid: {place}: {first['msg']}", "update s2rctl"
        ) from error


def _json(data: bytes, source: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{source}: {name} is no JSON", "fetch the file again") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{source}: {name} is no JSON object", "fetch the file again")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _index(value: Mapping[str, Any], source: Path) -> dict[str, str]:
    refs = value.get("refs")
    if value.get("schema") != 1 or not isinstance(refs, dict):
        raise ArtifactError(f"{source}: index.json has an unknown form", "update s2rctl")
    if not all(split(ref) and isinstance(identity, str) for ref, identity in refs.items()):
        raise ArtifactError(f"{source}: index.json holds an impossible ref", "do not trust the file")
    return dict(refs)


def _check(store: Store, manifests: Mapping[str, Any], refs: Mapping[str, str], source: Path) -> None:
    """Refuse manifests whose blobs are missing and refs to artifacts that are not inside."""
    for raw in manifests.values():
        content = Manifest.model_validate(raw).content
        for file in content.files:
            if not store.blobs.present(file.sha256, file.size):
                raise ArtifactError(
                    f"{source}: file '{file.path}' of {content.kind}/{content.name} is missing", "fetch the file again"
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
