"""The contract card of an exported policy, from the profile, the scene and the robot's specification."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import mujoco

from s2rctl.core import seal
from s2rctl.export.graph import Graph
from s2rctl.robots.holding import fingers_of
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.robots.tensors import elements_of, limits_of
from s2rctl.scene.mount import place_cameras
from s2rctl.schema.contract import CameraContract, Contract, Frame, Tensor, TierResult
from s2rctl.schema.simulation import CameraSettings, Delays, Vision
from s2rctl.schema.tensors import ACTION, CONTRACT_KEY, POSITION, QUANTITIES, Quantity, image_of, quantity_of, viewer_of

_JOINT_ACTION = "change of each joint target, in action_scale per step; then clipped to the actuator's range"
_TOOL_ACTION = (
    "displacement of the commanded tool position in the robot's base frame, already in metres: do not scale it again"
)
_MIXED_ACTION = "change of each command entry, in action_scale per step; then clipped to the entry's limits"


def build(
    graph: Graph,
    *,
    policy: str,
    specification: RobotSpecification,
    rate_hz: float,
    action_scale: Sequence[float],
    vision: Vision | None,
    model: mujoco.MjModel,
    delays: Delays,
    trained_from: Mapping[str, str],
    versions: Mapping[str, str],
    tiers: Sequence[TierResult] = (),
) -> Contract:
    """Return the card of ``graph``; ``vision`` is None for a policy without cameras.

    ``action_scale`` is the change of each target at |action| = 1. The two action delays of an arm with grippers are
    merged into their mean distribution.
    """
    return Contract(
        policy=policy,
        robot=specification.name,
        rate_hz=rate_hz,
        inputs=tuple(_input(name, *graph.inputs[name], specification, vision) for name in graph.inputs),
        outputs=tuple(_output(name, size, specification, action_scale) for name, size in graph.outputs.items()),
        action_meaning=_meaning(specification),
        action_scale=tuple(action_scale),
        cameras=tuple(_camera(camera, vision, model) for camera in vision.cameras) if vision else (),
        action_delay_steps=_action_delay(delays, specification),
        observation_delay_steps=_normalised(delays.observation),
        trained_from=dict(trained_from),
        versions=dict(versions),
        memory=graph.memory,
        tiers=tuple(tiers),
    )


def checkable(graph: Graph, specification: RobotSpecification, model: mujoco.MjModel) -> dict[str, tuple[str, Frame]]:
    """Return the graph's outputs that the joints can check: of which tool each tells, and in which frame."""
    found: dict[str, tuple[str, Frame]] = {}
    if POSITION in graph.outputs:
        found[POSITION] = (specification.tools[0], "base")
    for name in graph.outputs:
        camera = viewer_of(name)
        if camera is None or mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera) < 0:
            continue
        body = model.body(int(model.cam_bodyid[model.camera(camera).id])).name
        arms = zip(specification.arms, specification.tools, strict=True)
        on = [tool for arm, tool in arms if body.startswith(arm) and fingers_of(specification, tool)]
        if on:
            found[name] = (on[0], "gripper")
    return found


def versions(onnx_model: Any) -> dict[str, str]:
    """Return what the graph needs and what made and checked it: operator set, file version, packages."""
    packages = {name: metadata.version(name) for name in ("onnxruntime", "onnx", "jax2onnx", "jax")}
    opset = max(entry.version for entry in onnx_model.opset_import if entry.domain in ("", "ai.onnx"))
    return {"opset": str(opset), "ir": str(onnx_model.ir_version), **packages}


def attach(onnx_model: Any, contract: Contract) -> bytes:
    """Return the serialised ONNX model with the card in its metadata, sealed."""
    import onnx

    onnx.helper.set_model_props(onnx_model, {CONTRACT_KEY: contract.model_dump_json(), seal.SEAL_KEY: seal.PLACEHOLDER})
    onnx.checker.check_model(onnx_model)
    return seal.sealed(onnx_model.SerializeToString(deterministic=True))


def _input(
    name: str, shape: tuple[int, ...], dtype: str, specification: RobotSpecification, vision: Vision | None
) -> Tensor:
    known = QUANTITIES.get(name) or _image(name, vision)
    low, high = limits_of(name, specification) or (None, None)
    return Tensor(
        name=name,
        dtype=dtype,
        shape=("batch", *shape),
        unit=known.unit,
        meaning=known.meaning,
        elements=elements_of(name, specification),
        low=low,
        high=high,
    )


def _image(name: str, vision: Vision | None) -> Quantity:
    """Return what the numbers of an image are; of a tensor that nothing is known of, nothing."""
    image = image_of(name)
    if image is None:
        return Quantity("", "", "")
    if image.kind == "rgb":
        return Quantity("", "colour image, red first, first row on top", "")
    if vision is None:
        return Quantity("", "", "")
    (camera,) = (c for c in vision.cameras if c.name == image.camera)
    return Quantity(f"{camera.depth_unit_m:g} m", "depth along the optical axis in counts, 0 = no measurement", "")


def _output(name: str, size: int, specification: RobotSpecification, action_scale: Sequence[float]) -> Tensor:
    if name != ACTION:
        known = quantity_of(name) or Quantity("", "", "")
        return Tensor(
            name=name,
            dtype="float32",
            shape=("batch", size),
            unit=known.unit,
            meaning=known.meaning,
            elements=elements_of(name, specification),
        )
    meaning = _meaning(specification)
    tool = meaning is _TOOL_ACTION
    limit = tuple(action_scale) if tool else (1.0,) * size
    return Tensor(
        name=name,
        dtype="float32",
        shape=("batch", size),
        unit="m" if tool else "",
        meaning=meaning,
        elements=specification.space.names[:size],
        low=tuple(-value for value in limit),
        high=limit,
    )


def _meaning(specification: RobotSpecification) -> str:
    """Return what an action means to a robot; one that moves a tool alone is a displacement, any other is scaled."""
    tool = specification.space.of_kind("tool_translation")
    if tool.all():
        return _TOOL_ACTION
    return _MIXED_ACTION if tool.any() else _JOINT_ACTION


def _camera(camera: CameraSettings, vision: Vision, model: mujoco.MjModel) -> CameraContract:
    place_cameras(model, vision)  # as training did, where a calibration is named
    found = model.camera(camera.name)
    body = int(model.cam_bodyid[found.id])
    return CameraContract(
        name=camera.name,
        width=camera.width,
        height=camera.height,
        fovy_deg=float(model.cam_fovy[found.id]),
        parent="base" if body == 0 else model.body(body).name,
        position_m=tuple(float(x) for x in model.cam_pos[found.id]),
        quaternion=tuple(float(x) for x in model.cam_quat[found.id]),
        position_range_m=vision.appearance.camera_position_m,
        rotation_range_deg=vision.appearance.camera_rotation_deg,
        depth_unit_m=camera.depth_unit_m if camera.depth else None,
        depth_range_m=camera.depth_range_m if camera.depth else None,
        calibration=camera.mount.calibration if camera.mount else None,
    )


def _action_delay(delays: Delays, specification: RobotSpecification) -> tuple[float, ...]:
    joints = _normalised(delays.joint_action)
    grips = specification.space.of_kind("gripper")
    if not grips.any():
        return joints
    grippers = _normalised(delays.gripper_action)
    count = max(len(joints), len(grippers))
    weight = int(grips.sum()) / len(grips)
    padded = [(*values, *(0.0,) * (count - len(values))) for values in (joints, grippers)]
    return tuple((1 - weight) * a + weight * b for a, b in zip(*padded, strict=True))


def _normalised(weights: Sequence[float]) -> tuple[float, ...]:
    total = sum(weights)
    return tuple(weight / total for weight in weights)
