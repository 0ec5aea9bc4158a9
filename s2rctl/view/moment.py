"""What the page can show, whoever delivers it: a policy in its environment or a recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Look:
    """What an episode looks like."""

    rgba: np.ndarray  # (ngeom, 4) in [0, 1]
    size: np.ndarray  # (ngeom, 3) m


@dataclass(frozen=True)
class Eye:
    """A camera of the policy in the scene."""

    position: np.ndarray  # (3,) m, world
    rotation: np.ndarray  # (3, 3), MuJoCo axes: looks along -z
    fovy_deg: float
    aspect: float = 1.0  # width over height


@dataclass(frozen=True)
class Moment:
    """One control step; bodies and contacts are in the show's ``data``."""

    words: Mapping[str, str]  # name -> what stands beside it on the page
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)  # camera -> (H, W, 3) uint8
    points: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> (3,) m: goals and estimates, base frame
    eyes: Mapping[str, Eye] = field(default_factory=dict)
    look: Look | None = None  # None: the model's own
    limited: bool = False  # whether the safety filter changed the command
    step: int = 0  # of the episode
    last: bool = False  # whether there is nothing after it, for now


class Show(Protocol):
    """Delivers moments. Not for several threads: whoever calls it is its only caller."""

    model: Any  # mujoco.MjModel
    data: Any  # mujoco.MjData of the last moment
    robot: str  # row of robots.ROBOTS
    period_s: float  # of control
    workspace: tuple[np.ndarray, np.ndarray] | None  # corners (3,) m of the tool's box, base frame

    @property
    def title(self) -> str:
        """What is shown."""

    def begin(self) -> Moment:
        """Return the first moment; what has to be compiled is compiled here."""

    def advance(self) -> Moment:
        """Return the moment one control step later, of the last one that moment again."""
