"""How far what a policy tells of its images is from what the joints say, in simulated episodes.

An observation is as late as the environment makes it, so the joints are looked up for the same time. Positions come
from the robot's nominal kinematics, as on the robot computer, whatever the world's own links are.
"""

from collections import deque
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.types import EnvState
from s2rctl.env.vec_env import VecEnv
from s2rctl.robots.protocol import RobotSpecification


class Joints(Protocol):
    """What the joints say of B worlds that play episodes side by side."""

    def begin(self) -> None:
        """Forget all: episodes begin."""

    def pictured(self, state: EnvState) -> np.ndarray:
        """Return where the tool was (B, 3) m when what ``state`` shows was measured; asked at every step, in order."""


class ToolByJoints:
    """Implements ``Joints`` for one tool of a robot in a VecEnv."""

    def __init__(self, env: VecEnv, specification: RobotSpecification, tool: str) -> None:
        addresses = np.array([int(env.model.joint(name).qposadr[0]) for name in specification.joints])
        kinematics = specification.kinematics
        self._place = jax.jit(jax.vmap(lambda qpos: kinematics.point(tool, qpos[addresses], jnp)))
        self._places: deque[np.ndarray] = deque(maxlen=len(env.delays.observation))  # newest first

    def begin(self) -> None:
        """Forget all: episodes begin."""
        self._places.clear()

    def pictured(self, state: EnvState) -> np.ndarray:
        """Return where the tool was (B, 3) m when what ``state`` shows was measured; asked at every step, in order."""
        self._places.appendleft(np.asarray(self._place(state.physics.qpos)))
        late = np.minimum(np.asarray(state.lag), np.asarray(state.step))
        return np.stack(self._places)[late, np.arange(len(late))]
