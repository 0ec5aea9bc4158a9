"""What a distillation is in between two iterations, and what one iteration collects."""

from typing import Any, NamedTuple

import jax
import numpy as np

from s2rctl.learning.student.network import Params

AVERAGED_SHARE = 0.1
"""Share of all iterations so far over which the student is averaged at most: early ones differ too much."""


class Snapshot(NamedTuple):
    """What a checkpoint keeps: a pytree."""

    params: Params
    average: Params | None  # of the last iterations, where the profile wants it: without the noise of single steps
    acting: Params  # the student that acts next, one iteration behind
    optimiser: Any
    env: Any
    memory: dict[str, Any]  # of the student that acts, by name (B, ...)
    iteration: np.ndarray  # () int64: iterations done
    replay: np.ndarray  # (2,) int64: Replay.position() of the aggregate buffer

    @property
    def student(self) -> Params:
        """The student so far: the averaged one, where there is one."""
        return self.params if self.average is None else self.average


class Samples(NamedTuple):
    """What one iteration collected."""

    env: Any  # the environment afterwards
    memory: dict[str, Any]  # likewise
    rows: dict[str, Any]  # (T, B, ...), labelled
    counts: dict[str, float]


def averaged(before: Params | None, newest: Params, over: float, iteration: int) -> Params | None:
    """Return the student averaged over about ``over`` iterations after one of them; None where none is averaged."""
    if before is None:
        return None
    over = min(over, AVERAGED_SHARE * iteration)
    kept = over / (1.0 + over)
    found: Params = jax.tree.map(lambda old, new: kept * old + (1.0 - kept) * new, before, newest)
    return found
