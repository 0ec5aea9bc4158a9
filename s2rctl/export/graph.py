"""A policy as one pure function of raw sensor tensors, and that function as one self-contained ONNX graph."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import ArtifactError
from s2rctl.core.tables import Table
from s2rctl.learning.policy_files import Policy
from s2rctl.learning.policy_kinds import upgraded_student
from s2rctl.learning.reach import networks as reach_networks
from s2rctl.learning.reach.networks import ReachSettings
from s2rctl.learning.student import network as student
from s2rctl.learning.student import objects
from s2rctl.learning.student.settings import StudentSettings
from s2rctl.schema.contract import Memory
from s2rctl.schema.tensors import ACTION, OBSERVATION, POSITION, memory_in, memory_out
from s2rctl.tasks.protocol import Observation

Arrays = Mapping[str, Any]

# Each row makes a loaded policy a graph.
GRAPHS = Table(
    "exportable policy kind",
    {
        "student": "s2rctl.export.graph:of_student",
        "reach": "s2rctl.export.graph:of_reach",
        "teacher": "s2rctl.export.graph:of_teacher",
    },
    group="s2rctl.policy_graphs",
)


@dataclass(frozen=True)
class Graph:
    """What is exported: named inputs (shape without batch, dtype), output sizes, and the function between them.

    ``call`` takes and gives memory, too, under the graph's names for it.
    """

    inputs: Mapping[str, tuple[tuple[int, ...], str]]
    outputs: Mapping[str, int]
    call: Callable[[Arrays], dict[str, jax.Array]]
    memory: tuple[Memory, ...] = ()

    @property
    def all_inputs(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape without batch and dtype of every input, memory last."""
        return {**self.inputs, **{memory_in(item.name): (item.shape, item.dtype) for item in self.memory}}

    @property
    def all_outputs(self) -> tuple[str, ...]:
        """Names of all outputs, memory last."""
        return (*self.outputs, *(memory_out(item.name) for item in self.memory))

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return all outputs computed by JAX in float32 at the highest precision of matrix products."""
        with jax.default_matmul_precision("highest"):
            found = jax.jit(self.call)({name: jnp.asarray(inputs[name]) for name in self.all_inputs})
        return {name: np.asarray(found[name]) for name in self.all_outputs}


def of_policy(policy: Policy) -> Graph:
    """Return a loaded policy as a graph; ArtifactError for a kind that cannot be exported."""
    if policy.kind not in GRAPHS.names():
        raise ArtifactError(f"a policy of kind '{policy.kind}' cannot be exported", "export a policy of another kind")
    graph: Graph = GRAPHS.load(policy.kind)(policy)
    return graph


def of_student(policy: Policy) -> Graph:
    """Return a loaded student as a graph."""
    return student_graph(StudentSettings.model_validate(upgraded_student(policy.config)), policy.params)


def of_reach(policy: Policy) -> Graph:
    """Return a loaded reach policy as a graph."""
    return reach_graph(ReachSettings.model_validate(policy.config), policy.params)


def of_teacher(policy: Policy) -> Graph:
    """Return a loaded teacher as a graph."""
    # here, because it loads brax and with it MJX and warp, three seconds that no other kind needs
    from s2rctl.learning.teacher.networks import TeacherSettings

    shape = TeacherSettings.model_validate(policy.config)
    return observation_graph(policy.reflex(), shape.observation_size, shape.action_size)


def remembering_graph(policy: Policy, inputs: Mapping[str, tuple[tuple[int, ...], str]], actions: int) -> Graph:
    """Return any policy over named inputs, with its memory -> ``action`` (N, actions) in [-1, 1].

    ``inputs`` is shape without batch and dtype of each by name; ``observation`` is what the task gives to the actor.
    """

    def call(arrays: Arrays) -> dict[str, jax.Array]:
        seen = {name: arrays[name] for name in inputs}
        state = seen.get(OBSERVATION, jnp.zeros((1, 0), jnp.float32))
        before = {item.name: arrays[memory_in(item.name)] for item in policy.memory}
        action, after = policy.step(Observation(actor=state, critic=state, inputs=seen), before)
        return {ACTION: action, **{memory_out(item.name): after[item.name] for item in policy.memory}}

    return Graph(inputs, {ACTION: actions}, call, policy.memory)


def student_graph(settings: StudentSettings, params: Any) -> Graph:
    """Return the student: images, joints and the switch -> ``action`` (N, 14) in [-1, 1] and where it sees objects."""

    def call(arrays: Arrays) -> dict[str, jax.Array]:
        before = {item.name: arrays[memory_in(item.name)] for item in settings.memory}
        action, after, found = student.decide(params, settings, arrays, before)
        told = objects.seen(settings, found)
        return {ACTION: action, **told, **{memory_out(item.name): after[item.name] for item in settings.memory}}

    outputs = {ACTION: settings.action_size, **dict.fromkeys(objects.names(settings), 3)}
    return Graph(student.raw_shapes(settings), outputs, call, settings.memory)


def reach_graph(settings: ReachSettings, params: Any) -> Graph:
    """Return the reach actor: image and goal -> ``action`` (N, 3) m per step and ``position`` (N, 3) m."""

    def call(inputs: Arrays) -> dict[str, jax.Array]:
        decision = reach_networks.decide(params, settings, inputs)
        return {ACTION: decision.action * settings.action_scale_m, POSITION: decision.position}

    return Graph(reach_networks.raw_shapes(settings), {ACTION: 3, POSITION: 3}, call)


def observation_graph(act: Callable[[Observation], jax.Array], size: int, actions: int) -> Graph:
    """Return a teacher: ``observation`` (N, size), as the task gives it to the actor -> ``action`` in [-1, 1]."""

    def call(inputs: Arrays) -> dict[str, jax.Array]:
        seen = inputs[OBSERVATION]
        return {ACTION: act(Observation(actor=seen, critic=seen, inputs={}))}

    return Graph({OBSERVATION: ((size,), "float32")}, {ACTION: actions}, call)


class _Shape:
    """Shape with a named batch axis and dtype, as jax2onnx wants inputs."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.shape, self.dtype = ("N", *shape), jnp.dtype(dtype)


def to_onnx(graph: Graph, opset: int) -> Any:
    """Return the ONNX ModelProto; the first axis of every tensor is the free batch axis ``N``.

    Raises ArtifactError when an operation has no ONNX counterpart.
    """
    import jax2onnx

    inputs = graph.all_inputs
    names = tuple(inputs)

    def positional(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        found = graph.call(dict(zip(names, arrays, strict=True)))
        return tuple(found[name] for name in graph.all_outputs)

    noisy = logging.getLogger("onnx_ir")
    level = noisy.level
    noisy.setLevel(logging.ERROR)  # it warns of every shape constant, and nothing follows from it
    try:
        with jax.default_matmul_precision("highest"):
            return jax2onnx.to_onnx(
                positional,
                [_Shape(*shape) for shape in inputs.values()],
                model_name="policy",
                opset=opset,
                input_names=list(names),
                output_names=list(graph.all_outputs),
            )
    except NotImplementedError as error:
        raise ArtifactError(
            f"the policy uses an operation that has no ONNX counterpart: {error}",
            "use another export.opset, or a network without that operation",
        ) from error
    finally:
        noisy.setLevel(level)
