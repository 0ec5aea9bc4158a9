"""What the sections of the report share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2rctl.store.store import Artifact

LARGEST_BYTES = 15_000_000
"""Films in one report: with pictures, and a third more for their encoding as text, the page stays below 25 MB."""


@dataclass
class Material:
    """What a report is made from."""

    profile: Mapping[str, Any]  # resolved
    artifacts: Mapping[str, Artifact]  # by role
    evaluations: tuple[Artifact, ...] = ()  # other evaluations of these policies, oldest first
    others: tuple[Artifact, ...] = ()  # what other runs made of the same kind and name as a training stage here
    used: int = field(default=0)  # bytes of films so far

    def metrics(self, role: str) -> dict[str, Any]:
        """Return the figures of the artifact with a role; empty if there is none."""
        return self.artifacts[role].manifest.origin.metrics if role in self.artifacts else {}

    def film(self, artifact: Artifact, name: str) -> bytes | None:
        """Return a film's content; None once all films together are too large."""
        size = artifact.files[name].size
        if self.used + size > LARGEST_BYTES:
            return None
        self.used += size
        return artifact.path(name).read_bytes()


def files(artifact: Artifact, media_type: str) -> list[tuple[str, bytes]]:
    """Return (name without suffix, content) of the artifact's files of one media type."""
    found = [f for f in artifact.manifest.content.files if f.media_type == media_type]
    return [(Path(f.path).stem, artifact.path(f.path).read_bytes()) for f in found]
