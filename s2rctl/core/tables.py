"""Lazy tables: NAME -> "module:attribute", so that adding a backend is one line and importing one is free.

Installed extensions add rows through entry points (``[project.entry-points."s2rctl.tasks"]``); rows that come with
s2rctl cannot be replaced by them.
"""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from s2rctl.core.errors import UsageError


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest known words, or lists them all when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"


@cache
def _extensions(group: str) -> Mapping[str, str]:
    """Return the entry points of a group; looking through what is installed takes tens of milliseconds."""
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group=group)}


@dataclass(frozen=True)
class Table:
    """A named set of implementations, imported only when one is asked for."""

    kind: str
    rows: Mapping[str, str]  # those that come with s2rctl
    group: str = ""  # entry-point group with which installed extensions add rows; empty: the table is closed

    def names(self) -> tuple[str, ...]:
        """Return the names of all rows, those of installed extensions last."""
        added = _extensions(self.group) if self.group else {}
        return tuple(dict.fromkeys((*self.rows, *added)))

    def load(self, name: str) -> Any:
        """Import and return the attribute behind ``name``; raise UsageError with a suggestion if there is none."""
        target = self.rows.get(name)
        if target is None and self.group:
            target = _extensions(self.group).get(name)
        if target is None:
            raise UsageError(f"unknown {self.kind} '{name}'", suggestion(name, self.names()))
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)
