"""The parity gate: JAX and onnxruntime must say the same, and inputs that mean something else must not.

The first part compares both on recorded observations (many at once and one at a time, as the robot asks), on random
bytes and on extremes. The second part changes the recorded observations as a wrong installation would (cameras swapped,
BGR, another unit, an image transposed, joints in another order, memory forgotten): an action that stays the same would
mean that the graph does not look at that input. The third part, which the stage adds, is whole episodes: ONNX drives,
JAX is asked about the same observations, and the outcomes are paired with those of episodes that JAX drives from the
same starts. Memory is compared like every other input and output; in episodes each side carries its own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import onnxruntime

from s2rctl.core.errors import GateError
from s2rctl.export.graph import Graph
from s2rctl.export.session import BATCH, run
from s2rctl.schema.tensors import ACTION, GOAL, JOINT_POS, JOINT_TARGET, OBSERVATION, is_depth, is_rgb, memory_in

Inputs = Mapping[str, np.ndarray]
SINGLE = 64
"""Recorded observations that are also asked one at a time."""
_IMAGES, _NUMBERS = 3, 5  # extremes of each


class Agreement(NamedTuple):
    """JAX against ONNX on one set of inputs."""

    inputs: str
    observations: int
    max_difference: float
    passed: bool


class Sensitivity(NamedTuple):
    """How much the action changes when the inputs mean something else."""

    change: str
    max_change: float
    passed: bool


class ClosedLoop(NamedTuple):
    """Episodes that ONNX drove, paired with those that JAX drove from the same starts."""

    episodes: int
    jax_successes: int
    onnx_successes: int
    only_jax: int  # pairs in which only JAX succeeded
    only_onnx: int
    p_value: float  # McNemar, exact: below UNLIKELY the two do not do the same
    max_difference: float  # of any action, along the episodes that ONNX drove
    passed: bool


UNLIKELY = 0.01
"""p-value below which paired outcomes are called different. Single pairs may differ: contact is chaotic."""


class Report(NamedTuple):
    """Result of the gate."""

    limit: float
    agreement: tuple[Agreement, ...]
    sensitivity: tuple[Sensitivity, ...]
    closed_loop: ClosedLoop | None = None

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        loop = self.closed_loop is None or self.closed_loop.passed
        return loop and all(row.passed for row in self.agreement) and all(row.passed for row in self.sensitivity)

    @property
    def max_difference(self) -> float:
        """Largest difference of any output."""
        loop = self.closed_loop.max_difference if self.closed_loop else 0.0
        return max(loop, *(row.max_difference for row in self.agreement))

    def as_json(self) -> dict[str, object]:
        """Return the report as plain data."""
        return {
            "limit": self.limit,
            "passed": self.passed,
            "agreement": [row._asdict() for row in self.agreement],
            "sensitivity": [row._asdict() for row in self.sensitivity],
            "closed_loop": self.closed_loop._asdict() if self.closed_loop else None,
        }

    def table(self) -> str:
        """Return one line per check."""
        rows = [
            f"  {_mark(row.passed)} JAX = ONNX on {row.observations} {row.inputs} observations: "
            f"max |difference| {row.max_difference:.2e}"
            for row in self.agreement
        ]
        rows += [
            f"  {_mark(row.passed)} {row.change} changes the action: max |change| {row.max_change:.2e}"
            for row in self.sensitivity
        ]
        if self.closed_loop is not None:
            row = self.closed_loop
            rows.append(
                f"  {_mark(row.passed)} {row.episodes} paired episodes: {row.jax_successes} succeed with JAX, "
                f"{row.onnx_successes} with ONNX, p = {row.p_value:.2g}, max |difference| {row.max_difference:.2e}"
            )
        return "\n".join(rows)


def _mark(passed: bool) -> str:
    return "ok  " if passed else "FAIL"


def check(
    graph: Graph, session: onnxruntime.InferenceSession, recorded: Inputs, limit: float, generator: np.random.Generator
) -> Report:
    """Return the report on ``recorded`` observations (N, ...) and as many random ones."""
    count = len(next(iter(recorded.values())))
    sets = {
        "recorded": {name: np.asarray(recorded[name]) for name in graph.all_inputs},
        "single recorded": {name: np.asarray(recorded[name][-SINGLE:]) for name in graph.all_inputs},
        "random": random_inputs(graph, recorded, count, generator),
        "extreme": extreme_inputs(graph, recorded),
    }
    agreement = []
    for name, inputs in sets.items():
        worst = difference(graph, session, inputs, batch=1 if name.startswith("single") else BATCH)
        # A NaN compares false with everything, so it fails here too.
        agreement.append(Agreement(name, len(next(iter(inputs.values()))), worst, bool(worst <= limit)))
    spread = np.linspace(0, count - 1, min(count, BATCH)).astype(int)
    some = {name: value[spread] for name, value in sets["recorded"].items()}
    before = _actions(session, some)
    sensitivity = []
    for name, change in changes(graph):
        moved = float(np.max(np.abs(_actions(session, change(some)) - before)))
        sensitivity.append(Sensitivity(name, moved, bool(moved > limit)))
    return Report(limit, tuple(agreement), tuple(sensitivity))


def require(report: Report) -> None:
    """Raise GateError with the whole table unless every row passed."""
    if not report.passed:
        raise GateError(
            f"the exported graph does not pass the parity gate (limit {report.limit:g}):\n{report.table()}",
            "train the policy longer if it ignores an input; otherwise this is a bug in the exporter: please report it",
        )


def difference(graph: Graph, session: onnxruntime.InferenceSession, inputs: Inputs, batch: int = BATCH) -> float:
    """Return max |JAX - ONNX| over all outputs and observations; infinite if any number is not finite.

    Where an output has numbers beyond 1, as sums in a memory may be, it is relative to the largest of them. ONNX is
    asked about ``batch`` observations at a time.
    """
    worst = 0.0
    for part in _parts(inputs):
        size = len(next(iter(part.values())))
        # Always asked about as many: every other size would be compiled anew.
        whole = {name: np.resize(value, (BATCH, *value.shape[1:])) for name, value in part.items()}
        expected = {name: value[:size] for name, value in graph(whole).items()}
        answers = [run(session, few) for few in _parts(part, batch)]
        found = {name: np.concatenate([answer[name] for answer in answers])[:size] for name in expected}
        for name, value in expected.items():
            largest = np.max(np.abs(value), axis=tuple(range(1, value.ndim)), keepdims=True)
            gap = np.abs(value - found[name]) / np.maximum(1.0, largest)
            worst = max(worst, float(np.max(gap)) if np.all(np.isfinite(gap)) else np.inf)
    return worst


def random_inputs(graph: Graph, recorded: Inputs, count: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Return ``count`` observations: any integer an image can hold, and numbers from twice the recorded range.

    Memory is a mixture of two recorded ones: nobody but the policy writes it, and it may hold what it divides by.
    """
    found = {}
    memories = {memory_in(item.name) for item in graph.memory}
    for name, (shape, dtype) in graph.all_inputs.items():
        if name in memories:
            one, other = (recorded[name][generator.integers(0, len(recorded[name]), count)] for _ in range(2))
            share = generator.random((count, *(1,) * len(shape)))
            found[name] = (share * one + (1 - share) * other).astype(dtype)
            continue
        if np.issubdtype(dtype, np.integer):
            values = generator.integers(0, np.iinfo(dtype).max, (count, *shape), dtype, endpoint=True)
            # Every other image stays near the recorded range: most uint16 counts are beyond any depth camera.
            usual = 2 * int(np.max(recorded[name])) + 1
            values[::2] = (values[::2].astype(np.int64) % usual).astype(dtype)
            found[name] = values
            continue
        low, high = np.min(recorded[name], axis=0), np.max(recorded[name], axis=0)
        # A number that never moved while recording (a flag, for one) is tried one unit either way.
        middle, half = (low + high) / 2, np.where(high > low, high - low, 1.0)
        found[name] = generator.uniform(middle - half, middle + half, (count, *shape)).astype(dtype)
    return found


def extreme_inputs(graph: Graph, recorded: Inputs) -> dict[str, np.ndarray]:
    """Return all pairs of extreme images and extreme numbers.

    Images: all counts 0, all at their largest, and a chequerboard of both. Numbers: all 0, at their recorded ends, and
    as far beyond them again. Memory: all 0, and the emptiest and the fullest recorded.
    """
    found = {}
    memories = {memory_in(item.name) for item in graph.memory}
    filled = sum((_sizes(recorded[name]) for name in memories), start=np.zeros(len(next(iter(recorded.values())))))
    emptiest, fullest = int(np.argmin(filled)), int(np.argmax(filled))
    for name, (shape, dtype) in graph.all_inputs.items():
        if np.issubdtype(dtype, np.integer):
            top = np.full(shape, np.iinfo(dtype).max, dtype)
            board = np.indices(shape[:2]).sum(axis=0).reshape(*shape[:2], *(1,) * (len(shape) - 2)) % 2
            images = np.stack([np.zeros_like(top), top, top * board.astype(dtype)])
            found[name] = np.repeat(images, _NUMBERS, axis=0)
        elif name in memories:
            kept = recorded[name][[emptiest, fullest]]
            found[name] = np.tile(np.concatenate([np.zeros_like(kept[:1]), kept, kept]), (_IMAGES, *(1,) * len(shape)))
        else:
            low, high = np.min(recorded[name], axis=0), np.max(recorded[name], axis=0)
            spread = high - low
            ends = np.stack([np.zeros_like(low), low, high, low - spread, high + spread])
            found[name] = np.tile(ends, (_IMAGES, *(1,) * len(shape))).astype(dtype)
    return found


def _sizes(values: np.ndarray) -> np.ndarray:
    """Return the mean magnitude of each entry (N,)."""
    return np.asarray(np.abs(values.reshape(len(values), -1)).mean(axis=1), float)


def changes(graph: Graph) -> Iterator[tuple[str, Callable[[Inputs], dict[str, np.ndarray]]]]:
    """Yield name and function of every change of meaning that applies to the graph's inputs."""
    colours = [name for name in graph.inputs if is_rgb(name)]
    depths = [name for name in graph.inputs if is_depth(name)]
    for kind, group in (("colour images", colours), ("depth images", depths)):
        if len(group) == 2:
            yield f"swapping the {kind} of the two cameras", _swap(*group)
    if colours:
        yield "BGR for RGB", _map(colours, lambda image: image[..., ::-1])
        yield "transposing the colour images", _map(colours, lambda image: image.swapaxes(1, 2))
    if depths:
        yield "transposing the depth images", _map(depths, lambda image: image.swapaxes(1, 2))
        yield "depth in ten times coarser counts", _map(depths, lambda image: image // 10)
        yield "depth in metres for millimetres", _map(depths, lambda image: image // 1000)
    if GOAL in graph.inputs:
        yield "the goal in millimetres", _map([GOAL], lambda goal: goal * 1000.0)
    for name in (JOINT_POS, JOINT_TARGET, OBSERVATION):
        if name in graph.inputs:
            yield f"{name} in reverse order", _map([name], lambda values: values[:, ::-1])
            yield f"{name} shifted by one entry", _map([name], lambda values: np.roll(values, 1, axis=1))
            yield f"{name} in other units (times 1000)", _map([name], lambda values: values * 1000.0)
    if graph.memory:
        # All of it at once: one memory may act through another.
        yield "forgetting (memory of zeros)", _map([memory_in(item.name) for item in graph.memory], np.zeros_like)


def _map(names: list[str], change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Inputs], dict[str, np.ndarray]]:
    def apply(inputs: Inputs) -> dict[str, np.ndarray]:
        changed = {name: np.ascontiguousarray(change(inputs[name])).astype(inputs[name].dtype) for name in names}
        return {**inputs, **changed}

    return apply


def _swap(first: str, second: str) -> Callable[[Inputs], dict[str, np.ndarray]]:
    return lambda inputs: {**inputs, first: inputs[second], second: inputs[first]}


def _actions(session: onnxruntime.InferenceSession, inputs: Inputs) -> np.ndarray:
    return np.concatenate([run(session, part)[ACTION] for part in _parts(inputs)])


def _parts(inputs: Inputs, batch: int = BATCH) -> Iterator[dict[str, np.ndarray]]:
    """Yield the inputs in batches, the last ones repeated to the full size: JAX then compiles once."""
    count = len(next(iter(inputs.values())))
    size = min(count, batch)
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        yield {name: np.ascontiguousarray(value[rows]) for name, value in inputs.items()}
