"""What the joints know as the reference of a policy's estimates, in simulated episodes.

The environment delays observations, so the tool's position is looked up at the same time. It comes from the robot's
nominal kinematics, as on the robot computer, even where a world's own links differ.
"""

from collections import deque
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.types import EnvState
from s2rctl.env.vec_env import VecEnv
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.contract import Frame


class Kinematics(Protocol):
    """A tool's position in B worlds that play episodes side by side."""

    def begin(self) -> None:
        """Start new episodes."""

    def at_capture(self, state: EnvState) -> np.ndarray:
        """Return the tool's position (B, 3) m when the observation was captured; called at every step, in order."""


def reference(env: VecEnv, specification: RobotSpecification, tool: str, frame: Frame) -> Kinematics:
    """Return what an estimate of a tool's position, or of what it holds, is compared with."""
    return ToolKinematics(env, specification, tool) if frame == "base" else AtFingertips()


class AtFingertips:
    """Implements ``Kinematics`` for what a hand holds, from its fingertips."""

    def begin(self) -> None:
        """Start new episodes."""

    def at_capture(self, state: EnvState) -> np.ndarray:
        """Return the way (B, 3) m: none."""
        return np.zeros((len(state.step), 3))


class ToolKinematics:
    """Implements ``Kinematics`` for one tool of a robot in a VecEnv."""

    def __init__(self, env: VecEnv, specification: RobotSpecification, tool: str) -> None:
        addresses = np.array([int(env.model.joint(name).qposadr[0]) for name in specification.joints])
        kinematics = specification.kinematics
        self._place = jax.jit(jax.vmap(lambda qpos: kinematics.point(tool, qpos[addresses], jnp)))
        self._places: deque[np.ndarray] = deque(maxlen=len(env.delays.observation))  # newest first

    def begin(self) -> None:
        """Start new episodes."""
        self._places.clear()

    def at_capture(self, state: EnvState) -> np.ndarray:
        """Return the tool's position (B, 3) m when the observation was captured; called at every step, in order."""
        self._places.appendleft(np.asarray(self._place(state.physics.qpos)))
        late = np.minimum(np.asarray(state.lag), np.asarray(state.step))
        return np.stack(self._places)[late, np.arange(len(late))]
