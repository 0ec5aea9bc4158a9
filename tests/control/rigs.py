"""Small robots, contracts and ONNX policies for the tests of the robot side."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from s2rctl.core import seal
from s2rctl.core.kinematics import Kinematics, Link, Point
from s2rctl.robots.command import joint_entries
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.contract import Contract, Tensor

_LINKS = (
    Link("base", "", (0.0, 0.0, 0.1)),
    Link("turn", "base", (0.0, 0.0, 0.05), joint="turn"),
    Link("lift", "turn", (0.0, 0.0, 0.0), joint="lift", axis=(0.0, 1.0, 0.0)),
    Link("left_finger_link", "lift", (0.4, 0.02, 0.0), joint="left_finger", axis=(0.0, 1.0, 0.0), slide=True),
    Link("right_finger_link", "lift", (0.4, -0.02, 0.0), joint="right_finger", axis=(0.0, -1.0, 0.0), slide=True),
)
_POINTS = {
    "gripper": Point("lift", (0.4, 0.0, 0.0)),
    "left_fingertip": Point("left_finger_link", (0.0, 0.0, 0.0)),
    "right_fingertip": Point("right_finger_link", (0.0, 0.0, 0.0)),
}
JOINTS = ("turn", "lift", "left_finger", "right_finger")

TINY = RobotSpecification(
    name="aloha",
    joints=JOINTS,
    joint_low=(-3.0, -1.5, 0.0, 0.0),
    joint_high=(3.0, 1.5, 0.04, 0.04),
    joint_speed=(3.0, 3.0, 0.5, 0.5),
    targets=("turn", "lift", "gripper"),
    target_joint=(0, 1, 2),
    target_low=(-3.0, -1.5, 0.002),
    target_high=(3.0, 1.5, 0.037),
    home=(0.0, 0.0, 0.02),
    arms=("",),
    tools=("gripper",),
    kinematics=Kinematics(_LINKS, JOINTS, _POINTS),
    command=joint_entries(
        ("turn", "lift", "gripper"),
        (0, 1, 2),
        (-3.0, -1.5, 0.002),
        (3.0, 1.5, 0.037),
        (3.0, 3.0, 0.5, 0.5),
        grippers=("gripper",),
    ),
    base_body="turn_link",
    hand_body="lift",
    tool_axis=(1.0, 0.0, 0.0),
    mimic={3: 2},
)
"""A turntable with one lifting link and a gripper: two hinges, two slides."""


RATE_HZ = 20.0


def scale_of(specification: RobotSpecification) -> tuple[float, ...]:
    """Change of each target per step at |action| = 1."""
    return (0.02,) * len(specification.command)


def contract(specification: RobotSpecification, **changes: object) -> Contract:
    """Return the contract of a joint-position policy for a robot."""
    actions = specification.space.names
    fields: dict[str, object] = {
        "policy": "test",
        "robot": specification.name,
        "rate_hz": RATE_HZ,
        "inputs": (
            Tensor(
                name="joint_pos",
                dtype="float32",
                shape=("batch", len(specification.joints)),
                meaning="joints",
                elements=specification.joints,
            ),
        ),
        "outputs": (
            Tensor(name="action", dtype="float32", shape=("batch", len(actions)), meaning="action", elements=actions),
        ),
        "action_meaning": "change of the target",
        "action_scale": scale_of(specification),
    }
    return Contract.model_validate({**fields, **changes})


def write_policy(
    path: Path,
    card: Contract,
    action: np.ndarray,
    weights: Mapping[str, np.ndarray] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a sealed ONNX graph: action = constant + sum of (float input @ weight); other outputs are zero.

    Inputs without a weight are there and ignored. Memory counts: each time every number grows by one, and the mean of
    each memory as it was is added to the action.
    """
    types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16}
    inputs = [helper.make_tensor_value_info(t.name, types[t.dtype], list(t.shape)) for t in card.graph_inputs]
    outputs = [helper.make_tensor_value_info(t.name, types[t.dtype], list(t.shape)) for t in card.graph_outputs]
    nodes, constants = [], [numpy_helper.from_array(np.asarray(action, np.float32)[None], "bias")]
    total = "bias"
    for number, (name, weight) in enumerate((weights or {}).items()):
        constants.append(numpy_helper.from_array(np.asarray(weight, np.float32), f"w{number}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [f"m{number}"]))
        nodes.append(helper.make_node("Add", [total, f"m{number}"], [f"s{number}"]))
        total = f"s{number}"
    if card.memory:
        constants.append(numpy_helper.from_array(np.ones(1, np.float32), "one"))
        constants.append(numpy_helper.from_array(np.array([1], np.int64), "axes"))
    for item in card.memory:
        before, after = f"memory_in/{item.name}", f"memory_out/{item.name}"
        nodes.append(helper.make_node("Add", [before, "one"], [after]))
        nodes.append(helper.make_node("Flatten", [before], [f"{item.name}_flat"], axis=1))
        mean = helper.make_node("ReduceMean", [f"{item.name}_flat", "axes"], [f"{item.name}_mean"], keepdims=1)
        nodes += [mean, helper.make_node("Add", [total, f"{item.name}_mean"], [f"with_{item.name}"])]
        total = f"with_{item.name}"
    nodes.append(helper.make_node("Identity", [total], ["action"]))
    for tensor in (t for t in card.outputs if t.name != "action"):
        zeros = np.zeros([1 if extent == "batch" else extent for extent in tensor.shape], tensor.dtype)
        constants.append(numpy_helper.from_array(zeros, f"{tensor.name}_value"))
        nodes.append(helper.make_node("Identity", [f"{tensor.name}_value"], [tensor.name]))
    graph = helper.make_graph(nodes, "policy", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    entries = {"s2rctl.contract": card.model_dump_json()} if metadata is None else dict(metadata)
    helper.set_model_props(model, {**entries, seal.SEAL_KEY: seal.PLACEHOLDER})
    onnx.checker.check_model(model)
    path.write_bytes(seal.sealed(model.SerializeToString(deterministic=True)))
    return path


def metadata(card: Contract, **changes: object) -> dict[str, str]:
    """Return ONNX metadata with a contract whose fields were changed after validation."""
    return {"s2rctl.contract": json.dumps({**card.model_dump(mode="json"), **changes})}
