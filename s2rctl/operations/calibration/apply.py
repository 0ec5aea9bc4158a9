"""Writes a calibration's reference into a profile, line by line, so that comments and order stay."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import UsageError
from s2rctl.operations.calibration.guard import find, load, require_profile
from s2rctl.schema.load import Loaded
from s2rctl.store.store import Store

_SECTION = re.compile(r"^vision:\s*(#.*)?$")
_ENTRY = re.compile(r"^(\s+)calibration:.*$")


@dataclass(frozen=True)
class Plan:
    """What would be written."""

    path: Path
    before: str
    after: str
    identity: str

    @property
    def changes(self) -> bool:
        """Whether anything would change."""
        return self.before != self.after

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        name = self.path.name
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), name, f"{name} (new)", lineterm=""
        )
        return "\n".join(lines)


def plan(store: Store, loaded: Loaded, profile: str, ref: str) -> Plan:
    """Return what applying a calibration changes in a profile's file; ArtifactError for one of another robot or camera.

    The reference is written as the artifact's id: what an alias names may change, and a training would not notice.
    """
    artifact = find(store, loaded.profile, ref or None)
    require_profile(load(artifact), loaded.profile)
    path = source_of(profile)
    before = path.read_text(encoding="utf-8")
    return Plan(path, before, with_reference(before, artifact.id), artifact.id)


def with_reference(text: str, identity: str) -> str:
    """Return a profile's text with ``vision.calibration`` set."""
    lines = text.splitlines()
    entry = f"calibration: {identity[:16]}"
    begin = next((number for number, line in enumerate(lines) if _SECTION.match(line)), None)
    if begin is None:
        if any(line.startswith("vision:") for line in lines):
            raise UsageError("the profile's vision section is written on one line", f"add {entry} to it yourself")
        return "\n".join([*lines, "", "vision:", f"  {entry}"]) + "\n"
    end = next(
        (
            n
            for n in range(begin + 1, len(lines))
            if lines[n].strip() and not lines[n][0].isspace() and lines[n][0] != "#"
        ),
        len(lines),
    )
    indent = next((line[: len(line) - len(line.lstrip())] for line in lines[begin + 1 : end] if line.strip()), "  ")
    for number in range(begin + 1, end):
        found = _ENTRY.match(lines[number])
        if found and found.group(1) == indent:
            lines[number] = f"{indent}{entry}"
            return "\n".join(lines) + "\n"
    lines.insert(begin + 1, f"{indent}{entry}")
    return "\n".join(lines) + "\n"


def source_of(profile: str) -> Path:
    """Return the file of a profile; UsageError for one that came with s2rctl and is not to be changed."""
    path = Path(profile)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    raise UsageError(
        f"'{profile}' is a profile that comes with s2rctl; a calibration belongs to your robot only",
        f"make your own: my-{profile}.yaml with 'extends: {profile}' and 'name: my-{profile}', then -p that file",
    )


def write(plan: Plan) -> None:
    """Write the profile."""
    write_atomic(plan.path, plan.after.encode())
