"""An artifact as bytes in memory, for a store on another machine: what arrives is checked by its digests."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

from s2rctl.core.errors import ArtifactError
from s2rctl.store.canonical import canonical
from s2rctl.store.faults import translated
from s2rctl.store.reading import parse_json
from s2rctl.store.store import Artifact, Store, is_whole


@dataclass(frozen=True)
class Parcel:
    """One artifact without what it was made from; plain data."""

    id: str
    keys: tuple[str, ...]  # cache keys that stand for it
    manifest: bytes  # canonical JSON
    blobs: Mapping[str, bytes]  # by their SHA-256


def pack(artifact: Artifact, keys: Mapping[str, str]) -> Parcel:
    """Return an artifact as bytes; ``keys`` are its store's (key -> id). ArtifactError if a file is not whole."""
    blobs = {file.sha256: artifact.path(path).read_bytes() for path, file in artifact.files.items()}
    manifest = canonical(artifact.manifest.model_dump(mode="json"))
    own = tuple(sorted(key for key, identity in keys.items() if identity == artifact.id))
    return Parcel(artifact.id, own, manifest, blobs)


def unpack(store: Store, parcel: Parcel) -> None:
    """Add what a parcel holds to a store: blobs, manifest, cache keys; no ref moves.

    ArtifactError if anything in it does not hash to its name.
    """
    try:
        raw = parse_json(parcel.manifest)
    except ValueError as error:
        raise ArtifactError(f"artifact {parcel.id[:12]} arrived damaged: {error}", "run the command again") from None
    if not is_whole(raw, parcel.id):
        raise ArtifactError(f"the manifest of artifact {parcel.id[:12]} arrived damaged", "run the command again")
    with translated(store.root):
        store.prepare()
        for sha256, content in parcel.blobs.items():
            store.blobs.add_stream(io.BytesIO(content), expected=sha256)
        store.add_manifest(raw)
        for key in parcel.keys:
            store.bind_key(key, parcel.id)
