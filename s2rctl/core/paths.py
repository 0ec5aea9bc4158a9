"""Paths as people write them: ``~`` and ``~name`` stand for home folders, which need not exist."""

from pathlib import Path

from s2rctl.core.errors import S2rError, UsageError


def expanded(path: str | Path, error: type[S2rError] = UsageError) -> Path:
    """Return the path with ``~`` replaced; raise ``error`` where nobody has such a home folder (an unknown user id)."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise error(f"'{path}' begins with a home folder that does not exist", "write the whole path") from None
