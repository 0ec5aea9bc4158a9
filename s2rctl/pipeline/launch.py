"""Where the cells of a sweep run: a launcher is one file and one line in the table."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import interruptible
from s2rctl.core.progress import Reporter
from s2rctl.core.tables import Table
from s2rctl.pipeline.cells import Result, Task, run_cell


class Launcher(Protocol):
    """Runs cells. Tasks and results are plain data; a launcher decides where and how many at once."""

    def run(self, tasks: Sequence[Task], reporter: Reporter) -> Iterator[Result]:
        """Yield how each cell ended, as soon as it has, in any order; a lost worker is a failed cell.

        Interrupted (Ctrl-C) is the only error that is raised.
        """


class Local:
    """One cell after the other, in this process."""

    def run(self, tasks: Sequence[Task], reporter: Reporter) -> Iterator[Result]:
        """Run the cells in their order."""
        with interruptible() as interrupt:
            for number, task in enumerate(tasks, 1):
                if interrupt.requested:  # the last cell had no moment left to heed it
                    raise Interrupted("the sweep was interrupted; finished cells are kept", f"to resume: {task.resume}")
                reporter.note(f"cell {number}/{len(tasks)}: {task.name}")
                yield run_cell(task, reporter)


# Each row is a function without arguments that returns a Launcher.
LAUNCHERS = Table("launcher", {"local": "s2rctl.pipeline.launch:Local"})
