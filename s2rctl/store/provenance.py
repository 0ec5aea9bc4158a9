"""Where and with what an artifact was made: information outside its digest."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from s2rctl.core.installation import commit, machine, versions
from s2rctl.schema.manifest import Origin
from s2rctl.store.canonical import plain


def make_origin(metrics: Mapping[str, Any], duration_s: float) -> Origin:
    """Return the origin of something made here and now; ``duration_s`` in seconds."""
    return Origin(
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        host=machine(),
        git=commit(),
        versions=versions(),
        duration_s=round(duration_s, 3),
        metrics=plain(metrics),
    )
