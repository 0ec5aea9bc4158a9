"""One client's episode on the policy server: the same inputs, filter and integration as the loop on the robot.

The state belongs to the connection: last command, latched flag, tracking, the policy's memory. OpenPI's client tells
the server nothing when an episode begins, so a pause of ``EPISODE_GAP_S`` between observations, or ``reset: True`` in
one, begins it.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s2rctl.control.loop import Infer
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.openpi.layout import Layout, Observation
from s2rctl.control.safety import Memory, SafetyFilter
from s2rctl.control.timing import Timings
from s2rctl.core.errors import UsageError
from s2rctl.robots.poses import tool_poses
from s2rctl.robots.protocol import RobotSpecification, State
from s2rctl.schema.tensors import ACTION

EPISODE_GAP_S = 1.0


@dataclass
class Figures:
    """What the server did, of all clients."""

    connections: int = 0
    requests: int = 0
    errors: int = 0
    interventions: Counter[str] = field(default_factory=Counter)
    timings: Timings = field(default_factory=Timings)


class Session:
    """Answers the observations of one connection. Not to be shared between threads."""

    def __init__(
        self,
        policy: Infer,
        builder: ObservationBuilder,
        guard: SafetyFilter,
        layout: Layout,
        specification: RobotSpecification,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy, self._builder, self._filter, self._layout = policy, builder, guard, layout
        self._spec, self._clock = specification, clock
        self._memory: Memory | None = None
        self._previous = 0.0
        self.figures = Figures(connections=1)

    def reset(self) -> None:
        """Begin a new episode with the next observation."""
        self._memory = None

    def infer(self, message: Any) -> dict[str, Any]:
        """Return ``actions`` (1, m): the absolute target to send next; raises S2rError for what cannot be used."""
        begun = time.perf_counter()
        observation = self._layout.read(message)
        now = self._clock()
        if self._memory is not None and self._memory_is_old(message, now):
            self.reset()
        self._previous = now
        state = self._state(observation, now)
        if self._memory is None:
            self._builder.reset()
            self._memory = self._filter.start(state)
        inputs = self._builder.build(state, observation.frames, self._memory.last, observation.goal)
        t0 = time.perf_counter()
        outputs = self._policy.infer(inputs)
        t1 = time.perf_counter()
        # A client tells no frame times: each observation is a new one.
        self._builder.remember(outputs, timed=False)
        action = np.asarray(outputs[ACTION], float)[0]
        self._memory, verdict = self._filter.step(self._memory, action, state, observation.ages)
        figures = self.figures
        figures.requests += 1
        figures.interventions.update(verdict.interventions)
        figures.timings.add("inference", t1 - t0)
        figures.timings.add("request", time.perf_counter() - begun)
        return {
            "actions": self._layout.write(verdict.target, observation.aloha),
            "interventions": list(verdict.interventions),
        }

    def _memory_is_old(self, message: Any, now: float) -> bool:
        reset = message.get("reset", False)
        if not isinstance(reset, bool | int | np.bool_ | None):
            raise UsageError("'reset' must be true or false")
        return bool(reset) or now - self._previous > EPISODE_GAP_S

    def _state(self, observation: Observation, now: float) -> State:
        joints = observation.joint_pos
        finite = np.nan_to_num(joints)  # the filter sees the joints as they are and refuses them
        return State(now, joints, observation.joint_vel, tool_poses(self._spec, finite))
