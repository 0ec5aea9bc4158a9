"""The contract card: what a policy expects and promises, carried in the ONNX metadata and the manifest."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from s2rctl.schema.base import Model, quantity, within
from s2rctl.schema.tensors import memory_in, memory_out

if TYPE_CHECKING:
    import numpy as np

LARGEST_MEMORY = 1 << 20
"""Numbers in one memory: at 4 bytes each, what a robot computer copies in well under a millisecond."""
_LARGEST_NUMBER = 3.4e38  # float32


class Tensor(Model):
    """One input or output of the graph."""

    name: str
    dtype: Literal["uint8", "uint16", "float32"]
    shape: tuple[int | Literal["batch"], ...] = quantity(..., "", "shape; 'batch' is free")
    unit: str = quantity("", "", "unit of the numbers, e.g. rad or m")
    meaning: str
    elements: tuple[str, ...] = quantity((), "", "names of the last axis in order, e.g. joint names")
    low: tuple[float, ...] | None = quantity(None, "", "lower limits of the last axis, where there are any")
    high: tuple[float, ...] | None = quantity(None, "", "upper limits of the last axis")


_Number = Annotated[float, Field(strict=True)]  # else ``true`` would be 1


class Memory(Model):
    """What a policy remembers from one step to the next: a float32 array that it is given back.

    An episode begins with the initial value. The graph takes it as ``memory_in/<name>`` and gives what it is from then
    on as ``memory_out/<name>``, both with a batch axis in front.
    """

    name: str = quantity(..., "", "name, without the graph's prefix", pattern="^[a-z][a-z0-9_]*$", max_length=64)
    shape: tuple[Annotated[int, Field(ge=1)], ...] = quantity(..., "", "shape without batch", max_length=8)
    initial: Annotated[_Number | tuple[_Number, ...], AfterValidator(within(-_LARGEST_NUMBER, _LARGEST_NUMBER))] = (
        quantity(0.0, "", "value at an episode's start: one for all numbers, or each number's in row-major order")
    )
    dtype: Literal["float32"] = "float32"

    @model_validator(mode="after")
    def _initial_fits(self) -> "Memory":
        size = math.prod(self.shape)
        if size > LARGEST_MEMORY:
            raise ValueError(f"a memory has at most {LARGEST_MEMORY} numbers (got {size})")
        if isinstance(self.initial, tuple) and len(self.initial) != size:
            raise ValueError(f"the initial value has {len(self.initial)} numbers, the shape {list(self.shape)} {size}")
        return self

    def start(self, batch: int) -> "np.ndarray":
        """Return the value (batch, *shape) float32 with which ``batch`` episodes begin."""
        import numpy as np  # here, because command lines that only name a contract need no arrays

        one = np.broadcast_to(np.asarray(self.initial, np.float32).reshape(-1), math.prod(self.shape))
        return np.ascontiguousarray(np.broadcast_to(one.reshape(self.shape), (batch, *self.shape)))

    def tensor(self, name: str) -> Tensor:
        """Return the graph's tensor for this memory under the graph's ``name``."""
        return Tensor(name=name, dtype=self.dtype, shape=("batch", *self.shape), meaning="memory of the policy")


def start(memory: Iterable[Memory], batch: int) -> "dict[str, np.ndarray]":
    """Return the memory of a policy by name, (batch, *shape) float32 each, with which episodes begin."""
    return {item.name: item.start(batch) for item in memory}


def given(memory: Iterable[Memory], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return memory by its own names as inputs of the graph."""
    return {memory_in(item.name): values[item.name] for item in memory}


def taken(memory: Iterable[Memory], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the memory among the graph's outputs by its own names."""
    return {item.name: outputs[memory_out(item.name)] for item in memory}


def _distinct(memory: tuple[Memory, ...]) -> tuple[Memory, ...]:
    """Return the memory; ValueError if two have one name."""
    names = [item.name for item in memory]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the memory '{twice[0]}' is declared twice")
    return memory


class CameraContract(Model):
    """A camera as the policy was trained with it."""

    name: str
    width: int
    height: int
    fovy_deg: float = quantity(..., "deg", "vertical field of view")
    parent: str = quantity(..., "", "body that carries the camera; 'base' for a fixed one")
    position_m: tuple[float, float, float] = quantity(..., "m", "nominal position in the parent's frame")
    quaternion: tuple[float, float, float, float] = quantity(
        ..., "", "nominal orientation, w x y z, MuJoCo axes (looks along -z)"
    )
    position_range_m: tuple[float, float, float] = quantity((0, 0, 0), "m", "± randomisation trained for")
    rotation_range_deg: float = quantity(0.0, "deg", "± randomisation trained for")
    depth_unit_m: float | None = quantity(None, "m", "metres per depth count; None: no depth")
    depth_range_m: tuple[float, float] | None = quantity(None, "m", "usable depth; beyond is read as nothing")
    calibration: str | None = quantity(None, "", "artifact id of the calibration that its place comes from")

    @model_serializer(mode="wrap")
    def _without_no_calibration(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``calibration`` out where there is none: cards of such policies stay what they were."""
        values: dict[str, Any] = handler(self)
        if self.calibration is None:
            values.pop("calibration", None)
        return values


Frame = Literal["base", "gripper"]
"""In which frame an estimate is: base, the robot's base frame; gripper, at the fingertips of the hand itself."""


class Estimate(Model):
    """An output that estimates from images what the joints know, and its errors.

    In the base frame the errors are distances from forward kinematics at the images' capture times; in a gripper's they
    are how far away an object seems that the fingers hold, counted while they hold one. Both in episodes that export
    played in the profile's own worlds. ``filtered_max_m`` is after the perception check's filter over images.
    """

    output: str = quantity(..., "", "output of the graph, (batch, 3) in m")
    of: str = quantity(..., "", "the robot's tool whose position it is, or that of the object that it holds, by name")
    frame: Frame = quantity(
        "base", "", "base: the robot's base frame; gripper: from the tool's fingertips to an object"
    )
    median_m: float = quantity(..., "m", "median error", ge=0)
    p95_m: float = quantity(..., "m", "95th percentile of the error", ge=0)
    p99_m: float = quantity(..., "m", "99th percentile of the error", ge=0)
    filtered_max_m: float = quantity(..., "m", "largest filtered error", ge=0)
    filter_s: float = quantity(..., "s", "length of that filter", gt=0)
    episodes: int = quantity(..., "", "episodes in which this was measured", ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Estimate":
        if not self.median_m <= self.p95_m <= self.p99_m:
            raise ValueError("needs median_m <= p95_m <= p99_m")
        return self


_OPTIONAL = ("memory", "estimates", "tiers")
"""Fields that are left out where they are empty, so that cards and ids of policies without them stay what they were."""


class TierResult(Model):
    """How often the policy succeeded in one tier of worlds that it was not trained in."""

    name: str = quantity(..., "", "tier, e.g. T3", pattern="^T[0-9]$")
    title: str = quantity(..., "", "what is different in its worlds", max_length=200)
    episodes: int = quantity(..., "", "episodes played", ge=1)
    successes: int = quantity(..., "", "episodes that ended in success", ge=0)
    wilson_low: float = quantity(..., "", "lower end of Wilson's 95 % interval of the rate", ge=0, le=1)
    wilson_high: float = quantity(..., "", "upper end", ge=0, le=1)
    void: bool = quantity(False, "", "whether a control failed, so that the rate says nothing")


class Contract(Model):
    """Everything that must agree between training and robot."""

    schema_version: Literal[1] = 1
    policy: str = quantity(..., "", "artifact name, e.g. aloha-student")
    robot: str = quantity(..., "", "robot table name")
    rate_hz: float = quantity(..., "Hz", "control rate", gt=0)
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    action_meaning: str = quantity(..., "", "how the robot applies the action")
    action_scale: tuple[float, ...] = quantity(..., "", "change of each target per step at |action| = 1")
    cameras: tuple[CameraContract, ...] = ()
    action_delay_steps: tuple[float, ...] = quantity((1.0,), "", "probability of each action delay trained for")
    observation_delay_steps: tuple[float, ...] = quantity((1.0,), "", "probability of each observation delay")
    trained_from: dict[str, str] = quantity({}, "", "artifact ids by role")
    versions: dict[str, str] = quantity({}, "", "ONNX operator set and file version, and the packages it was made with")
    memory: Annotated[tuple[Memory, ...], AfterValidator(_distinct)] = quantity(
        (), "", "what the policy remembers from step to step; none: each action follows from its own observation"
    )
    tiers: tuple[TierResult, ...] = quantity(
        (), "", "success in worlds that it was not trained in, where that was known at export"
    )

    estimates: Annotated[tuple[Estimate, ...], Field(max_length=16)] = quantity(
        (), "", "outputs for the perception check; none: no check"
    )

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what a policy does not have: cards and manifests of such policies stay what they were."""
        values: dict[str, Any] = handler(self)
        for name in _OPTIONAL:
            if not getattr(self, name):
                values.pop(name, None)
        return values

    @property
    def graph_inputs(self) -> tuple[Tensor, ...]:
        """All inputs of the ONNX graph: those that are measured or commanded, and memory as it was."""
        return (*self.inputs, *(item.tensor(memory_in(item.name)) for item in self.memory))

    @property
    def graph_outputs(self) -> tuple[Tensor, ...]:
        """All outputs of the ONNX graph: those that mean something, and memory as it is from then on."""
        return (*self.outputs, *(item.tensor(memory_out(item.name)) for item in self.memory))
