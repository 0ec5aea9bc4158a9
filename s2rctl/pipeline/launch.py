"""Where pieces of work run, such as the cells of a sweep: a launcher is one file and one line in the table."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import interruptible
from s2rctl.core.progress import Reporter
from s2rctl.core.tables import Table
from s2rctl.pipeline.processes import in_processes
from s2rctl.schema.launcher import Launcher as Settings
from s2rctl.stages.work import Launcher, Recipe, Spread, Work

if TYPE_CHECKING:
    from s2rctl.learning.student.distill import Collector

REMOTE = "ray://"
"""How the address of a Ray cluster elsewhere begins."""


class Local:
    """On this computer: one piece after the other in this process, or several at once in processes of their own."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()

    def run(self, pieces: Sequence[Work], reporter: Reporter) -> Iterator[Any]:
        """Run the pieces in their order."""
        at_once = min(self._settings.at_once, len(pieces))
        yield from _in_turn(pieces, reporter) if at_once < 2 else in_processes(pieces, at_once, reporter)

    def collector(self, recipes: Sequence[Recipe], params: Any, folder: Path) -> "AbstractContextManager[Collector]":
        """Return all groups in this process, one after the other."""
        from s2rctl.stages.distill_groups import here

        return here(recipes, params, folder)


def _in_turn(pieces: Sequence[Work], reporter: Reporter) -> Iterator[Any]:
    with interruptible() as interrupt:
        for number, piece in enumerate(pieces, 1):
            if interrupt.requested:  # the last piece had no moment left to heed it
                raise Interrupted("interrupted; what is finished is kept", f"to resume: {piece.resume}")
            reporter.note(f"{number}/{len(pieces)}: {piece.name}")
            yield piece.do(reporter)


# Each row is a function of the profile's section ``launcher`` that returns a Launcher.
LAUNCHERS = Table(
    "launcher",
    {
        "local": "s2rctl.pipeline.launch:Local",
        "ray": "s2rctl.pipeline.ray_launcher:Ray",
        "slurm": "s2rctl.pipeline.ray_launcher:Ray",
    },
)


def launcher_of(settings: Settings, on: str | None = None) -> Launcher:
    """Return the launcher that a profile's section describes, with ``on`` in place of its own; UsageError for no such.

    Nothing is started or connected to before it runs.
    """
    chosen = settings if on is None else settings.model_copy(update={"on": on})
    row = "ray" if chosen.on.startswith(REMOTE) and len(chosen.on) > len(REMOTE) else chosen.on
    launcher: Launcher = LAUNCHERS.load(row)(chosen)
    return launcher


def spread_of(settings: Settings, on: str | None = None, shards: int = 1) -> Spread | None:
    """Return who does what a stage can divide; None where there is nobody but this process.

    On this computer as many shards run at once as there are cores, unless the profile says how many.
    """
    if (on or settings.on) == "local" and shards == 1:
        return None
    at_once = settings.at_once if settings.at_once > 1 else os.cpu_count() or 1
    return Spread(launcher_of(settings.model_copy(update={"at_once": at_once}), on), shards)
