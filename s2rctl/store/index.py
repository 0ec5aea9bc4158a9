"""What all manifests say, in short, without reading all of them each time.

Reading and checking a manifest takes about a millisecond, and a store may have ten thousand. What was read is kept in
``index.json``, by the state of each manifest's file: an entry holds as long as inode, size and both times of the file
are the same. Nobody can set the time of a file's last change of state, so an index that came with a copy of a store
never fits it. The index is a help only: where it is missing, damaged or cannot be written, manifests are read.
"""

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from s2rctl.core.errors import ArtifactError, MissingEnvironmentError
from s2rctl.schema.manifest import Manifest
from s2rctl.store.place import is_folder, is_regular, mode_of, subfolder
from s2rctl.store.reading import read_bytes
from s2rctl.store.store import Store

NAME = "index.json"
_SCHEMA = 1
_LARGEST = 1 << 28
"""Bytes; an entry has about 600."""
_WORTH = 32
"""New entries for which the index is written again."""


class Entry(NamedTuple):
    """One artifact, in short."""

    kind: str
    name: str
    stage: str
    profile: str
    seed: int
    created_at: str
    duration_s: float
    files: tuple[tuple[str, int], ...]  # (sha256, bytes)
    inputs: tuple[tuple[str, str], ...]  # (role, id)

    @property
    def ref(self) -> str:
        """``kind/name``, without an alias."""
        return f"{self.kind}/{self.name}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)


def entry_of(manifest: Manifest) -> Entry:
    """Return a manifest in short."""
    content, origin = manifest.content, manifest.origin
    return Entry(
        content.kind,
        content.name,
        content.stage.name,
        str(content.profile.get("name", "")),
        content.seed,
        origin.created_at,
        origin.duration_s,
        tuple((file.sha256, file.size) for file in content.files),
        tuple((item.role, item.id) for item in content.inputs),
    )


def entries_of(store: Store) -> dict[str, Entry | None]:
    """Return every artifact of the store by its id, in short, sorted by id; None for a damaged manifest."""
    states = _states(store)
    known = _read(store.root) if states else {}
    found: dict[str, Entry | None] = {}
    new = 0
    for identity in sorted(states):
        state = states[identity]
        row = known.get(identity)
        if row is not None and row[0] == state:
            found[identity] = row[1]
            continue
        try:
            found[identity] = entry_of(store.get(identity).manifest)
        except (ArtifactError, MissingEnvironmentError):
            found[identity] = None
        new += 1
    if new >= _WORTH:
        _write(store.root, {one: (states[one], entry) for one, entry in found.items() if entry is not None})
    return found


def ancestry(entries: Mapping[str, Entry | None], roots: Iterable[str]) -> set[str]:
    """Return the roots and all that they were made from, as far as the store has them whole."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        identity = waiting.pop()
        entry = entries.get(identity)
        if identity in reached or entry is None:
            continue
        reached.add(identity)
        waiting += [made_from for _, made_from in entry.inputs]
    return reached


_State = list[int]


def _states(store: Store) -> dict[str, _State]:
    """Return the state of every manifest's file, by id; ArtifactError if their folder is something else."""
    folder = subfolder(store.root, "manifests")
    wanted = {f"{identity}.json" for identity in store.ids()}
    states: dict[str, _State] = {}
    if not is_folder(folder):
        return states
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for item in found:
            if item.name in wanted:
                with contextlib.suppress(OSError):
                    status = item.stat(follow_symlinks=False)
                    regular = int(stat.S_ISREG(status.st_mode))
                    states[item.name[:-5]] = [
                        regular, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
                    ]  # fmt: skip
    return states


def _read(root: Path) -> dict[str, tuple[_State, Entry]]:
    """Return what the index holds; nothing if it is missing or damaged."""
    try:
        seal, _, body = read_bytes(root / NAME, _LARGEST).partition(b"\n")
        if seal.decode("ascii") != _seal(body):
            return {}
        value = json.loads(body)
        if value["schema"] != _SCHEMA:
            return {}
        return {identity: (state, _entry(row)) for identity, (state, row) in value["entries"].items()}
    except (OSError, ArtifactError, MissingEnvironmentError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _entry(row: list[Any]) -> Entry:
    *plain, files, inputs = row
    return Entry._make([*plain, tuple(map(tuple, files)), tuple(map(tuple, inputs))])


def _seal(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _write(root: Path, rows: Mapping[str, tuple[_State, Entry]]) -> None:
    """Write the index whole or not at all, if it can be; it need not outlive a power cut."""
    target = root / NAME
    if not is_regular(root / "VERSION") or (mode_of(target) and not is_regular(target)):
        return
    body = json.dumps({"schema": _SCHEMA, "entries": rows}).encode()
    with contextlib.suppress(OSError):
        descriptor, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=root)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_seal(body).encode() + b"\n" + body)
            Path(name).replace(target)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
