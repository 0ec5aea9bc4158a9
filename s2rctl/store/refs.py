"""Names for artifacts: ``kind/name:alias`` -> id, one line per file, every move logged."""

import contextlib
import errno
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.core.names import part_fault
from s2rctl.store.place import clear_way, discard, entries, is_folder, is_regular, mode_of, set_aside, subfolder
from s2rctl.store.reading import read_bytes, read_line

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_REF = re.compile(rf"({NAME.pattern})/({NAME.pattern})(?::({NAME.pattern}))?")
_ID = re.compile(r"[0-9a-f]{64}")
LARGEST_LOG = 1 << 26  # bytes; a move has about 200


def fits(part: str) -> bool:
    """Return whether ``part`` can be the kind, name or alias of a ref."""
    return NAME.fullmatch(part) is not None and part_fault(part) is None


def split(ref: str) -> tuple[str, str, str] | None:
    """Return (kind, name, alias) of ``kind/name[:alias]`` with alias ``latest`` by default, or None if it is no ref."""
    match = _REF.fullmatch(ref)
    parts = (match[1], match[2], match[3] or "latest") if match else ()
    return (parts[0], parts[1], parts[2]) if parts and all(map(fits, parts)) else None


def check_alias(alias: str) -> None:
    """Raise UsageError unless ``alias`` can stand behind the colon of a ref."""
    if not fits(alias):
        shown = alias if len(alias) <= 80 else f"{alias[:40]}… ({len(alias)} characters)"
        raise UsageError(f"'{shown}' cannot be an alias", "use at most 255 lower-case letters, digits, '.', '_', '-'")


class Refs:
    """The ref part of a store. Writing needs the store's lock; reading does not."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "refs"
        self._log = root / "refs.log"

    def get(self, kind: str, name: str, alias: str) -> str | None:
        """Return the id behind a ref, or None if there is no such ref; ArtifactError if it is damaged."""
        try:
            text = read_line(self._folder / kind / name / alias)
        except FileNotFoundError:
            return None
        except ArtifactError:
            text = ""
        if not _ID.fullmatch(text):
            ref = f"{kind}/{name}:{alias}"
            raise ArtifactError(
                f"the ref {ref} is damaged", f"s2rctl artifacts verify, or remove it: s2rctl artifacts rm {ref} --yes"
            )
        return text

    def all(self) -> dict[str, str]:
        """Return every ref and the id it holds, sorted; the id of a damaged one is empty."""
        found = {}
        for kind in self._parts(self._folder):
            for name in self._parts(kind):
                for path in entries(name):
                    if fits(path.name):
                        found[f"{kind.name}/{name.name}:{path.name}"] = self._id(path)
        return found

    def damaged(self) -> list[tuple[str, str]]:
        """Return (kind, name) of artifacts that damaged refs may have led to; an empty word stands for all."""
        if mode_of(self._folder) and not is_folder(self._folder):
            return [("", "")]
        found = []
        for kind in entries(self._folder):
            if not is_folder(kind):
                found.append((kind.name, ""))
            for name in entries(kind):
                if not is_folder(name) or any(fits(path.name) and not self._id(path) for path in entries(name)):
                    found.append((kind.name, name.name))
        return found

    def set(self, kind: str, name: str, alias: str, identity: str, why: str) -> None:
        """Point a ref at an artifact and log the move; a damaged ref is replaced."""
        for part in (kind, name, alias):
            if not fits(part):
                raise UsageError(f"'{part}' cannot be part of a ref", "use lower-case letters, digits, '.', '_', '-'")
        path = subfolder(self._root, "refs", kind, name, make=True) / alias
        previous = self._id(path) or None
        if previous == identity:
            return
        clear_way(self._root, path)
        write_atomic(path, f"{identity}\n".encode("ascii"))
        self._append({"ref": f"{kind}/{name}:{alias}", "id": identity, "previous": previous, "why": why})

    def remove(self, ref: str, why: str) -> None:
        """Remove a ref and log it, if there is space for that; a folder in its place is set aside."""
        parts = split(ref)
        if parts:
            path = self._folder.joinpath(*parts)
            previous = self._id(path) or None
            if is_folder(path):
                set_aside(self._root, path)
            else:
                discard(self._root, "refs", *parts)
            with contextlib.suppress(OSError):
                self._append({"ref": ref, "id": None, "previous": previous, "why": why})

    def history(self) -> list[dict[str, object]]:
        """Return the logged moves, oldest first; lines that were torn (the writer died) or damaged are skipped."""
        try:
            lines = read_bytes(self._log, LARGEST_LOG).decode(errors="replace").splitlines()
        except (FileNotFoundError, ArtifactError):
            return []
        moves = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                move = json.loads(line)
                if isinstance(move, dict):
                    moves.append(move)
        return moves

    def _parts(self, path: Path) -> list[Path]:
        return [part for part in entries(path) if fits(part.name) and is_folder(part)]

    def _id(self, path: Path) -> str:
        """Return the id in a file, empty if there is none."""
        try:
            text = read_line(path)
        except (OSError, ArtifactError):
            return ""
        return text if _ID.fullmatch(text) else ""

    def _append(self, move: dict[str, object]) -> None:
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **move}).encode() + b"\n"
        if mode_of(self._log) and not is_regular(self._log):
            set_aside(self._root, self._log)
        descriptor = os.open(self._log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            try:
                if os.write(descriptor, (b"\n" if torn else b"") + line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(descriptor, size)  # half a line would spoil the next one
                raise
        finally:
            os.close(descriptor)
