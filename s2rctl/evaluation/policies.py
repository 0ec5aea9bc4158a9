"""A policy as evaluation calls it, from an ONNX file and its contract."""

import numpy as np

from s2rctl.core import onnx_file
from s2rctl.core.errors import ArtifactError
from s2rctl.evaluation.episodes import Act
from s2rctl.schema.contract import Contract
from s2rctl.tasks.protocol import Observation


def is_physical(contract: Contract) -> bool:
    """Return whether the action is in a unit, such as metres, instead of in [-1, 1]."""
    return any(t.name == "action" and t.unit not in ("", "1") for t in contract.outputs)


def onnx_policy(content: bytes, contract: Contract) -> Act:
    """Return a serialised ONNX graph as a function from observations to actions in [-1, 1].

    Inputs are taken by name from ``Observation.inputs``; a graph over the teacher's observation has one input named
    ``observation``. An action in physical units is divided by the contract's scale. ArtifactError for a file that is
    not as it was exported, or that cannot run.
    """
    import onnxruntime

    onnx_file.check(content, "the policy's ONNX file")
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own unrelated classes
        raise ArtifactError(f"the policy's ONNX file cannot run: {error}", onnx_file.HINT) from error
    names = [tensor.name for tensor in session.get_inputs()]
    scale = np.asarray(contract.action_scale, np.float32) if is_physical(contract) else np.float32(1)

    def act(observation: Observation) -> np.ndarray:
        feeds = {name: _feed(observation, name) for name in names}
        (action,) = session.run(["action"], feeds)
        return np.clip(np.asarray(action) / scale, -1, 1)

    return act


def _feed(observation: Observation, name: str) -> np.ndarray:
    if name == "observation":
        return np.asarray(observation.actor)
    if name not in observation.inputs:
        known = ", ".join(sorted(observation.inputs))
        raise ArtifactError(
            f"the policy wants the input '{name}', the environment offers {known}",
            "evaluate the policy with the profile it was trained with",
        )
    return np.asarray(observation.inputs[name])
