"""The policy's inputs from what the robot and the cameras measured, and what the policy remembers.

A policy with memory is given it back at the next inference, and at an episode's start as its contract says. Where no
camera has delivered a new frame since the inference before, the policy is asked all the same, for the joints move on;
what it then remembers is dropped, for it has seen nothing new: its memory counts frames, not steps. Policies without
cameras remember every step.
"""

from collections.abc import Mapping

import numpy as np

from s2rctl.control.switch import Switch
from s2rctl.core.errors import ArtifactError, SafetyStop
from s2rctl.robots.protocol import Frame, RobotSpecification, State
from s2rctl.schema.contract import Contract, given, start, taken
from s2rctl.schema.tensors import (
    GOAL,
    JOINT_POS,
    JOINT_TARGET,
    JOINT_VEL,
    QUANTITIES,
    SWITCHED,
    depth_name,
    image_of,
    rgb_name,
)


class ObservationBuilder:
    """Builds the named tensors that a contract asks for; raises ArtifactError for one that no source provides."""

    def __init__(self, contract: Contract, specification: RobotSpecification) -> None:
        names = [tensor.name for tensor in contract.inputs]
        real = {name for name, quantity in QUANTITIES.items() if quantity.real}
        images = {name: image for name in names if (image := image_of(name)) is not None}
        unknown = [name for name in names if name not in real and name not in images]
        if unknown:
            raise ArtifactError(
                f"the policy requires inputs that the robot computer cannot provide: {', '.join(unknown)}",
                "export the policy with inputs that only use real signals",
            )
        self._inputs = {tensor.name: tensor for tensor in contract.inputs}
        self.switch = Switch(specification) if SWITCHED in names else None
        self.cameras = tuple(dict.fromkeys(image.camera for image in images.values()))
        self.needs_goal = GOAL in names
        self._declared = contract.memory
        self.reset()

    def reset(self) -> None:
        """Start an episode."""
        if self.switch:
            self.switch.reset()
        self._memory = self._handed_out = start(self._declared, 1)
        self._seen: dict[str, float] | None = None  # times of the frames of the inference before
        self._shown: dict[str, float] = {}  # and of this one

    @property
    def memory(self) -> Mapping[str, np.ndarray]:
        """The memory that the last inputs held, by name, with a batch of one; empty for a policy without."""
        return self._handed_out

    def build(
        self, state: State, frames: Mapping[str, Frame], target: np.ndarray, goal: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Return the inputs with a batch of one, memory among them.

        ``target`` (m,) is the last command; ``goal`` (3,) m in the base frame. Raises ArtifactError when an image does
        not have the contract's size.
        """
        self._shown = {name: frames[name].t for name in self.cameras if name in frames}
        self._handed_out = self._memory
        values: dict[str, np.ndarray | None] = {
            JOINT_POS: state.joint_pos,
            JOINT_VEL: state.joint_vel,
            JOINT_TARGET: target,
            GOAL: goal,
        }
        if self.switch:
            values[SWITCHED] = np.array([self.switch.update(state.joint_pos)], np.float32)
        for name, frame in frames.items():
            values[rgb_name(name)], values[depth_name(name)] = frame.rgb, frame.depth
        inputs = {name: self._fit(name, values.get(name)) for name in self._inputs}
        return inputs | given(self._declared, self._memory)

    def remember(self, outputs: Mapping[str, np.ndarray], *, timed: bool = True) -> None:
        """Keep what the policy remembers after the inputs that were built last, unless they showed nothing new.

        ``timed`` False: the frames carry no times, and each is taken for a new one. Raises SafetyStop for memory that
        is not finite: no later step could be trusted.
        """
        if not self._declared:
            return
        stale = timed and bool(self.cameras) and self._shown == self._seen
        self._seen = self._shown
        if stale:
            return
        memory = taken(self._declared, outputs)
        for name, value in memory.items():
            if not np.isfinite(value).all():
                raise SafetyStop(f"the policy's memory '{name}' is not finite", "train the policy again")
        self._memory = memory

    def _fit(self, name: str, value: np.ndarray | None) -> np.ndarray:
        tensor = self._inputs[name]
        if value is None:
            raise ArtifactError(f"there is no value for the policy's input '{name}'")
        if value.shape != tuple(tensor.shape[1:]):
            raise ArtifactError(f"input '{name}' has shape {value.shape}, the policy expects {tensor.shape[1:]}")
        return np.ascontiguousarray(value, dtype=tensor.dtype)[None]
