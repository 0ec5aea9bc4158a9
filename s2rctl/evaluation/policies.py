"""A policy as evaluation calls it, from an ONNX file and its contract."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from s2rctl.core import onnx_file
from s2rctl.core.errors import ArtifactError
from s2rctl.evaluation.actors import Act, Actor, State
from s2rctl.schema.contract import Contract, given, taken
from s2rctl.schema.tensors import ACTION, OBSERVATION, is_memory, memory_out
from s2rctl.tasks.protocol import Observation


def is_physical(contract: Contract) -> bool:
    """Return whether the action is in a unit, such as metres, instead of in [-1, 1]."""
    return any(t.name == ACTION and t.unit not in ("", "1") for t in contract.outputs)


def onnx_policy(content: bytes, contract: Contract, estimates: Sequence[str] | None = None) -> Act | Actor:
    """Return a serialised ONNX graph as a function from observations (and memory) to actions in [-1, 1].

    Inputs are taken by name from ``Observation.inputs``; a graph over the teacher's observation has one input named
    ``observation``. An action in physical units is divided by the contract's scale. ``estimates`` are outputs to return
    beside the action; by default those that the contract has figures of. ArtifactError for a file that is not as it was
    exported, that cannot run, or whose memory is not the contract's.
    """
    import onnxruntime

    onnx_file.check(content, "the policy's ONNX file")
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own unrelated classes
        raise ArtifactError(f"the policy's ONNX file cannot run: {error}", onnx_file.HINT) from error
    names = [tensor.name for tensor in session.get_inputs() if not is_memory(tensor.name)]
    _require_memory(session, contract)
    scale = np.asarray(contract.action_scale, np.float32) if is_physical(contract) else np.float32(1)

    extra = tuple(item.output for item in contract.estimates) if estimates is None else tuple(estimates)
    wanted = [ACTION, *extra, *(memory_out(item.name) for item in contract.memory)]

    def step(observation: Observation, memory: State) -> tuple[np.ndarray, State]:
        before = {name: np.asarray(value) for name, value in given(contract.memory, memory).items()}
        feeds = {name: _feed(observation, name) for name in names} | before
        found = dict(zip(wanted, session.run(wanted, feeds), strict=True))
        beside = taken(contract.memory, found) | {name: found[name] for name in extra}
        return np.clip(np.asarray(found[ACTION]) / scale, -1, 1), beside

    if contract.memory or extra:
        return Actor(contract.memory, step, extra)
    return lambda observation: step(observation, {})[0]


def _require_memory(session: Any, contract: Contract) -> None:
    """Raise ArtifactError unless the graph has exactly the memory that the contract declares."""
    for kind, nodes, tensors in (
        ("input", session.get_inputs(), contract.graph_inputs),
        ("output", session.get_outputs(), contract.graph_outputs),
    ):
        found = {node.name: list(node.shape[1:]) for node in nodes if is_memory(node.name)}
        promised = {tensor.name: list(tensor.shape[1:]) for tensor in tensors if is_memory(tensor.name)}
        for name in sorted(found.keys() | promised.keys()):
            if found.get(name) != promised.get(name):
                raise ArtifactError(
                    f"the policy's {kind} '{name}' is {found.get(name, 'missing')} in the graph and "
                    f"{promised.get(name, 'missing')} in the contract",
                    onnx_file.HINT,
                )


def _feed(observation: Observation, name: str) -> np.ndarray:
    if name == OBSERVATION:
        return np.asarray(observation.actor)
    if name not in observation.inputs:
        known = ", ".join(sorted(observation.inputs))
        raise ArtifactError(
            f"the policy requires the input '{name}', the environment provides {known}",
            "evaluate the policy with the profile it was trained with",
        )
    return np.asarray(observation.inputs[name])
