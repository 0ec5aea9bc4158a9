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
from s2rctl.robots.holding import fingers_of, holds
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.contract import Frame


class Truth(Protocol):
    """What the joints know of an estimate in B worlds that play episodes side by side."""

    def begin(self) -> None:
        """Start new episodes."""

    def error(self, state: EnvState, estimate: np.ndarray) -> np.ndarray:
        """Return how far off (B,) m an estimate (B, 3) m is; called at every step, in order. 0: nothing to estimate."""


def truth_of(env: VecEnv, specification: RobotSpecification, tool: str, frame: Frame) -> Truth:
    """Return what an estimate of a tool's position, or of the object that it holds, is compared with."""
    return ToolKinematics(env, specification, tool) if frame == "base" else InHand(env, specification, tool)


class InHand:
    """Implements ``Truth`` for the object that a hand holds: it is at the fingertips."""

    def __init__(self, env: VecEnv, specification: RobotSpecification, tool: str) -> None:
        fingers = fingers_of(specification, tool)
        if fingers is None:
            raise ValueError(f"'{tool}' has no fingers")
        joint, target = specification.joints[fingers.joint], specification.command[fingers.entry].name
        model = env.model
        self._position, self._speed = int(model.joint(joint).qposadr[0]), int(model.joint(joint).dofadr[0])
        self._target = int(model.actuator(target).id)

    def begin(self) -> None:
        """Start new episodes."""

    def error(self, state: EnvState, estimate: np.ndarray) -> np.ndarray:
        """Return the length (B,) m of the way to the object where the fingers hold something, else 0."""
        physics = state.physics
        position, speed, target = (
            np.asarray(values)[:, at]
            for values, at in (
                (physics.qpos, self._position),
                (physics.qvel, self._speed),
                (physics.ctrl, self._target),
            )
        )
        return np.where(holds(position, speed, target), np.linalg.norm(estimate, axis=1), 0.0)


class ToolKinematics:
    """Implements ``Truth`` for one tool of a robot in a VecEnv."""

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

    def error(self, state: EnvState, estimate: np.ndarray) -> np.ndarray:
        """Return the distance (B,) m of an estimate from where the tool was."""
        return np.asarray(np.linalg.norm(estimate - self.at_capture(state), axis=1))
