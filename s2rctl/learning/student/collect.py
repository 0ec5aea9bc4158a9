"""Acting and labelling in groups of worlds: one after the other here, or each on a core or machine of its own.

A group draws from a seed of its own, so what it collects depends on its number, the iterations it has seen and the
students that acted, and not on where it is. The learner waits for all groups, in their order: samples, and with them
the student, are the same wherever the groups are.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np

from s2rctl.learning.student.distill import Distiller
from s2rctl.learning.student.network import Params
from s2rctl.learning.student.snapshot import Samples, Snapshot


class Member(Protocol):
    """A group, or what stands for one that is elsewhere."""

    def ask(self, iteration: int, acting: Params) -> None:
        """Let it act for one iteration with this student; of its parameters, those that learning changes."""

    def take(self) -> Samples:
        """Return what it collected when it was last asked; ``env`` and ``memory`` stay with it."""


class Group:
    """Worlds that remember where they are. ``params`` are a student's, from which what is not sent is taken."""

    def __init__(self, distiller: Distiller, params: Params) -> None:
        self._distiller, self._params = distiller, params
        self._env: Any = None
        self._memory: dict[str, Any] = {}
        self._asked: tuple[int, Params] | None = None

    def ask(self, iteration: int, acting: Params) -> None:
        """Note what is asked for; it is done when it is taken."""
        self._asked = iteration, acting

    def take(self) -> Samples:
        """Act and label."""
        assert self._asked is not None
        iteration, acting = self._asked
        if self._env is None:
            self._env, self._memory = self._distiller.begin()
        params = {**self._params, **acting}
        number = np.array(iteration, np.int64)
        state = Snapshot(params, None, params, None, self._env, self._memory, number, np.zeros(2, np.int64))
        samples = self._distiller.collect(state)
        self._env, self._memory = samples.env, samples.memory
        return samples._replace(env={}, memory={})


class Groups:
    """All groups as one collector. ``fixed`` names the parts of a student that learning does not change."""

    def __init__(self, members: Sequence[Member], fixed: Sequence[str] = ()) -> None:
        self._members, self._fixed = tuple(members), frozenset(fixed)

    def collect(self, snapshot: Snapshot) -> Samples:
        """Let all groups act at once, as far as they are in different places, and put their samples together."""
        sent = {name: value for name, value in snapshot.acting.items() if name not in self._fixed}
        acting = self.shared(jax.tree.map(np.asarray, sent))
        for member in self._members:
            member.ask(int(snapshot.iteration), acting)
        return together([member.take() for member in self._members])

    def shared(self, acting: Params) -> Any:
        """Return what every member is asked with."""
        return acting


def together(parts: Sequence[Samples]) -> Samples:
    """Return the samples of all groups as those of so many worlds more, in the groups' order."""
    rows = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *(part.rows for part in parts))
    counts = {name: sum(part.counts[name] for part in parts) for name in parts[0].counts}
    counts["switched"] /= len(parts)  # a share of the worlds; groups are of one size
    return Samples({}, {}, rows, counts)
