"""Explicit lazy tables: NAME -> "module:attribute", so that adding a backend is one line and importing one is free."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from s2rctl.core.errors import UsageError


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest known words, or lists them all when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"


@dataclass(frozen=True)
class Table:
    """A named set of implementations, imported only when one is asked for."""

    kind: str
    rows: Mapping[str, str]

    def load(self, name: str) -> Any:
        """Import and return the attribute behind ``name``; raise UsageError with a suggestion if there is none."""
        if name not in self.rows:
            raise UsageError(f"unknown {self.kind} '{name}'", suggestion(name, self.rows))
        module, _, attribute = self.rows[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
