"""Pieces of work that any process can do which sees the store or is sent what they need, and who has them done."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from s2rctl.core.errors import S2rError
from s2rctl.core.progress import Reporter
from s2rctl.store.store import Store

if TYPE_CHECKING:  # JAX is loaded by who learns only
    from s2rctl.learning.student.collect import Group
    from s2rctl.learning.student.distill import Collector


@dataclass(frozen=True)
class Work(ABC):
    """A piece of work. A subclass adds plain data only, so that it can be sent to another machine."""

    index: int  # place among the pieces
    name: str  # for people
    store: str  # folder
    resume: str  # the command that carries on

    @abstractmethod
    def do(self, reporter: Reporter) -> Any:
        """Do it and return what came of it, with its ``index``; only Interrupted is raised."""

    @abstractmethod
    def lost(self, error: S2rError) -> Any:
        """Return what ``do`` would have returned had it failed so: nobody will do it any more."""

    @abstractmethod
    def needs(self, store: Store) -> Set[str]:
        """Return the ids of artifacts in ``store`` that whoever does it needs or profits from."""

    def made(self, outcome: Any) -> Set[str]:
        """Return the ids of the artifacts that ``do`` has left in the store."""
        return set()


class Recipe(Protocol):
    """One of the groups into which the worlds of a distillation are divided, as it is sent to whoever makes it."""

    @property
    def number(self) -> int:
        """Which of the groups."""

    @property
    def store(self) -> str:
        """Folder of the store that has what it needs."""

    @property
    def fixed(self) -> tuple[str, ...]:
        """Parts of a student that learning does not change."""

    def build(self, store: Store, params: Any, folder: Path) -> "Group":
        """Return the group; what it needs to keep lies in ``folder``, which is made."""

    def needs(self, store: Store) -> Set[str]:
        """Return the ids of artifacts that it is made from."""


class Launcher(Protocol):
    """Has pieces of work done; it decides where, and how many at once."""

    def run(self, pieces: Sequence[Work], reporter: Reporter) -> Iterator[Any]:
        """Yield what came of each piece, as soon as it has, in any order; a lost worker is a piece that failed.

        Interrupted (Ctrl-C) is raised, and MissingEnvironmentError where nothing can run at all.
        """

    def collector(self, recipes: Sequence[Recipe], params: Any, folder: Path) -> "AbstractContextManager[Collector]":
        """Return who acts and labels for a student, in as many groups of worlds as there are recipes.

        ``params`` are the student's at the start, ``folder`` is for what groups keep if they run here.
        MissingEnvironmentError where there is no room for all of them at once.
        """


@dataclass(frozen=True)
class Spread:
    """Into how many shards a stage may part its work, and who has them done. The result does not depend on either."""

    launcher: Launcher
    shards: int
