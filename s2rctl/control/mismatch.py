"""What a contract card can disagree about: with itself, with the robot, with the cameras; each finding in words."""

from collections.abc import Sequence

import numpy as np

from s2rctl.robots.holding import fingers_of
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.robots.tensors import elements_of, limits_of
from s2rctl.schema.contract import CameraContract, Contract, Tensor
from s2rctl.schema.simulation import CameraSettings
from s2rctl.schema.tensors import (
    ACTION,
    JOINT_POS,
    JOINT_TARGET,
    JOINT_VEL,
    depth_name,
    first_unit,
    image_of,
    is_memory,
    quantity_of,
    rgb_name,
)


def robot_faults(contract: Contract, specification: RobotSpecification, rate_hz: float) -> list[str]:
    """Return what the contract and the robot disagree about."""
    faults = []
    if contract.robot != specification.name:
        faults.append(f"it was made for the robot '{contract.robot}', this is '{specification.name}'")
    if abs(contract.rate_hz - rate_hz) > 1e-6 * rate_hz:
        faults.append(f"it was trained at {contract.rate_hz:g} Hz, the loop runs at {rate_hz:g} Hz")
    entries = specification.space.names
    expected = {name: elements_of(name, specification) for name in (JOINT_POS, JOINT_VEL, JOINT_TARGET)}
    expected |= {ACTION: entries}
    for tensor in (*contract.inputs, *contract.outputs):
        names = expected.get(tensor.name)
        if names is None:
            continue
        numbers = tensor.shape[-1] if tensor.shape else 0
        if numbers != len(names):
            faults.append(f"'{tensor.name}' has {numbers} numbers, the robot has {len(names)}")
        elif tensor.elements and tuple(tensor.elements) != names:
            wrong = next(
                (f"{a} for {b}" for a, b in zip(tensor.elements, names, strict=False) if a != b), "their number"
            )
            faults.append(f"the order of '{tensor.name}' differs from the robot's ({wrong})")
    if ACTION not in {tensor.name for tensor in contract.outputs}:
        faults.append("it has no output 'action'")
    if len(contract.action_scale) != len(entries):
        faults.append(f"it scales {len(contract.action_scale)} actions, the robot takes {len(entries)}")
    if entries != specification.targets and JOINT_TARGET in {tensor.name for tensor in contract.inputs}:
        faults.append("it wants 'joint_target', and the robot is not commanded by its joint targets")
    return faults


def card_faults(contract: Contract, specification: RobotSpecification) -> list[str]:
    """Return what is wrong with a contract in itself, and which limits differ from the robot's."""
    faults = []
    for tensor in (*contract.inputs, *contract.outputs):
        unit, known = first_unit(tensor.unit), quantity_of(tensor.name)
        if unit and known is not None and known.unit and unit != known.first_unit:
            faults.append(f"'{tensor.name}' is in {unit}, it must be in {known.first_unit}")
        if is_memory(tensor.name):
            faults.append(f"'{tensor.name}' is memory that the contract does not declare as such")
    faults += _limit_faults(contract, specification)
    faults += _estimate_faults(contract, specification)
    if min(contract.action_scale, default=0.0) <= 0:
        faults.append("an action scale is not positive")
    for name in ("action_delay_steps", "observation_delay_steps"):
        delays = getattr(contract, name)
        if not delays or min(delays) < 0 or abs(sum(delays) - 1) > 1e-3:
            faults.append(f"{name} are no probabilities")
    cameras = {camera.name: camera for camera in contract.cameras}
    if len(cameras) < len(contract.cameras):
        faults.append("a camera is described twice")
    for tensor in contract.inputs:
        image = image_of(tensor.name)
        if image is not None:
            faults += _image_faults(tensor, image.kind, cameras.get(image.camera), image.camera)
    images = {tensor.name for tensor in contract.inputs}
    seen = {name for name in cameras if {rgb_name(name), depth_name(name)} & images}
    faults += [f"no input shows the camera '{name}'" for name in cameras if name not in seen]
    faults += [fault for camera in contract.cameras for fault in _mount_faults(camera, specification)]
    return faults


def _estimate_faults(contract: Contract, specification: RobotSpecification) -> list[str]:
    """Return which estimates cannot be compared with what the joints know."""
    shapes, faults = {tensor.name: tensor.shape for tensor in contract.outputs}, []
    for item in contract.estimates:
        if shapes.get(item.output) != ("batch", 3):
            faults.append(f"the estimate '{item.output}' is no output of three numbers")
        if item.of not in specification.tools:
            faults.append(f"'{item.output}' is about '{item.of}', the robot has {', '.join(specification.tools)}")
        elif item.frame == "gripper" and fingers_of(specification, item.of) is None:
            faults.append(f"'{item.output}' is about what '{item.of}' holds, and it has no fingers")
    if len({item.output for item in contract.estimates}) < len(contract.estimates):
        faults.append("an estimate is described twice")
    return faults


def _limit_faults(contract: Contract, specification: RobotSpecification) -> list[str]:
    """Return which limits of joints and targets are not those of the robot."""
    faults = []
    for tensor in contract.inputs:
        limits = limits_of(tensor.name, specification)
        if limits is None:
            continue
        for side, promised, real in zip(("lower", "upper"), (tensor.low, tensor.high), limits, strict=True):
            if promised is None or len(promised) != len(real):
                if promised is not None:
                    faults.append(f"'{tensor.name}' has {len(promised)} {side} limits, the robot has {len(real)}")
                continue
            wrong = np.flatnonzero(np.abs(np.subtract(promised, real)) > 1e-4)
            if wrong.size:
                where = wrong[0]
                name = tensor.elements[where] if len(tensor.elements) > where else f"entry {where}"
                faults.append(
                    f"the {side} limit of {name} in '{tensor.name}' is {promised[where]:g}, the robot's {real[where]:g}"
                )
    return faults


def _image_faults(tensor: Tensor, kind: str, camera: CameraContract | None, name: str) -> list[str]:
    """Return what an image input and the camera of its name disagree about."""
    if camera is None:
        return [f"the input '{tensor.name}' shows a camera '{name}' that the contract does not describe"]
    faults = []
    wanted = (camera.height, camera.width, *((3,) if kind == "rgb" else ()))
    if tensor.shape[1:] != wanted:
        faults.append(f"'{tensor.name}' is {list(tensor.shape[1:])}, the camera gives {list(wanted)}")
    if kind == "depth":
        if camera.depth_unit_m is None:
            faults.append(f"'{tensor.name}' is wanted of the camera '{name}', which the contract gives no depth")
        elif tensor.unit and tensor.unit != f"{camera.depth_unit_m:g} m":
            faults.append(f"'{tensor.name}' counts in {tensor.unit}, the camera '{name}' in {camera.depth_unit_m:g} m")
    return faults


def _mount_faults(camera: CameraContract, specification: RobotSpecification) -> list[str]:
    """Return whether a camera that is named after one arm sits on another."""
    for arm in specification.arms:
        other = next((a for a in specification.arms if a != arm and camera.parent.startswith(a)), None)
        if arm and other and camera.name.endswith(f"_{arm.rstrip('/')}"):
            return [f"the camera '{camera.name}' sits on '{camera.parent}': cameras of two arms are swapped"]
    return []


def camera_faults(contract: Contract, cameras: Sequence[CameraSettings] | None) -> list[str]:
    """Return what the contract's cameras and those of the profile disagree about; none if the profile's are unknown."""
    if cameras is None:
        return []
    real = {camera.name: camera for camera in cameras}
    faults = []
    for camera in contract.cameras:
        given = real.get(camera.name)
        if given is None:
            faults.append(f"it looks through the camera '{camera.name}', there is {', '.join(sorted(real)) or 'none'}")
            continue
        if (camera.width, camera.height) != (given.width, given.height):
            faults.append(
                f"it wants {camera.width}x{camera.height} of the camera '{camera.name}', "
                f"the profile says {given.width}x{given.height}"
            )
        if camera.depth_unit_m is None:
            continue
        if not given.depth:
            faults.append(f"it wants depth of the camera '{camera.name}', which gives none")
        elif abs(camera.depth_unit_m - given.depth_unit_m) > 1e-9:
            faults.append(
                f"it reads depth of '{camera.name}' in counts of {camera.depth_unit_m:g} m, "
                f"the camera counts {given.depth_unit_m:g} m"
            )
        elif camera.depth_range_m is not None and not np.allclose(camera.depth_range_m, given.depth_range_m, atol=1e-6):
            faults.append(
                f"it reads depth of '{camera.name}' within {list(camera.depth_range_m)} m, "
                f"the camera gives {list(given.depth_range_m)} m"
            )
    return faults
