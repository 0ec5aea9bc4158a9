"""ONNX files: the metadata (contract card, seal) of a policy that somebody else wrote, and the file around it.

The graph itself is onnxruntime's to read, in this process; the short run changes only what this project reads.
"""

import io
import json
from functools import cache
from typing import Any

import onnx
from onnx import TensorProto, helper

from s2rctl.cli.describe import contract_text
from s2rctl.control.policy import Policy, contract_of
from s2rctl.core import seal
from s2rctl.evaluation.report_origin import card_rows
from s2rctl.evaluation.templates import render
from s2rctl.robots import ROBOTS
from s2rctl.schema.tensors import CONTRACT_KEY
from tests.fuzz.box import Box
from tests.fuzz.harness import Target
from tests.fuzz.mutate import Chooser, edit_tree, mutate_bytes
from tests.fuzz.stores import card

_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16}


def model(text: str, sealed: bool) -> bytes:
    """Return a policy that always answers zeros, with a contract card and a seal."""
    contract = card()
    inputs = [helper.make_tensor_value_info(t.name, _TYPES[t.dtype], list(t.shape)) for t in contract.inputs]
    outputs = [helper.make_tensor_value_info(t.name, _TYPES[t.dtype], list(t.shape)) for t in contract.outputs]
    zeros = helper.make_tensor("zeros", TensorProto.FLOAT, [1, 14], [0.0] * 14)
    graph = helper.make_graph([helper.make_node("Identity", ["zeros"], ["action"])], "p", inputs, outputs, [zeros])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    helper.set_model_props(made, {CONTRACT_KEY: text} | ({seal.SEAL_KEY: seal.PLACEHOLDER} if sealed else {}))
    content = made.SerializeToString()
    try:
        return seal.sealed(content) if sealed else content
    except ValueError:  # a card that looks like a seal
        return content


@cache
def seeds() -> list[bytes]:
    return [model(card().model_dump_json(), True), model(card().model_dump_json(), False)]


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change the card, and seal the file again or not; or change the other metadata."""
    try:
        found = onnx.load_model(io.BytesIO(data))
        entries = {entry.key: entry.value for entry in found.metadata_props}
        text = entries.get(CONTRACT_KEY, "{}")
        if choose.below(5):
            text = json.dumps(edit_tree(choose, json.loads(text)))
        else:
            text = mutate_bytes(choose, text.encode()).decode("utf-8", "ignore")
        return model(text, bool(choose.below(4)))
    except Exception:  # not a model any more: protobuf, onnx and JSON each have their own errors
        return seeds()[0]


def run(data: bytes, box: Box) -> Any:
    path = box.file("policy.onnx", data)
    state = seal.state(data)
    contract = contract_of(path)
    contract_text(contract)
    render("contract", contract=card_rows(contract))
    policy = Policy(path, ROBOTS.load("aloha"), 20.0)
    assert policy.infer(policy.zeros())["action"].shape == (1, 14)
    return state


TARGET = Target("onnx", run, seeds, shape)
