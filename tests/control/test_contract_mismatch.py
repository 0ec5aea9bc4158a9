"""Wrong installations, each refused by name, and right ones, none refused."""

import dataclasses
import json

import numpy as np
import onnx
import pytest

from s2rctl.control.policy import Policy, contract_of
from s2rctl.core import seal
from s2rctl.core.errors import ArtifactError
from s2rctl.robots import ROBOTS
from s2rctl.schema.contract import CameraContract, Contract, Estimate, Memory, Tensor
from s2rctl.schema.simulation import CameraSettings
from tests.control.rigs import scale_of, write_policy

RATE = 20.0
SIZE = 32


def cameras():
    return [CameraSettings(name=f"wrist_cam_{side}", width=SIZE, height=SIZE, depth=True) for side in ("left", "right")]


def tensor(name, dtype, *shape, **more):
    return Tensor(name=name, dtype=dtype, shape=("batch", *shape), meaning=name, **more)


def student_card():
    """The contract of a student, as export writes it."""
    spec = ROBOTS.load("aloha")
    images = []
    for camera in cameras():
        images.append(tensor(f"rgb_{camera.name}", "uint8", SIZE, SIZE, 3))
        images.append(tensor(f"depth_{camera.name}", "uint16", SIZE, SIZE, unit="0.0001 m"))
    joints = tensor(
        "joint_pos",
        "float32",
        16,
        unit="rad, fingers m",
        elements=spec.joints,
        low=spec.joint_low,
        high=spec.joint_high,
    )
    targets = tensor(
        "joint_target", "float32", 14, unit="rad, grippers m", elements=spec.targets, low=spec.target_low,
        high=spec.target_high,
    )  # fmt: skip
    return Contract(
        policy="student/aloha",
        robot="aloha",
        rate_hz=RATE,
        inputs=(*images, joints, targets, tensor("switched", "float32", 1)),
        outputs=(tensor("action", "float32", 14, elements=spec.targets, low=(-1.0,) * 14, high=(1.0,) * 14),),
        action_meaning="change of each joint target",
        action_scale=scale_of(spec),
        cameras=tuple(
            CameraContract(
                name=camera.name, width=SIZE, height=SIZE, fovy_deg=58, parent=f"{side}/gripper_link",
                position_m=(0, 0, 0), quaternion=(1, 0, 0, 0), depth_unit_m=1e-4, depth_range_m=(0.0, 0.4),
            )
            for camera, side in zip(cameras(), ("left", "right"), strict=True)
        ),
        action_delay_steps=(0.83, 0.12, 0.05),
        versions={"opset": "21"},
    )  # fmt: skip


def reach_card():
    """The contract of a reach policy."""
    side = CameraContract(
        name="side", width=84, height=84, fovy_deg=45, parent="base", position_m=(0, 0, 0), quaternion=(1, 0, 0, 0)
    )
    return Contract(
        policy="reach/xarm7",
        robot="xarm7",
        rate_hz=RATE,
        inputs=(tensor("rgb_side", "uint8", 84, 84, 3), tensor("goal", "float32", 3, unit="m")),
        outputs=(
            tensor("action", "float32", 3, unit="m", elements=("x", "y", "z"), low=(-0.03,) * 3, high=(0.03,) * 3),
            tensor("position", "float32", 3, unit="m"),
        ),
        action_meaning="displacement",
        action_scale=(0.03,) * 3,
        cameras=(side,),
    )


def write(path, card, graph=None):
    """Write a sealed file whose graph is that of the contract ``graph`` (by default of the card itself)."""
    graph = graph or card
    action = next(t for t in graph.outputs if t.name in ("action", "actions"))
    write_policy(path, graph, np.zeros(action.shape[1]))
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"s2rctl.contract": card.model_dump_json(), seal.SEAL_KEY: seal.PLACEHOLDER})
    path.write_bytes(seal.sealed(model.SerializeToString(deterministic=True)))
    return path


def edit(card, *place, value):
    """Return the card with the value at a place of its JSON replaced (a function changes the one that is there)."""
    data = card.model_dump(mode="json")
    at = data
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value(at[place[-1]]) if callable(value) else value
    return Contract.model_validate_json(json.dumps(data))


JOINTS, TARGETS, DEPTH = 4, 5, 1  # places in the student's inputs


def swapped(values):
    return [values[1], values[0], *values[2:]]


def camera(index, field, value):
    return lambda card: edit(card, "cameras", index, field, value=value)


def entry(index, field, value):
    return lambda card: edit(card, "inputs", index, field, value=value)


def memory(*shape, name="hidden", **more):
    return lambda card: card.model_copy(update={"memory": (Memory(name=name, shape=shape, **more),)})


# What is wrong with the card, while graph, robot and cameras stay as they are.
CARDS = {
    "other robot": (lambda c: edit(c, "robot", value="xarm7"), "made for the robot 'xarm7', this is 'aloha'"),
    "unknown robot": (lambda c: edit(c, "robot", value="panda"), "made for the robot 'panda'"),
    "twice the rate": (lambda c: edit(c, "rate_hz", value=40.0), "trained at 40 Hz, the loop runs at 20 Hz"),
    "rate slightly off": (lambda c: edit(c, "rate_hz", value=20.2), "trained at 20.2 Hz"),
    "renamed joint": (entry(JOINTS, "elements", lambda v: ["left/base", *v[1:]]), "order of 'joint_pos'.*left/base"),
    "swapped joints": (entry(JOINTS, "elements", swapped), "order of 'joint_pos' differs"),
    "swapped arms": (entry(JOINTS, "elements", lambda v: v[8:] + v[:8]), "order of 'joint_pos' differs.*right/"),
    "missing joint name": (entry(JOINTS, "elements", lambda v: v[:-1]), "order of 'joint_pos'.*their number"),
    "swapped targets": (entry(TARGETS, "elements", swapped), "order of 'joint_target' differs"),
    "swapped actions": (lambda c: edit(c, "outputs", 0, "elements", value=swapped), "order of 'action' differs"),
    "joints in degrees": (entry(JOINTS, "unit", "deg, fingers m"), "'joint_pos' is in deg, it must be in rad"),
    "targets in degrees": (entry(TARGETS, "unit", "deg"), "'joint_target' is in deg"),
    "wider joint limit": (entry(JOINTS, "low", lambda v: [v[0] - 1, *v[1:]]), "lower limit of left/waist in"),
    "narrower target limit": (entry(TARGETS, "high", lambda v: [*v[:-1], v[-1] / 2]), "upper limit of right/gripper"),
    "limits of another arm": (entry(JOINTS, "high", lambda v: v[:8]), "8 upper limits, the robot has 16"),
    "too few action scales": (lambda c: edit(c, "action_scale", value=[0.02] * 7), "scales 7 actions, the robot"),
    "action scale of zero": (lambda c: edit(c, "action_scale", value=[0.0] * 14), "an action scale is not positive"),
    "negative delay": (lambda c: edit(c, "action_delay_steps", value=[1.5, -0.5]), "action_delay_steps are no prob"),
    "delays that do not sum": (lambda c: edit(c, "observation_delay_steps", value=[0.5]), "observation_delay_steps"),
    "wrong depth unit in camera": (camera(0, "depth_unit_m", 1e-3), "the camera 'wrist_cam_left' in 0.001 m"),
    "wrong depth unit in input": (entry(DEPTH, "unit", "0.001 m"), "'depth_wrist_cam_left' counts in 0.001 m"),
    "depth of a camera without": (camera(0, "depth_unit_m", None), "which the contract gives no depth"),
    "depth range": (camera(1, "depth_range_m", [0.0, 4.0]), r"reads depth of 'wrist_cam_right' within \[0.0, 4.0\] m"),
    "image size in camera": (camera(0, "width", 64), "the camera gives \\[32, 64"),
    "renamed camera": (camera(0, "name", "top_cam"), "shows a camera 'wrist_cam_left' that the contract does"),
    "camera twice": (camera(0, "name", "wrist_cam_right"), "a camera is described twice"),
    "swapped mounts": (camera(0, "parent", "right/gripper_link"), "'wrist_cam_left' sits on 'right/gripper_link'"),
    "renamed input": (entry(JOINTS, "name", "joints"), "input 'joints' of the contract is not in the graph"),
    "renamed image": (entry(0, "name", "rgb_top"), "input 'rgb_top' of the contract is not in the graph"),
    "renamed output": (lambda c: edit(c, "outputs", 0, "name", value="command"), "it has no output 'action'"),
    "other dtype": (entry(0, "dtype", "float32"), "tensor.uint8., the contract says float32"),
    "channels first": (entry(0, "shape", ["batch", 3, SIZE, SIZE]), "input 'rgb_wrist_cam_left' has shape"),
    "fewer joints": (entry(JOINTS, "shape", ["batch", 14]), "'joint_pos' has 14 numbers, the robot has 16"),
    "memory that the graph has not": (memory(8), "input 'memory_in/hidden' of the contract is not in the graph"),
    "memory as an input": (entry(JOINTS, "name", "memory_in/hidden"), "'memory_in/hidden' is memory that the contract"),
    "forgotten input": (lambda c: edit(c, "inputs", value=lambda v: v[:-1]), "input 'switched' is not in the contract"),
}  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_a_card_that_does_not_fit_is_refused_by_name(tmp_path, name):
    change, text = CARDS[name]
    path = write(tmp_path / "policy.onnx", change(student_card()), graph=student_card())
    with pytest.raises(ArtifactError, match=text) as caught:
        Policy(path, ROBOTS.load("aloha"), RATE, cameras())
    assert caught.value.hint


# What is wrong with the memory of a card, while the graph has a memory ``hidden`` of 8 numbers.
MEMORIES = {
    "not declared": (lambda c: c, "input 'memory_in/hidden' is not in the contract"),
    "not declared as it comes out": (lambda c: c, "output 'memory_out/hidden' is not in the contract"),
    "fewer numbers": (
        memory(7),
        r"'memory_in/hidden' has shape .*8\], the contract says \['batch', 7\]",
    ),
    "another shape": (memory(2, 4), "output 'memory_out/hidden' has shape"),
    "another name": (memory(8, name="state"), "input 'memory_in/state' of the contract is not in the graph"),
}


@pytest.mark.parametrize("name", MEMORIES)
def test_memory_that_does_not_fit_is_refused_by_name(tmp_path, name):
    change, text = MEMORIES[name]
    path = write(tmp_path / "policy.onnx", change(student_card()), graph=memory(8)(student_card()))
    with pytest.raises(ArtifactError, match=text):
        Policy(path, ROBOTS.load("aloha"), RATE, cameras())


@pytest.mark.parametrize("lost", ["input", "output"])
def test_a_graph_that_only_takes_or_only_gives_memory_is_refused(tmp_path, lost):
    path = write(tmp_path / "policy.onnx", memory(8)(student_card()))
    model = onnx.load(path)
    nodes = getattr(model.graph, lost)
    kept = [node for node in nodes if not node.name.startswith("memory_")]
    del nodes[:]
    nodes.extend(kept)
    if lost == "input":
        zeros = onnx.numpy_helper.from_array(np.zeros((1, 8), np.float32), "memory_in/hidden")
        model.graph.initializer.append(zeros)
    onnx.helper.set_model_props(model, {seal.SEAL_KEY: seal.PLACEHOLDER, **card_of(model)})
    path.write_bytes(seal.sealed(model.SerializeToString(deterministic=True)))
    with pytest.raises(ArtifactError, match=f"{lost} 'memory_(in|out)/hidden' of the contract is not in the graph"):
        Policy(path, ROBOTS.load("aloha"), RATE, cameras())


def card_of(model):
    return {p.key: p.value for p in model.metadata_props if p.key != seal.SEAL_KEY}


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("initial", [0.0] * 3, "initial value has 3 numbers, the shape .8. 8"),
        ("initial", True, "valid number"),
        ("initial", 1e39, "needs numbers from"),
        ("shape", [0], "greater than or equal to 1"),
        ("shape", [1 << 40], "at most 1048576 numbers"),
        ("name", "../x", "match pattern"),
        ("dtype", "uint8", "float32"),
    ],
)
def test_a_memory_that_cannot_be_is_refused_where_the_card_is_read(tmp_path, field, value, text):
    card = memory(8)(student_card())
    data = card.model_dump(mode="json")
    data["memory"][0][field] = value
    path = write(tmp_path / "policy.onnx", card)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"s2rctl.contract": json.dumps(data), seal.SEAL_KEY: seal.PLACEHOLDER})
    path.write_bytes(seal.sealed(model.SerializeToString(deterministic=True)))
    with pytest.raises(ArtifactError, match=f"contract card is invalid at memory.*{text}"):
        Policy(path, ROBOTS.load("aloha"), RATE, cameras())


def sized(**changes):
    return lambda found: [camera.model_copy(update=changes) for camera in found]


# What is wrong at the robot, while the file is right.
ROBOT_SIDE = {
    "loop at another rate": ({"rate": 50.0}, "trained at 20 Hz, the loop runs at 50 Hz"),
    "another robot connected": ({"robot": "xarm7"}, "made for the robot 'aloha', this is 'xarm7'"),
    "camera not installed": (
        {"cameras": lambda found: found[:1]},
        "looks through the camera 'wrist_cam_right', there is",
    ),
    "camera renamed": ({"cameras": sized(name="usb_0")}, "looks through the camera 'wrist_cam_left', there is usb_0"),
    "camera size": ({"cameras": sized(width=64, height=64)}, "wants 32x32 .* the profile says 64x64"),
    "depth switched off": ({"cameras": sized(depth=False)}, "wants depth of the camera .* which gives none"),
    "depth scale of the device": (
        {"cameras": sized(depth_unit_m=1e-3)},
        "in counts of 0.0001 m, the camera counts 0.001",
    ),
    "depth range of the device": ({"cameras": sized(depth_range_m=(0.0, 1.0))}, r"the camera gives \[0.0, 1.0\] m"),
    "rewired joints": (
        {"spec": lambda s: dataclasses.replace(s, joints=tuple(swapped(s.joints)))},
        "order of 'joint_pos' differs",
    ),
}


@pytest.mark.parametrize("name", ROBOT_SIDE)
def test_a_robot_that_does_not_fit_is_refused_by_name(tmp_path, name):
    changes, text = ROBOT_SIDE[name]
    spec = changes.get("spec", lambda s: s)(ROBOTS.load(changes.get("robot", "aloha")))
    path = write(tmp_path / "policy.onnx", student_card())
    with pytest.raises(ArtifactError, match=text):
        Policy(path, spec, changes.get("rate", RATE), changes.get("cameras", lambda found: found)(cameras()))


def edited_weight(model):
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((1, 14), np.float32), "bias"))


def edited_card(model):
    card = edit(student_card(), "action_meaning", value="absolute joint targets")
    next(p for p in model.metadata_props if p.key == "s2rctl.contract").value = card.model_dump_json()


def renamed_seal(model):
    next(p for p in model.metadata_props if p.key == seal.SEAL_KEY).value = "none"


@pytest.mark.parametrize("change", [edited_weight, edited_card, renamed_seal])
def test_a_file_that_was_edited_after_its_export_is_refused(tmp_path, change):
    path = write(tmp_path / "policy.onnx", student_card())
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match="was changed after it was exported"):
        Policy(path, ROBOTS.load("aloha"), RATE, cameras())
    with pytest.raises(ArtifactError, match="was changed after it was exported"):
        contract_of(path)


def test_a_flipped_bit_and_a_cut_file_are_refused(tmp_path):
    path = write(tmp_path / "policy.onnx", student_card())
    content = bytearray(path.read_bytes())
    content[content.index(b"change of each joint target")] ^= 1
    (tmp_path / "flipped.onnx").write_bytes(bytes(content))
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:-100])
    for name in ("flipped.onnx", "cut.onnx"):
        with pytest.raises(ArtifactError, match=name):
            Policy(tmp_path / name, ROBOTS.load("aloha"), RATE, cameras())


# Changes that mean nothing wrong: the same policy must still be accepted.
GOOD = {
    "as exported": lambda c: c,
    "another policy name": lambda c: edit(c, "policy", value="student/other"),
    "another wording": lambda c: edit(c, "action_meaning", value="joint target change"),
    "other delays": lambda c: edit(c, "action_delay_steps", value=[0.25] * 4),
    "rounded delays": lambda c: edit(c, "observation_delay_steps", value=[0.83, 0.104, 0.02, 0.046]),
    "rounding of the rate": lambda c: edit(c, "rate_hz", value=20.000001),
    "rounding of a limit": entry(JOINTS, "low", lambda v: [x + 1e-6 for x in v]),
    "no names": entry(JOINTS, "elements", []),
    "no limits": lambda c: edit(edit(c, "inputs", JOINTS, "low", value=None), "inputs", JOINTS, "high", value=None),
    "no unit": entry(JOINTS, "unit", ""),
    "unit in other words": entry(JOINTS, "unit", "rad"),
    "another meaning": entry(0, "meaning", "picture"),
    "inputs in another order": lambda c: edit(c, "inputs", value=lambda v: v[::-1]),
    "cameras in another order": lambda c: edit(c, "cameras", value=lambda v: v[::-1]),
    "another field of view": camera(0, "fovy_deg", 61.0),
    "another camera pose": camera(0, "position_m", [0.01, 0.0, 0.02]),
    "camera on the table": camera(0, "parent", "base"),
    "wider randomisation": camera(0, "rotation_range_deg", 15.0),
    "depth unit by rounding": camera(0, "depth_unit_m", 1.0000001e-4),
    "depth range unsaid": camera(0, "depth_range_m", None),
    "no lineage": lambda c: edit(c, "trained_from", value={}),
    "another version": lambda c: edit(c, "versions", value={"opset": "23"}),
    "a memory": memory(8, initial=0.5),
    "a memory of one number": memory(),
    "a memory of images": memory(2, SIZE, SIZE, initial=-1),
    "smaller steps": lambda c: edit(c, "action_scale", value=[0.01] * 14),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_student_that_fits_is_never_refused(tmp_path, name):
    card = GOOD[name](student_card())
    policy = Policy(write(tmp_path / "policy.onnx", card), ROBOTS.load("aloha"), RATE, cameras())
    assert policy.contract == card
    assert policy.infer(policy.zeros())["action"].shape == (1, 14)


def estimating(*outputs, of="tcp"):
    figures = {"median_m": 0.01, "p95_m": 0.02, "p99_m": 0.03, "filtered_max_m": 0.025, "filter_s": 0.35, "episodes": 9}
    return lambda card: card.model_copy(
        update={"estimates": tuple(Estimate(output=output, of=of, **figures) for output in outputs)}
    )


GOOD_REACH = {
    "as exported": lambda c: c,
    "with an estimate": estimating("position"),
    "without the position": lambda c: edit(c, "outputs", value=lambda v: v[:1]),
    "larger steps": lambda c: edit(c, "action_scale", value=[0.05] * 3),
    "another camera angle": camera(0, "fovy_deg", 50.0),
    "delays": lambda c: edit(c, "action_delay_steps", value=[0.5, 0.5]),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", GOOD_REACH)
def test_a_reach_policy_that_fits_is_never_refused(tmp_path, name, known):
    card = GOOD_REACH[name](reach_card())
    installed = [CameraSettings(name="side", width=84, height=84), CameraSettings(name="front", width=84, height=84)]
    Policy(write(tmp_path / "policy.onnx", card), ROBOTS.load("xarm7"), RATE, installed if known else None)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (estimating("place"), "estimate 'place' is no output of three numbers"),
        (estimating("position", of="left/gripper"), "'position' is about 'left/gripper', the robot has tcp"),
        (estimating("position", "position"), "described twice"),
    ],
)
def test_an_estimate_that_kinematics_cannot_check_is_refused_by_name(tmp_path, change, text):
    path = write(tmp_path / "policy.onnx", change(reach_card()), graph=reach_card())
    with pytest.raises(ArtifactError, match=text):
        Policy(path, ROBOTS.load("xarm7"), RATE, [CameraSettings(name="side", width=84, height=84)])


def test_there_are_enough_of_both():
    assert len(CARDS) + len(ROBOT_SIDE) >= 40
    assert len(GOOD) + 2 * len(GOOD_REACH) >= 30
