"""The contract card: what a policy expects and promises, carried in the ONNX metadata and the manifest."""

from typing import Literal

from s2rctl.schema.base import Model, quantity


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
