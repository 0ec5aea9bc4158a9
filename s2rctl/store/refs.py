"""Names for artifacts: ``kind/name:alias`` -> id, one line per file, every move logged."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_REF = re.compile(rf"({NAME.pattern})/({NAME.pattern})(?::({NAME.pattern}))?")
_ID = re.compile(r"[0-9a-f]{64}")


def split(ref: str) -> tuple[str, str, str] | None:
    """Return (kind, name, alias) of ``kind/name[:alias]`` with alias ``latest`` by default, or None if it is no ref."""
    match = _REF.fullmatch(ref)
    return (match[1], match[2], match[3] or "latest") if match else None


class Refs:
    """The ref part of a store. Writing needs the store's lock; reading does not."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "refs"
        self._log = root / "refs.log"

    def get(self, kind: str, name: str, alias: str) -> str | None:
        """Return the id behind a ref, or None."""
        try:
            text = (self._folder / kind / name / alias).read_text(encoding="ascii").strip()
        except OSError:
            return None
        return text if _ID.fullmatch(text) else None

    def all(self) -> dict[str, str]:
        """Return every ref and the text it holds (an id, unless the file was damaged), sorted."""
        found = {}
        for path in sorted(self._folder.glob("*/*/*")):
            if not path.name.startswith("."):
                kind, name, alias = path.relative_to(self._folder).parts
                found[f"{kind}/{name}:{alias}"] = path.read_text(encoding="ascii", errors="replace").strip()
        return found

    def set(self, kind: str, name: str, alias: str, identity: str, why: str) -> None:
        """Point a ref at an artifact and log the move."""
        for part in (kind, name, alias):
            if not NAME.fullmatch(part):
                raise UsageError(f"'{part}' cannot be part of a ref", "use lower-case letters, digits, '.', '_', '-'")
        folder = self._folder / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        previous = self.get(kind, name, alias)
        if previous == identity:
            return
        write_atomic(folder / alias, f"{identity}\n".encode("ascii"))
        self._append({"ref": f"{kind}/{name}:{alias}", "id": identity, "previous": previous, "why": why})

    def remove(self, ref: str, why: str) -> None:
        """Remove a ref and log it."""
        parts = split(ref)
        if parts:
            previous = self.get(*parts)
            self._folder.joinpath(*parts).unlink(missing_ok=True)
            self._append({"ref": ref, "id": None, "previous": previous, "why": why})

    def history(self) -> list[dict[str, object]]:
        """Return the logged moves, oldest first; a torn last line (the writer died) is skipped."""
        moves = []
        if self._log.is_file():
            for line in self._log.read_text(encoding="utf-8").splitlines():
                try:
                    moves.append(json.loads(line))
                except ValueError:
                    continue
        return moves

    def _append(self, move: dict[str, object]) -> None:
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **move})
        with self._log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
