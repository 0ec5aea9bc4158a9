"""The store: content-addressed artifacts, names for them, and mutable folders for runs under way.

Order of every publication: blobs, manifest, cache key, ref. Whenever the process dies, what is there is whole, and at
most unreferenced files are left over.
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError, MissingEnvironmentError, UsageError
from s2rctl.core.tables import suggestion
from s2rctl.schema.contract import Contract
from s2rctl.schema.manifest import Content, File, InputRef, Kind, Manifest, StageRef
from s2rctl.store.artifact import Artifact, media_type
from s2rctl.store.blobs import Blobs
from s2rctl.store.canonical import canonical, digest, plain
from s2rctl.store.faults import translated
from s2rctl.store.location import require_folder
from s2rctl.store.lock import store_locked
from s2rctl.store.place import REPAIR, clear_way, entries, is_regular, mode_of, subfolder
from s2rctl.store.provenance import make_origin
from s2rctl.store.reading import read_json, read_line
from s2rctl.store.refs import Refs, split

__all__ = ["Artifact", "Store"]

LAYOUT = 1
_TRIES = 3
"""How often what was collected while it was published is stored again."""
_ID = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[0-9a-f][0-9a-z._-]*")
_PREFIX = re.compile(r"[0-9a-f]{4,64}")


class Store:
    """A store in a folder; the folder is made by the first write, so that reading never changes anything."""

    def __init__(self, path: Path, lock_timeout: float = 10.0, *, repair: bool = False) -> None:
        """Open the store; UsageError if something else lies there, ArtifactError if its layout mark is damaged.

        ``repair`` leaves a damaged mark to ``verify``.
        """
        self.root = path
        self.blobs = Blobs(path)
        self.refs = Refs(path)
        self._lock_timeout = lock_timeout
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        require_folder(path)
        try:
            version = read_line(path / "VERSION")
        except FileNotFoundError:
            return
        except ArtifactError:
            if repair:
                return
            raise
        if version.isdecimal() and int(version) != LAYOUT:
            raise MissingEnvironmentError(
                f"the store {path} has a layout that this version cannot read", "choose another with --store DIR"
            )
        if version != str(LAYOUT) and not repair:
            raise ArtifactError(f"{path / 'VERSION'} is damaged: it holds no number", REPAIR)

    def publish(
        self,
        kind: Kind,
        name: str,
        files: Mapping[str, Path],
        *,
        stage: StageRef,
        profile: Mapping[str, Any],
        seed: int,
        inputs: Sequence[InputRef] = (),
        contract: Contract | None = None,
        metrics: Mapping[str, Any] | None = None,
        duration_s: float = 0.0,
        key: str | None = None,
    ) -> Artifact:
        """Store the files and their manifest and bind the cache key; no ref is moved (see ``set_ref``).

        Equal content has an equal id: publishing again keeps the first manifest. A full or read-only folder raises
        MissingEnvironmentError and leaves the store as it was.
        """
        resolved = plain(profile)
        with translated(self.root):
            self.prepare()
            stored = {path: self.blobs.add(source) for path, source in sorted(files.items())}
            try:
                content = Content(
                    kind=kind,
                    name=name,
                    files=tuple(
                        File(path=path, sha256=sha256, size=size, media_type=media_type(path))
                        for path, (sha256, size) in stored.items()
                    ),
                    inputs=tuple(sorted(inputs, key=lambda item: item.role)),
                    profile_sha256=digest(resolved),
                    profile=resolved,
                    seed=seed,
                    stage=stage,
                    contract=contract,
                )
            except ValidationError as error:
                raise ArtifactError(
                    f"{kind}/{name} cannot be an artifact: {error.errors()[0]['msg']}", "choose another name"
                ) from error
            origin = make_origin(metrics or {}, duration_s)
            seal = digest(origin.model_dump(mode="json"))
            manifest = Manifest(content=content, origin=origin, origin_sha256=seal)
            raw = manifest.model_dump(mode="json")
            identity = self.add_manifest(raw)
            for _ in range(_TRIES):
                if self._keeps(identity, stored.values()):
                    break
                for source in files.values():
                    self.blobs.add(source)
                self.add_manifest(raw)
            if key is not None:
                self.bind_key(key, identity)
        return self.get(identity)

    def _keeps(self, identity: str, blobs: Iterable[tuple[str, int]]) -> bool:
        """Return whether everything of an artifact is there: until its manifest was, it could have been collected.

        That takes an hour between the two, or a clock that was wrong for a moment.
        """
        return _whole_at(self._manifest(identity), identity) and all(self.blobs.present(*blob) for blob in blobs)

    def add_manifest(self, raw: Mapping[str, Any]) -> str:
        """Write a manifest whose blobs are there and return its id; an intact equal one is kept, and young again."""
        identity = digest(raw["content"])
        path = self._manifest(identity)
        if not _touched(path, identity):
            subfolder(self.root, "manifests", make=True)
            clear_way(self.root, path)
            write_atomic(path, canonical(raw), mode=0o444)
        return identity

    def get(self, identity: str) -> Artifact:
        """Return the artifact with this full id; ArtifactError if it is missing or its manifest is damaged."""
        if not _ID.fullmatch(identity):
            raise ArtifactError(f"{identity[:12]!r} is not an artifact id", "s2rctl artifacts verify")
        try:
            raw = read_json(self._manifest(identity))
            whole = is_whole(raw, identity)
            manifest = Manifest.model_validate(raw)
        except FileNotFoundError:
            raise ArtifactError(f"there is no artifact {identity[:12]}", "s2rctl artifacts list") from None
        except (ArtifactError, KeyError, ValidationError):
            whole = False
        if not whole:
            raise ArtifactError(f"the manifest of artifact {identity[:12]} is corrupt", "s2rctl artifacts verify")
        return Artifact(manifest, identity, self)

    def resolve(self, ref: str) -> Artifact:
        """Return the artifact behind an id prefix (at least 4 digits) or ``kind/name[:alias]``."""
        parts = split(ref)
        if parts:
            identity = self.refs.get(*parts)
            if identity is None:
                raise self._unknown(ref)
            return self.get(identity)
        if not _PREFIX.fullmatch(ref):
            raise UsageError(f"'{ref}' is not an artifact", "use kind/name, kind/name:alias or an id prefix")
        matches = [identity for identity in self.ids() if identity.startswith(ref)]
        if not matches:
            raise self._unknown(ref)
        if len(matches) > 1:
            raise ArtifactError(f"'{ref}' matches {len(matches)} ids", "give more digits of the id")
        return self.get(matches[0])

    def list(self, kind: str | None = None) -> list[Artifact]:
        """Return all artifacts, oldest first; damaged manifests are left to ``verify``."""
        found = []
        for identity in self.ids():
            try:
                artifact = self.get(identity)
            except ArtifactError:
                continue
            if kind is None or artifact.manifest.content.kind == kind:
                found.append(artifact)
        return sorted(found, key=lambda artifact: (artifact.manifest.origin.created_at, artifact.id))

    def ids(self) -> Iterator[str]:
        """Yield the ids of all manifests, sorted; ArtifactError if their folder is something else."""
        for path in entries(subfolder(self.root, "manifests")):
            if path.suffix == ".json" and _ID.fullmatch(path.stem):
                yield path.stem

    def set_ref(self, ref: str, identity: str, why: str) -> None:
        """Point ``kind/name[:alias]`` at an artifact, under the store's lock, and log the move."""
        parts = split(ref)
        if parts is None:
            raise UsageError(f"'{ref}' is not a ref", "write kind/name:alias, e.g. teacher/pick:candidate")
        with translated(self.root), self.lock():
            self.get(identity)
            self.refs.set(*parts, identity, why)

    def lookup_key(self, key: str) -> Artifact | None:
        """Return the artifact that was made under this cache key if it is still readable."""
        try:
            return self.get(read_line(self.root / "keys" / key))
        except (OSError, ArtifactError):
            return None

    def bind_key(self, key: str, identity: str) -> None:
        """Remember which artifact the work with this cache key gave."""
        path = subfolder(self.root, "keys", make=True) / key
        clear_way(self.root, path)
        write_atomic(path, f"{identity}\n".encode("ascii"))

    def keys(self) -> dict[str, str]:
        """Return all cache keys and the ids they stand for; the id of a damaged one is empty."""
        found = {}
        for path in entries(self.root / "keys"):
            if _KEY.fullmatch(path.name):
                try:
                    text = read_line(path)
                except (OSError, ArtifactError):
                    text = ""
                found[path.name] = text if _ID.fullmatch(text) else ""
        return found

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock that writers of refs and garbage collection take."""
        return store_locked(self.root, self._lock_timeout)

    def run_folder(self, key: str) -> Path:
        """Return the mutable folder of the work with this cache key, made if it is not there."""
        with translated(self.root):
            self.prepare()
            return subfolder(self.root, "runs", key[:16], make=True)

    def scratch(self) -> Path:
        """Return a folder outside the store that lives as long as this object."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="s2rctl-")
        return Path(self._scratch.name)

    def prepare(self) -> None:
        """Make the store's folder, its layout mark, and its lock, which must not need space when that is short."""
        self.root.mkdir(parents=True, exist_ok=True)
        if not mode_of(self.root / "lock"):
            (self.root / "lock").touch()
        version = self.root / "VERSION"
        if not is_regular(version):
            clear_way(self.root, version)
            write_atomic(version, f"{LAYOUT}\n".encode("ascii"))

    def _manifest(self, identity: str) -> Path:
        return self.root / "manifests" / f"{identity}.json"

    def _unknown(self, ref: str) -> ArtifactError:
        names = [*self.refs.all(), *(identity[:12] for identity in self.ids())]
        hint = suggestion(ref if ":" in ref or "/" not in ref else f"{ref}:latest", names) if names else ""
        return ArtifactError(
            f"there is no artifact '{ref}' in the store {self.root}",
            hint if (names and len(names) <= 20) or hint.startswith("did") else "s2rctl artifacts list",
        )


def is_whole(raw: Mapping[str, Any], identity: str) -> bool:
    """Return whether a manifest's content hashes to its id, and its origin to what the manifest says it does."""
    seal = raw.get("origin_sha256")
    return digest(raw.get("content")) == identity and (seal is None or digest(raw.get("origin")) == seal)


def _touched(path: Path, identity: str) -> bool:
    """Return whether an intact manifest is there, which garbage collection then spares for a while."""
    try:
        os.utime(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError:  # a store that cannot be written: nothing is collected there either
        pass
    return _whole_at(path, identity)


def _whole_at(path: Path, identity: str) -> bool:
    try:
        return is_whole(read_json(path), identity)
    except (OSError, ArtifactError):
        return False
