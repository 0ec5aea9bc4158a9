"""An exported file is used as it was exported or not at all: whatever is taken away, added or swapped is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from s2rctl.control.policy import Policy, card_in, contract_of
from s2rctl.core import onnx_file, seal
from s2rctl.core.errors import ArtifactError
from s2rctl.core.exits import ExitCode
from s2rctl.schema.tensors import CONTRACT_KEY
from tests.control.rigs import TINY, contract, write_policy


@pytest.fixture
def path(tmp_path):
    return write_policy(tmp_path / "policy.onnx", contract(TINY), np.zeros(3), {"joint_pos": np.eye(4, 3)})


def props(model):
    return {entry.key: entry for entry in model.metadata_props}


def without(key):
    def change(model, folder):
        model.metadata_props.remove(props(model)[key])

    return change


def everything_away(model, folder):
    del model.metadata_props[:]


def another_files_seal(model, folder):
    other = write_policy(folder / "other.onnx", contract(TINY), np.ones(3))
    props(model)[seal.SEAL_KEY].value = props(onnx.load(other))[seal.SEAL_KEY].value


def second_seal(model, folder):
    model.metadata_props.add(key=seal.SEAL_KEY, value=props(model)[seal.SEAL_KEY].value)


def second_card(model, folder):
    model.metadata_props.add(key=CONTRACT_KEY, value=contract(TINY, robot="xarm7").model_dump_json())


def seal_of_zeros(model, folder):
    props(model)[seal.SEAL_KEY].value = seal.PLACEHOLDER


def extra_entry(model, folder):
    model.metadata_props.add(key="note", value="harmless")


def other_producer(model, folder):
    model.producer_name = "somebody"


def other_card(model, folder):
    props(model)[CONTRACT_KEY].value = contract(TINY, rate_hz=50.0).model_dump_json()


EDITS = {
    "seal removed": (without(seal.SEAL_KEY), "has no seal"),
    "seal and card removed": (everything_away, "has no seal"),
    "card removed": (without(CONTRACT_KEY), "was changed after it was exported"),
    "card of another policy": (other_card, "was changed after it was exported"),
    "seal of another file": (another_files_seal, "was changed after it was exported"),
    "seal twice": (second_seal, "was changed after it was exported"),
    "card twice": (second_card, "was changed after it was exported"),
    "seal of zeros": (seal_of_zeros, "was changed after it was exported"),
    "an entry more": (extra_entry, "was changed after it was exported"),
    "another producer": (other_producer, "was changed after it was exported"),
}


def refused(path, text):
    for use in (lambda: Policy(path, TINY, 20.0), lambda: contract_of(path), lambda: card_in(path.read_bytes(), "p")):
        with pytest.raises(ArtifactError, match=text) as caught:
            use()
        assert caught.value.exit_code == ExitCode.ARTIFACT
        assert "s2rctl export" in caught.value.hint and "\n" not in caught.value.message


@pytest.mark.parametrize("name", EDITS)
def test_what_is_not_as_it_was_exported_is_refused(path, tmp_path, name):
    change, text = EDITS[name]
    model = onnx.load(path)
    change(model, tmp_path)
    path.write_bytes(model.SerializeToString(deterministic=True))
    refused(path, text)


def sealed_again(path, change):
    """Change a model and seal it anew, as a forger would."""
    model = onnx.load(path)
    props(model)[seal.SEAL_KEY].value = seal.PLACEHOLDER
    change(model)
    path.write_bytes(seal.sealed(model.SerializeToString(deterministic=True)))
    return path


def outside(tensor, location="../../../../etc/passwd"):
    """Let a tensor take its numbers from another file."""
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location


def external_weight(model):
    outside(model.graph.initializer[0])


def external_constant(model):
    constant = numpy_helper.from_array(np.zeros(3, np.float32), "inner")
    outside(constant, "beside.bin")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=constant))


def external_in_a_branch(model):
    constant = numpy_helper.from_array(np.zeros(3, np.float32), "inner")
    outside(constant)
    branch = helper.make_graph([], "branch", [], [], [constant])
    model.graph.node.append(helper.make_node("If", ["joint_pos"], ["unused"], then_branch=branch, else_branch=branch))


def external_sparse(model):
    values = numpy_helper.from_array(np.zeros(1, np.float32), "sparse")
    outside(values)
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "at")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))


def external_function(model):
    constant = numpy_helper.from_array(np.zeros(3, np.float32), "inner")
    outside(constant)
    node = helper.make_node("Constant", [], ["y"], value=constant)
    model.functions.append(helper.make_function("own", "f", [], ["y"], [node], [helper.make_opsetid("", 21)]))


def huge_entry(model):
    model.metadata_props.add(key="note", value="x" * (onnx_file.LARGEST_METADATA + 1))


def deep_card(model):
    props(model)[CONTRACT_KEY].value = '{"policy":' + "[" * 100_000 + "]" * 100_000 + "}"


def card_twice(model):
    second_card(model, None)


def no_card(model):
    without(CONTRACT_KEY)(model, None)


def no_number_card(model):
    text = props(model)[CONTRACT_KEY].value
    props(model)[CONTRACT_KEY].value = text.replace('"rate_hz":20.0', '"rate_hz":1e999')


FORGED = {
    "weight outside": (external_weight, "stores tensor data in other files"),
    "constant outside": (external_constant, "stores tensor data in other files"),
    "outside in a branch": (external_in_a_branch, "stores tensor data in other files"),
    "sparse outside": (external_sparse, "stores tensor data in other files"),
    "outside in a function": (external_function, "stores tensor data in other files"),
    "huge metadata": (huge_entry, "MiB of metadata"),
    "deep card": (deep_card, "contract card is invalid"),
    "card twice": (card_twice, "'s2rctl.contract' twice"),
    "no card": (no_card, "has no contract card"),
    "infinite rate": (no_number_card, "contract card is invalid"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_seal_does_not_make_a_bad_file_good(path, name):
    change, text = FORGED[name]
    refused(sealed_again(path, change), text)


@pytest.mark.parametrize("shape", [["batch", 2**40], ["batch", -1], [], ["batch", 0], ["batch", 10**30]])
def test_a_card_with_an_impossible_shape_is_refused(path, shape):
    def change(model):
        text = props(model)[CONTRACT_KEY].value
        props(model)[CONTRACT_KEY].value = text.replace('["batch",4]', str(shape).replace("'", '"').replace(" ", ""))
        for tensor in model.graph.input:
            del tensor.type.tensor_type.shape.dim[:]

    with pytest.raises(ArtifactError):
        Policy(sealed_again(path, change), TINY, 20.0)


def test_a_graph_that_cannot_run_is_refused(path):
    def change(model):
        model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 40], np.int64), "many"))
        model.graph.node[-1].output[0] = "before"
        model.graph.node.append(helper.make_node("ConstantOfShape", ["many"], ["zeros"]))
        model.graph.node.append(helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0))
        model.graph.node.append(helper.make_node("Add", ["before", "sum"], ["action"]))

    with pytest.raises(ArtifactError) as caught:
        Policy(sealed_again(path, change), TINY, 20.0)
    assert "\n" not in caught.value.message


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    for name in ("pipe.onnx", ".", "/dev/zero", "x\0.onnx"):
        with pytest.raises(ArtifactError):
            contract_of(tmp_path / name)


def test_a_file_beyond_the_limit_is_not_even_read(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ArtifactError, match="too large"):
        contract_of(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_only_the_very_bytes_that_were_exported_are_accepted(path, data):
    content = bytearray(path.read_bytes())
    first = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "zero", "insert"])):
        case "flip":
            content[first] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del content[first:]
        case "zero":
            last = data.draw(st.integers(first + 1, len(content)))
            content[first:last] = bytes(last - first)
        case "insert":
            content[first:first] = data.draw(st.binary(min_size=1, max_size=40))
    if bytes(content) == path.read_bytes():
        return
    with pytest.raises(ArtifactError):
        card_in(bytes(content), "policy.onnx")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_walked_or_refused(content):
    try:
        onnx_file.walk(content)
    except ValueError:
        pass
    with pytest.raises(ArtifactError):
        onnx_file.check(content, "x.onnx")


def test_the_walk_sees_what_the_library_sees(path):
    model = onnx.load(path)
    found = onnx_file.walk(path.read_bytes())
    assert dict(found.metadata) == {entry.key: entry.value for entry in model.metadata_props}
    assert found.external == ()


def test_the_robot_side_needs_no_onnx_library_for_it():
    code = "import sys, s2rctl.operations.sealed; print(sorted({'onnx', 'jax', 'mujoco'} & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert out.stdout.strip() == "[]"


def test_a_file_that_is_not_there_is_a_matter_of_its_path(tmp_path):
    for name in ("missing.onnx", "nul\0.onnx"):
        with pytest.raises(ArtifactError, match="cannot read the policy") as caught:
            onnx_file.read(tmp_path / name)
        assert "check the path" in caught.value.hint
