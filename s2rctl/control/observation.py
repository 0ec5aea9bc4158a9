"""The policy's inputs from what the robot and the cameras measured."""

from collections.abc import Mapping

import numpy as np

from s2rctl.control.switch import Switch
from s2rctl.core.errors import ArtifactError
from s2rctl.robots.protocol import Frame, RobotSpecification, State
from s2rctl.schema.contract import Contract

_KNOWN = ("joint_pos", "joint_vel", "joint_target", "switched", "goal")


class ObservationBuilder:
    """Builds the named tensors that a contract asks for; raises ArtifactError for one that no source provides."""

    def __init__(self, contract: Contract, specification: RobotSpecification) -> None:
        names = [tensor.name for tensor in contract.inputs]
        unknown = [name for name in names if name not in _KNOWN and not name.startswith(("rgb_", "depth_"))]
        if unknown:
            raise ArtifactError(
                f"the policy wants inputs that the robot computer cannot provide: {', '.join(unknown)}",
                "export the policy with inputs that only use real signals",
            )
        self._inputs = {tensor.name: tensor for tensor in contract.inputs}
        self.switch = Switch(specification) if "switched" in names else None
        self.cameras = tuple(
            dict.fromkeys(name.split("_", 1)[1] for name in names if name.startswith(("rgb_", "depth_")))
        )
        self.needs_goal = "goal" in names

    def reset(self) -> None:
        """Start an episode."""
        if self.switch:
            self.switch.reset()

    def build(
        self, state: State, frames: Mapping[str, Frame], target: np.ndarray, goal: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Return the inputs with a batch of one.

        ``target`` (m,) is the last command; ``goal`` (3,) m in the base frame. Raises ArtifactError when an image does
        not have the contract's size.
        """
        values: dict[str, np.ndarray | None] = {
            "joint_pos": state.joint_pos,
            "joint_vel": state.joint_vel,
            "joint_target": target,
            "goal": goal,
        }
        if self.switch:
            values["switched"] = np.array([self.switch.update(state.joint_pos)], np.float32)
        for name, frame in frames.items():
            values[f"rgb_{name}"], values[f"depth_{name}"] = frame.rgb, frame.depth
        return {name: self._fit(name, values.get(name)) for name in self._inputs}

    def _fit(self, name: str, value: np.ndarray | None) -> np.ndarray:
        tensor = self._inputs[name]
        if value is None:
            raise ArtifactError(f"there is no value for the policy's input '{name}'")
        if value.shape != tuple(tensor.shape[1:]):
            raise ArtifactError(f"input '{name}' has shape {value.shape}, the policy wants {tensor.shape[1:]}")
        return np.ascontiguousarray(value, dtype=tensor.dtype)[None]
