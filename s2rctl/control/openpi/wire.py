"""OpenPI's wire format: msgpack with NumPy arrays and scalars as maps with byte keys, as openpi-client 0.1 has it.

Array: ``{b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [..]}``; scalar: ``{b"__npgeneric__": True,
b"data": number, b"dtype": "<f8"}``. Only booleans, integers and floats are sent and taken, and what a peer announces is
held against what it sent before anything of that size is made: nothing is pickled, nothing grows on its way in.
"""

import math
from typing import Any

import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.core.number_types import KINDS, number_type

LARGEST_MESSAGE = 64 << 20
"""Bytes: ten uncompressed pictures of 1920 x 1080 and more."""
MOST_ITEMS = 4096
"""Entries of all maps and lists together; numbers in arrays do not count."""
DEEPEST = 16
MOST_DIMENSIONS = 8
LONGEST_TEXT = 1 << 16


def pack(message: Any) -> bytes:
    """Return a message (maps, lists, text, numbers, NumPy arrays) as bytes; UsageError for what has no form."""
    packed: bytes = _msgpack().packb(message, default=_encode)
    return packed


def unpack(data: bytes) -> Any:
    """Return the message in ``data``; UsageError when it is not one, or too large, too deep or of too many parts."""
    library = _msgpack()
    reader = _Reader()
    try:
        if len(data) > LARGEST_MESSAGE:
            raise ValueError(f"{len(data)} bytes")
        message = library.unpackb(
            data,
            object_hook=reader.map,
            list_hook=reader.list,
            max_array_len=MOST_ITEMS,
            max_map_len=MOST_ITEMS,
            max_str_len=LONGEST_TEXT,
            max_ext_len=0,
        )
        _check_depth(message)
    except (ValueError, TypeError, KeyError, ArithmeticError, library.exceptions.UnpackException) as error:
        text = str(error)[:200] or type(error).__name__
        raise UsageError(f"this is not an openpi message: {text}", "send what openpi-client sends") from error
    return message


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in KINDS:
        raise UsageError(f"numbers of type {value.dtype} cannot be sent", "send integers, floats or booleans")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return value


class _Reader:
    """Counts the parts of one message while they are read, and makes its arrays."""

    def __init__(self) -> None:
        self._items = 0

    def list(self, value: Any) -> Any:
        self._count(len(value))
        return value

    def map(self, value: dict[Any, Any]) -> Any:
        self._count(len(value))
        if b"__ndarray__" in value:
            return _array(value[b"data"], number_type(value[b"dtype"]), value[b"shape"])
        if b"__npgeneric__" in value:
            number = value[b"data"]
            if not isinstance(number, bool | int | float):
                raise ValueError("a scalar that is no number")
            return number_type(value[b"dtype"]).type(number)
        return value

    def _count(self, items: int) -> None:
        self._items += items
        if self._items > MOST_ITEMS:
            raise ValueError(f"more than {MOST_ITEMS} entries")


def _array(data: Any, dtype: np.dtype[Any], shape: Any) -> np.ndarray:
    """Return the array (shape) in ``data``; ValueError when the bytes are not exactly its numbers."""
    if not isinstance(data, bytes) or not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"an array has bytes and a list of at most {MOST_DIMENSIONS} dimensions")
    if any(type(side) is not int or not 0 <= side <= LARGEST_MESSAGE for side in shape):
        raise ValueError("a dimension that is no size")
    if math.prod(shape) * dtype.itemsize != len(data):  # Python's integers do not overflow
        raise ValueError(f"{len(data)} bytes are no array {tuple(shape)} of {dtype}")
    # a copy, because what lies in the message is read-only
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _check_depth(message: Any) -> None:
    """Raise ValueError for maps and lists nested deeper than anything that is read here."""
    level = [message]
    for _ in range(DEEPEST):
        inner = [part for part in level if isinstance(part, dict | list)]
        if not inner:
            return
        level = [part for group in inner for part in (group.values() if isinstance(group, dict) else group)]
    if any(isinstance(part, dict | list) for part in level):
        raise ValueError(f"nested deeper than {DEEPEST}")


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError as error:
        raise MissingEnvironmentError("the policy server needs msgpack", "pip install 's2rctl[openpi]'") from error
    return msgpack
