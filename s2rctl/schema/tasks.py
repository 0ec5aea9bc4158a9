"""Profile sections ``tasks.<name>``: what a task is, apart from how a policy for it is learned."""

from typing import Annotated

from pydantic import AfterValidator, Field

from s2rctl.schema.base import Line, Model, Range, quantity, within
from s2rctl.schema.dynamics import Dynamics
from s2rctl.schema.simulation import Delays, Noise

Rewards = Annotated[dict[Line, float], Field(max_length=64), AfterValidator(within(-1e6, 1e6))]


class TaskSection(Model):
    """What every task has. The environment of training, evaluation, rehearsal and live runs is built from it."""

    episode_steps: int = quantity(160, "step", "episode length", ge=1, le=10_000)
    action_scale: float = quantity(
        0.02, "rad, m", "change of each commanded target per control step at |action| = 1", ge=1e-5, le=1
    )
    delays: Delays = Delays()
    dynamics: Dynamics = Dynamics()
    rewards: Rewards = quantity({}, "", "reward weights that replace the task's own")

    @property
    def goal_range(self) -> float | None:
        """Goals lie within ± this (m) of the tool's home on each axis; None: the task has no goals."""
        return None


class HandlingTask(TaskSection):
    """A task whose teacher sees objects by noisy measurements of their poses."""

    noise: Noise = Noise()
    tracking: bool = quantity(False, "", "whether the teacher sees objects through a tracker or each noisy measurement")


class ReachTask(TaskSection):
    """Bringing the tool to a point in space."""

    episode_steps: int = quantity(50, "step", "episode length", ge=1, le=10_000)
    action_scale: float = quantity(
        0.03, "m", "displacement of the tool's target per control step at |action| = 1", ge=1e-5, le=1
    )
    planner: Annotated[Range, AfterValidator(within(0.01, 100))] | None = quantity(
        None,
        "",
        "the arm follows its target as the controller's planner does; each episode's acceleration lies between these "
        "multiples of robot.tool_acceleration; null: it is there at once",
    )
    goal_range_m: float = quantity(0.15, "m", "goals lie within ± this of the tool's home on each axis", ge=0.1, le=0.2)
    threshold_m: float = quantity(0.05, "m", "an episode that ends this close is a success", ge=1e-4, le=2)

    @property
    def goal_range(self) -> float | None:
        """The profile's."""
        return self.goal_range_m


class TaskSections(Model):
    """The tasks of a system, one field each, named like the task."""


class AlohaTasks(TaskSections):
    """Gripping with one arm, and inserting with both."""

    pick: HandlingTask = HandlingTask()
    insertion: HandlingTask = HandlingTask()


class ReachTasks(TaskSections):
    """Reaching."""

    reach: ReachTask = ReachTask()
