"""The policy on the robot computer: one ONNX file, checked against its own contract and against the robot."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from pydantic import ValidationError

from s2rctl.control.mismatch import camera_faults, card_faults, robot_faults
from s2rctl.core import onnx_file
from s2rctl.core.errors import ArtifactError
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.contract import Contract, Tensor, given, start
from s2rctl.schema.simulation import CameraSettings
from s2rctl.schema.tensors import CONTRACT_KEY

_DTYPES = {"uint8": "tensor(uint8)", "uint16": "tensor(uint16)", "float32": "tensor(float)"}
LARGEST_TENSOR = 1 << 26
"""Numbers in one input or output; the largest camera image has some million."""


class Policy:
    """An ONNX session with the contract it carries.

    ``cameras`` are those that the profile describes (None: not known here). Raises ArtifactError that names every
    disagreement between graph, contract, robot and cameras, and for a file that is not as it was exported: edited,
    without its seal, or with numbers in other files. The session uses one thread: the networks are small, and a second
    thread costs more in jitter than it saves.
    """

    def __init__(
        self,
        path: Path,
        specification: RobotSpecification,
        rate_hz: float,
        cameras: Sequence[CameraSettings] | None = None,
    ) -> None:
        content = onnx_file.read(path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.contract = card_in(content, path.name)
        self._session = _session(content, path.name)
        faults = [
            *_graph_faults("input", self._session.get_inputs(), self.contract.graph_inputs),
            *_graph_faults("output", self._session.get_outputs(), self.contract.graph_outputs),
            *card_faults(self.contract, specification),
            *robot_faults(self.contract, specification, rate_hz),
            *camera_faults(self.contract, cameras),
        ]
        if faults:
            raise ArtifactError(f"{path.name} does not fit: " + "; ".join(faults), onnx_file.HINT)
        self._outputs = [tensor.name for tensor in self.contract.graph_outputs]
        try:
            self.infer(self.zeros())  # the first run allocates; it must not happen while the robot waits
        except Exception as error:  # onnxruntime raises its own unrelated classes
            raise ArtifactError(f"{path.name} cannot run: {_line(error)}", onnx_file.HINT) from error

    def initial(self) -> dict[str, np.ndarray]:
        """Return the memory of an episode that begins, by name, each with a batch of one; {} for a policy without."""
        return start(self.contract.memory, 1)

    def zeros(self) -> dict[str, np.ndarray]:
        """Return inputs of zeros with a batch of one, and memory as an episode begins."""
        zeros = {
            tensor.name: np.zeros([1 if extent == "batch" else extent for extent in tensor.shape], tensor.dtype)
            for tensor in self.contract.inputs
        }
        return zeros | given(self.contract.memory, self.initial())

    def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name for inputs with a batch of one, memory among both; nothing is judged here."""
        values = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, values, strict=True))


def contract_of(path: Path) -> Contract:
    """Return the contract card of an ONNX file; ArtifactError if it has none, no seal, was edited, or cannot run."""
    content = onnx_file.read(path)
    card = card_in(content, path.name)
    _session(content, path.name)
    return card


def card_in(content: bytes, name: str) -> Contract:
    """Return the contract card of a serialised model without loading its graph; ArtifactError as ``contract_of``."""
    text = onnx_file.check(content, name).get(CONTRACT_KEY)
    if not text:
        raise ArtifactError(f"{name} has no contract card ({CONTRACT_KEY})", onnx_file.HINT)
    try:
        return Contract.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{name}: the contract card is invalid at {where}: {first['msg']}", onnx_file.HINT
        ) from error


def _session(content: bytes, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own unrelated classes
        raise ArtifactError(f"{name} is not an ONNX graph that can run: {_line(error)}", onnx_file.HINT) from error


def _line(error: Exception) -> str:
    """Return what an error of another library says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _graph_faults(kind: str, nodes: Sequence[onnxruntime.NodeArg], tensors: Sequence[Tensor]) -> list[str]:
    """Return what the graph's inputs or outputs and the contract disagree about."""
    found, promised = {node.name: node for node in nodes}, {tensor.name: tensor for tensor in tensors}
    faults = [f"{kind} '{name}' is not in the contract" for name in found.keys() - promised.keys()]
    for name, tensor in promised.items():
        node = found.get(name)
        if node is None:
            faults.append(f"{kind} '{name}' of the contract is not in the graph")
            continue
        if node.type != _DTYPES[tensor.dtype]:
            faults.append(f"{kind} '{name}' is {node.type}, the contract says {tensor.dtype}")
        extents = [1 if extent == "batch" else extent for extent in tensor.shape]
        if min(extents, default=1) < 1 or math.prod(extents) > LARGEST_TENSOR:
            faults.append(f"{kind} '{name}' has the impossible shape {list(tensor.shape)}")
        shape = list(node.shape)
        same = len(shape) == len(tensor.shape) and all(
            not isinstance(is_, int) or should == is_ or (should == "batch" and is_ == 1)
            for is_, should in zip(shape, tensor.shape, strict=False)
        )
        if not same:
            faults.append(f"{kind} '{name}' has shape {shape}, the contract says {list(tensor.shape)}")
    return sorted(faults)
