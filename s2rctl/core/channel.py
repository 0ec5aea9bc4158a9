"""Messages between two processes of ours: a name, plain values and arrays over one stream socket.

Used where a device's own protocol is not: between a rehearsal and its emulator, between the loop and a driver that runs
apart. Layout: u32 length of the JSON head, head, bytes of the arrays in the head's order. No pickle. What a head
announces is bounded before anything is read or made for it: the other side may be damaged, or not ours at all.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s2rctl.core import errors
from s2rctl.core.errors import MissingEnvironmentError, S2rError
from s2rctl.core.number_types import number_type

_LENGTH = struct.Struct("<I")
LARGEST_HEAD, LARGEST_DATA = 1 << 20, 256 << 20
"""Bytes of a head, and of all arrays of one message: a scene's model is smaller."""
MOST_ARRAYS, MOST_DIMENSIONS = 256, 8
_PART = 1 << 20


class BadMessage(ValueError):
    """What came is no message, or not one that can be used."""


@dataclass(frozen=True)
class Message:
    """One message."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a value that is text; BadMessage when there is none."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise BadMessage(f"'{self.name}' without the text '{name}'")
        return value

    def number(self, name: str, low: float = -math.inf) -> float:
        """Return a value that is a finite number, at least ``low``; BadMessage when there is none."""
        return number(self.values.get(name), f"'{self.name}' without the number '{name}'", low)

    def items(self, name: str) -> list[Any]:
        """Return a value that is a list; BadMessage when there is none."""
        value = self.values.get(name)
        if not isinstance(value, list):
            raise BadMessage(f"'{self.name}' without the list '{name}'")
        return value

    def array(self, name: str) -> np.ndarray:
        """Return an array; BadMessage when there is none."""
        if name not in self.arrays:
            raise BadMessage(f"'{self.name}' without the array '{name}'")
        return self.arrays[name]


def number(value: Any, otherwise: str, low: float = -math.inf) -> float:
    """Return a finite number of at least ``low``; BadMessage with the text when a value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage(otherwise)
    try:
        result = float(value)
    except OverflowError:
        raise BadMessage(otherwise) from None
    if not low <= result or not math.isfinite(result):
        raise BadMessage(otherwise)
    return result


def send(connection: socket.socket, message: Message) -> None:
    """Send one message; OSError when the other side has gone. Not for two threads at once."""
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    layout = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    head = json.dumps({"name": message.name, "values": message.values, "arrays": layout}).encode()
    connection.sendall(b"".join([_LENGTH.pack(len(head)), head, *(array.tobytes() for array in arrays.values())]))


def receive(connection: socket.socket, within_s: float | None = None) -> Message | None:
    """Return the next message, or None when the other side has closed; BadMessage for what is none.

    ``within_s``: s in which all of it must have come, else TimeoutError; None leaves the socket's own time-out.
    """
    stream = _Stream(connection, None if within_s is None else time.monotonic() + within_s)
    prefix = stream.exactly(_LENGTH.size)
    if prefix is None:
        return None
    (size,) = _LENGTH.unpack(prefix)
    if size > LARGEST_HEAD:
        raise BadMessage(f"a message's head of {size} bytes")
    raw = stream.exactly(size)
    if raw is None:
        return None
    name, values, layout = _head(raw)
    arrays = {}
    for label, dtype, shape in layout:
        data = stream.exactly(math.prod(shape) * dtype.itemsize)
        if data is None:
            return None
        arrays[label] = np.frombuffer(data, dtype).reshape(shape)
    return Message(name, values, arrays)


_Layout = list[tuple[str, np.dtype[Any], tuple[int, ...]]]


def _head(raw: bytes) -> tuple[str, dict[str, Any], _Layout]:
    """Return name, values and the arrays' layout of a message."""
    try:
        head = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"a head that is not JSON: {type(error).__name__}") from error
    if not isinstance(head, dict) or not isinstance(head.get("name"), str) or not isinstance(head.get("values"), dict):
        raise BadMessage("a head without a name and values")
    rows = head.get("arrays")
    if not isinstance(rows, list) or len(rows) > MOST_ARRAYS:
        raise BadMessage("a head without a list of arrays")
    layout = [_row(row) for row in rows]
    if len({label for label, _, _ in layout}) < len(layout):
        raise BadMessage("two arrays of one name")
    total = sum(math.prod(shape) * dtype.itemsize for _, dtype, shape in layout)
    if total > LARGEST_DATA:
        raise BadMessage(f"arrays of {total} bytes")
    return head["name"], head["values"], layout


def _row(row: Any) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    if not isinstance(row, list) or len(row) != 3:
        raise BadMessage("an array without name, type and shape")
    label, kind, shape = row
    if not isinstance(label, str) or not isinstance(shape, list):
        raise BadMessage("an array without name, type and shape")
    try:
        dtype = number_type(kind)
    except ValueError as error:
        raise BadMessage(f"array '{label}': {error}") from error
    if len(shape) > MOST_DIMENSIONS or any(type(side) is not int or not 0 <= side <= LARGEST_DATA for side in shape):
        raise BadMessage(f"array '{label}' of a shape that is none")
    return label, dtype, tuple(shape)


def fault(error: S2rError) -> Message:
    """Return an error as a message."""
    return Message("error", {"kind": type(error).__name__, "message": error.message, "hint": error.hint})


def as_error(message: Message) -> S2rError:
    """Return the error that the other side reported, as its own class."""
    known = getattr(errors, message.text("kind"), None)
    if not (isinstance(known, type) and issubclass(known, S2rError)):
        known = MissingEnvironmentError
    result: S2rError = known(message.text("message"), message.text("hint"))
    return result


class _Stream:
    """Reads from a socket until a time, s of the monotonic clock; None: as long as the socket waits."""

    def __init__(self, connection: socket.socket, deadline: float | None) -> None:
        self._connection, self._deadline = connection, deadline

    def exactly(self, count: int) -> bytes | None:
        """Return ``count`` bytes, or None at the end of the stream; memory is taken as they come."""
        parts = bytearray()
        while len(parts) < count:
            if self._deadline is not None:  # of the whole message: each byte must not buy new time
                self._connection.settimeout(max(self._deadline - time.monotonic(), 1e-3))
            try:
                part = self._connection.recv(min(count - len(parts), _PART))
            except ConnectionError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)
