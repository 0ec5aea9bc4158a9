"""Experts: scripted privileged controllers that can label any state with a good action."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from s2rctl.core.tables import Table

if TYPE_CHECKING:
    from s2rctl.schema.profile import Profile

# Each row is a function (settings: TaskSettings) -> Expert: World -> action, of one world, stateless, pure JAX.
EXPERTS = Table(
    "expert",
    {
        "pick": "s2rctl.experts.pick:make",
        "insertion": "s2rctl.experts.insertion:make",
        "reach": "s2rctl.experts.reach:make",
    },
    group="s2rctl.experts",
    fits=callable,
)


def make_expert(profile: "Profile", task: str) -> Callable[[Any], Any]:
    """Return the expert of a task as the profile describes it: World of one world -> action (n,) in [-1, 1]."""
    from s2rctl.env.build import make_model, task_settings

    expert: Callable[[Any], Any] = EXPERTS.load(task)(task_settings(profile, task, make_model(profile, task)))
    return expert
