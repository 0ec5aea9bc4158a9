"""Tasks: pure single-world functions over typed signals."""

from s2rctl.core.tables import Table

# Each row is a function (settings: TaskSettings) -> Task.
TASKS = Table(
    "task",
    {
        "pick": "s2rctl.tasks.pick:make",
        "insertion": "s2rctl.tasks.peg_insertion:make",
        "reach": "s2rctl.tasks.reach:make",
    },
    group="s2rctl.tasks",
    fits=callable,
)
