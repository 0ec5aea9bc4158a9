"""Lazy tables: NAME -> "module:attribute", so that adding a backend is one line and importing one is free.

Installed extensions add rows through entry points (``[project.entry-points."s2rctl.tasks"]``); rows that come with
s2rctl cannot be replaced by them.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.core.text import one_line


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest known words, or lists them all when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"


@dataclass(frozen=True)
class _Extension:
    """A row that an installed package adds."""

    target: str  # "module:attribute"
    package: str  # its distribution; empty where that does not say its name


@cache
def _extensions(group: str) -> Mapping[str, _Extension]:
    """Return the entry points of a group; looking through what is installed takes tens of milliseconds."""
    from importlib.metadata import entry_points

    found = {}
    for entry in entry_points(group=group):
        package = entry.dist.metadata["Name"] if entry.dist is not None else ""
        found[entry.name] = _Extension(entry.value, str(package or ""))
    return found


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Table:
    """A named set of implementations, imported only when one is asked for."""

    kind: str
    rows: Mapping[str, str]  # those that come with s2rctl
    group: str = ""  # entry-point group with which installed extensions add rows; empty: the table is closed
    fits: Callable[[Any], bool] = _always  # whether what an extension's row leads to is what the table holds

    def names(self) -> tuple[str, ...]:
        """Return the names of all rows, those of installed extensions last."""
        added = _extensions(self.group) if self.group else {}
        return tuple(dict.fromkeys((*self.rows, *added)))

    def load(self, name: str) -> Any:
        """Import and return the attribute behind ``name``.

        UsageError with a suggestion if there is none, MissingEnvironmentError that names the extension whose row
        cannot be used.
        """
        target = self.rows.get(name)
        if target is not None:
            return _attribute(target)
        extension = _extensions(self.group).get(name) if self.group else None
        if extension is None:
            raise UsageError(f"unknown {self.kind} '{name}'", suggestion(name, self.names()))
        return self._foreign(name, extension)

    def usable(self) -> Iterator[tuple[str, Any]]:
        """Yield every row's name and what is behind it, without those of extensions that cannot be used.

        For looking through all rows: an extension that is broken is told of in the log, and keeps nobody else from
        working.
        """
        for name in self.names():
            try:
                value = self.load(name)
            except MissingEnvironmentError as error:
                if name in self.rows:
                    raise
                _warn(f"{error.message}; left out")
                continue
            yield name, value

    def _foreign(self, name: str, extension: _Extension) -> Any:
        """Return what is behind an extension's row, whose code may do anything when it is imported."""
        try:
            value = _attribute(extension.target)
            why = "" if self.fits(value) else f"it is no {self.kind}"
        except (Exception, SystemExit) as error:
            why = f"{type(error).__name__}: {_words(error)}".removesuffix(": ")
        if not why:
            return value
        package = f" of the package {extension.package}" if extension.package else ""
        remedy = f"pip uninstall {extension.package}" if extension.package else "uninstall it"
        raise MissingEnvironmentError(
            one_line(f"the {self.kind} '{name}'{package} cannot be used ({extension.target}): {why}"),
            one_line(f"repair the package, or {remedy}"),
        )


def _attribute(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _words(error: BaseException) -> str:
    """Return what an exception of somebody's own class says, as far as it can be asked."""
    try:
        return str(error).strip()
    except Exception:
        return ""


@cache
def _warn(text: str) -> None:
    """Log a warning, once."""
    import logging

    logging.getLogger("s2rctl").warning(text)
