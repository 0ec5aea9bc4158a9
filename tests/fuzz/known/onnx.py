import io
import json
from typing import Any

import onnx

from s2rctl.core import seal
from tests.fuzz.stores import card
from tests.fuzz.targets.onnx import model


def _card(**changes: Any) -> str:
    return json.dumps({**card().model_dump(mode="json"), **changes})


def _with_shape(*shape: Any) -> str:
    inputs = json.loads(_card())["inputs"]
    inputs[2]["shape"] = list(shape)
    return _card(inputs=inputs)


def _elsewhere(place: str) -> bytes:
    """Return a policy whose numbers lie in another file."""
    found = onnx.load_model(io.BytesIO(model(_card(), False)))
    (tensor,) = found.graph.initializer
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "56")):
        tensor.external_data.add(key=key, value=value)
    found.metadata_props.add(key=seal.SEAL_KEY, value=seal.PLACEHOLDER)
    return seal.sealed(found.SerializeToString())


def cases() -> dict[str, bytes]:
    inputs = json.loads(_card())["inputs"]
    return {
        "large shape": model(_with_shape(2**31, 32, 32), True),
        "negative shape": model(_with_shape(-1, 32, 32), True),
        "odd bytes": model(_card(), False).replace(b"student/aloha", b"student/\xff\xfe\xfd\xfc\xfb"),
        "deep card": model("[" * 50_000, True),
        "empty": b"",
        "numbers in a file above": _elsewhere("../victim/f"),
        "numbers in a file of the system": _elsewhere("/etc/hostname"),
        "escapes": model(_card(action_meaning="\x1b[31m\x9b", robot="\x1b[2J"), True),
        "no scale": model(_card(action_scale=[]), True),
        "twins": model(_card(inputs=inputs * 2), True),
    }
