"""What the shell offers after Tab besides commands and options: names of profiles and artifacts.

A Tab must never print: whatever goes wrong, nothing is offered.
"""

from collections.abc import Iterable
from typing import Any

import typer


def profiles(incomplete: str) -> list[str]:
    """Return the names of profiles that begin so."""
    try:
        from s2rctl.schema.load import profile_files

        return _beginning(profile_files(), incomplete)
    except Exception:
        return []


def refs(incomplete: str) -> list[str]:
    """Return the artifacts of the store, ``kind/name`` and ``kind/name:alias``, that begin so."""
    try:
        from s2rctl.store.location import find_store
        from s2rctl.store.store import Store

        found = Store(find_store()).refs.all()
        latest = {ref.removesuffix(":latest") for ref in found if ref.endswith(":latest")}
        return _beginning({*found, *latest}, incomplete)
    except Exception:
        return []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def ref(text: str, *option: str) -> Any:
    """Return Typer's argument (with ``option``: option) for an artifact, with this help."""
    if option:
        return typer.Option(*option, metavar="REF", help=text, autocompletion=refs)
    return typer.Argument(metavar="REF", help=text, autocompletion=refs)


def profile(text: str, *option: str, metavar: str = "PROFILE") -> Any:
    """Return Typer's argument (with ``option``: option) for a profile, with this help."""
    if option:
        return typer.Option(*option, help=text, autocompletion=profiles)
    return typer.Argument(metavar=metavar, help=text, autocompletion=profiles)
