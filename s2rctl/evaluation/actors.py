"""Policies as evaluation sees them: functions of an observation, or of an observation and what was remembered.

Memory follows every observation of an episode, also while a pilot drives. It begins with the batch's episodes; that of
a world whose first episode is over no longer matters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from s2rctl.env.types import EnvState
from s2rctl.schema.contract import Memory, start
from s2rctl.tasks.protocol import Observation

Act = Callable[[Observation], np.ndarray | jax.Array]
"""A policy without memory: observation of B worlds -> action (B, n) in [-1, 1]."""
State = Mapping[str, Any]
"""Memory of B worlds by name, (B, *shape) each."""


@dataclass(frozen=True)
class Actor:
    """A policy with memory."""

    memory: tuple[Memory, ...]
    step: Callable[[Observation, State], tuple[np.ndarray | jax.Array, State]]
    """Observation and memory of B worlds -> action (B, n) in [-1, 1], and memory from then on with ``estimates``."""
    estimates: tuple[str, ...] = ()
    """Further outputs, returned with the memory: (B, k) each."""


@dataclass(frozen=True)
class Oracle:
    """What acts on the true state, as no policy can: a control of the worlds, never a policy that is judged."""

    act: Callable[[EnvState], np.ndarray | jax.Array]
    """State of B worlds -> action (B, n) in [-1, 1]."""


def as_actor(policy: Act | Actor) -> Actor:
    """Return any policy as one with memory, which may be none."""
    if isinstance(policy, Actor):
        return policy
    return Actor((), lambda observation, memory: (policy(observation), memory))


class Playing:
    """A policy in the episodes of B worlds, which begin now: it is told of every observation, in order."""

    def __init__(self, policy: Act | Actor | Oracle, worlds: int) -> None:
        self._oracle = policy if isinstance(policy, Oracle) else None
        self._actor = Actor((), _unasked) if isinstance(policy, Oracle) else as_actor(policy)
        self._memory: State = start(self._actor.memory, worlds)

    @property
    def estimates(self) -> dict[str, np.ndarray]:
        """The policy's last estimates, (B, k) by name."""
        return {name: np.asarray(self._memory[name]) for name in self._actor.estimates}

    @property
    def memory(self) -> State:
        """What the policy remembers, (B, *shape) by name."""
        return self._memory

    def of(self, state: EnvState) -> np.ndarray:
        """Return the action (B, n) in a state of B worlds: of its observation, unless an oracle acts."""
        return self(state.observation) if self._oracle is None else np.asarray(self._oracle.act(state))

    def __call__(self, observation: Observation) -> np.ndarray:
        """Return the action (B, n) and keep what the policy remembers."""
        action, self._memory = self._actor.step(observation, self._memory)
        return np.asarray(action)


def _unasked(observation: Observation, memory: State) -> tuple[np.ndarray, State]:
    raise TypeError("an oracle acts on states, not on observations")
