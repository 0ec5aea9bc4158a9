"""What the sections of the report share."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2rctl.store.store import Artifact

LARGEST_BYTES = 15_000_000
"""Films in one report: with pictures, and a third more for their encoding as text, the page stays below 25 MB."""


Figure = tuple[str, str]
"""A picture or a film: its address, and its caption."""


@dataclass
class Material:
    """What a report is made from."""

    profile: Mapping[str, Any]  # resolved
    artifacts: Mapping[str, Artifact]  # by role
    evaluations: tuple[Artifact, ...] = ()  # other evaluations of these policies, oldest first
    other_worlds: tuple[Artifact, ...] = ()  # their evaluations in tiers and axis by axis, oldest first
    others: tuple[Artifact, ...] = ()  # what other runs made of the same kind and name as a training stage here
    used: int = field(default=0)  # bytes of films so far

    def metrics(self, role: str) -> dict[str, Any]:
        """Return the figures of the artifact with a role; empty if there is none."""
        return self.artifacts[role].manifest.origin.metrics if role in self.artifacts else {}

    def film(self, artifact: Artifact, name: str, caption: str) -> list[Figure]:
        """Return a film with its caption; none once all films together are too large."""
        size = artifact.files[name].size
        if self.used + size > LARGEST_BYTES:
            return []
        self.used += size
        return [(data_uri(artifact.path(name).read_bytes(), "video/mp4"), caption)]


def pictures(artifact: Artifact, before: str = "") -> list[Figure]:
    """Return the artifact's pictures; each is captioned by its name, with ``before`` before it."""
    found = [Path(f.path) for f in artifact.manifest.content.files if f.media_type == "image/png"]
    return [
        (data_uri(artifact.path(str(path)).read_bytes(), "image/png"), before + path.stem.replace("-", " "))
        for path in found
    ]


def data_uri(content: bytes, media_type: str) -> str:
    """Return a file's content as a ``data:`` address."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
