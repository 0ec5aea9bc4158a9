"""What a policy's ONNX file must be before any library may load it: one file, sealed, with a small card.

The serialised model is walked field by field (protobuf's wire format; numbers of onnx.proto3), because the robot
computer has no ONNX library and the runtime would follow tensors into other files. Nothing is copied but the metadata.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from s2rctl.core import seal
from s2rctl.core.errors import ArtifactError

LARGEST_FILE = (1 << 31) - 1
"""Bytes: protobuf's own limit for one message."""
LARGEST_METADATA = 1 << 20
"""Bytes of all metadata together; a contract card has some ten thousand."""
MOST_FIELDS = 1_000_000
DEEPEST = 64
HINT = "export the policy again with s2rctl export (--force, if it was exported before)"
CHECK = "check the path and the permissions of the .onnx file"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_CHILDREN = {
    "model": {7: "graph", 14: "entry", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "tensor": {},
    "entry": {},
}
_TENSOR_NAME, _TENSOR_EXTERNAL_DATA, _TENSOR_LOCATION = 8, 13, 14
_KEY, _VALUE = 1, 2
_Field = tuple[int, int, int | memoryview]


@dataclass(frozen=True)
class OnnxFile:
    """What the walk found."""

    metadata: tuple[tuple[str, str], ...]  # in the file's order; a key may come twice
    external: tuple[str, ...]  # names of tensors whose numbers lie in another file


def read(path: Path) -> bytes:
    """Return the bytes of a policy's file; ArtifactError for what is no regular file, unreadable or too large."""
    try:
        found = path.stat()
        if not path.is_file():
            raise ArtifactError(f"{path} is not a regular file", "choose a file that s2rctl export wrote")
        if found.st_size > LARGEST_FILE:
            raise ArtifactError(f"{path} is too large for an ONNX file", "choose a file that s2rctl export wrote")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read the policy {path}: {error.strerror}", CHECK) from error
    except ValueError as error:  # a name with a NUL
        raise ArtifactError(f"cannot read the policy: {error}", CHECK) from error


def check(content: bytes, name: str) -> dict[str, str]:
    """Return the metadata of a serialised model that is sealed and complete in itself; ArtifactError for any other."""
    state = seal.state(content)
    if state == "broken":
        raise ArtifactError(f"{name} was changed after it was exported (its seal is broken)", HINT)
    try:
        found = walk(content)
    except ValueError as error:
        raise ArtifactError(f"{name} is not an ONNX graph that can run: {error}", HINT) from error
    if state == "absent":
        raise ArtifactError(f"{name} has no seal: s2rctl did not export it, or it was changed afterwards", HINT)
    if found.external:
        raise ArtifactError(f"{name} stores tensor data in other files (tensor '{found.external[0]}')", HINT)
    if sum(len(key) + len(value) for key, value in found.metadata) > LARGEST_METADATA:
        raise ArtifactError(f"{name} has more than {LARGEST_METADATA >> 20} MiB of metadata", HINT)
    keys = [key for key, _ in found.metadata]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ArtifactError(f"{name} has the metadata entry '{twice}' twice", HINT)
    return dict(found.metadata)


def walk(content: bytes) -> OnnxFile:
    """Return metadata and external tensors of a serialised model; ValueError for what is no ONNX model."""
    metadata: list[tuple[str, str]] = []
    external: list[str] = []
    waiting: list[tuple[str, int, memoryview]] = [("model", 0, memoryview(content))]
    count, graphs = 0, 0
    while waiting:
        kind, depth, view = waiting.pop()
        fields = []
        for field in _fields(view):
            count += 1
            if count > MOST_FIELDS:
                raise ValueError("it has too many fields")
            fields.append(field)
        if kind == "entry":
            metadata.append((_text(fields, _KEY), _text(fields, _VALUE)))
        elif kind == "tensor" and _is_external(fields):
            external.append(_text(fields, _TENSOR_NAME)[:80])
        if depth > DEEPEST:
            raise ValueError("its graphs are nested too deeply")
        children = [
            (_CHILDREN[kind][number], depth + 1, value)
            for number, wire, value in fields
            if wire == _BYTES and number in _CHILDREN[kind] and isinstance(value, memoryview)
        ]
        graphs += sum(child[0] == "graph" for child in children)
        waiting += reversed(children)
    if not graphs:
        raise ValueError("it holds no graph")
    return OnnxFile(tuple(metadata), tuple(external))


def _is_external(fields: list[_Field]) -> bool:
    located = any(number == _TENSOR_LOCATION and wire == _VARINT and value for number, wire, value in fields)
    return located or any(number == _TENSOR_EXTERNAL_DATA for number, _, _ in fields)


def _text(fields: list[_Field], wanted: int) -> str:
    """Return the last string field of a number, as protobuf does."""
    values = [value for number, wire, value in fields if number == wanted and wire == _BYTES]
    return bytes(values[-1]).decode("utf-8", "replace") if values else ""  # type: ignore[arg-type]


def _fields(view: memoryview) -> Iterator[_Field]:
    """Yield number, wire type and value of the fields of one message; ValueError where it is none."""
    at, end = 0, len(view)
    while at < end:
        tag, at = _varint(view, at)
        number, wire = tag >> 3, tag & 7
        value: int | memoryview = 0
        if wire == _VARINT:
            value, at = _varint(view, at)
        elif wire == _BYTES:
            size, at = _varint(view, at)
            value = view[at : at + size]
            at += size
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at > end or number == 0:
            raise ValueError("a field is cut off" if at > end else "a field has no number")
        yield number, wire, value


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return a number of variable length and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise ValueError("a number is cut off")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
