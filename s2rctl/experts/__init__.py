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

# Rows as in EXPERTS, for tasks that hide something from their cameras (``Task.blind``): what to do there so that who
# cannot see it finds out by touch, (World, whether it has felt () bool) -> action.
BY_TOUCH = Table(
    "expert by touch",
    {"insertion": "s2rctl.experts.insertion:make_by_touch"},
    group="s2rctl.experts_by_touch",
    fits=callable,
)


def make_expert(profile: "Profile", task: str, *, by_touch: bool = False) -> Callable[..., Any]:
    """Return the expert of a task as the profile describes it: World of one world -> action (n,) in [-1, 1].

    ``by_touch``: the one of BY_TOUCH, (World, whether it has felt) -> action.
    """
    from s2rctl.env.build import make_model, task_settings

    rows = BY_TOUCH if by_touch else EXPERTS
    expert: Callable[..., Any] = rows.load(task)(task_settings(profile, task, make_model(profile, task)))
    return expert
