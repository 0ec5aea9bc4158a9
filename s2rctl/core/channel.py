"""Messages between two processes of ours: a name, plain values and arrays over one stream socket.

Used where a device's own protocol is not: between a rehearsal and its emulator, between the loop and a driver that runs
apart. Layout: u32 length of the JSON head, head, bytes of the arrays in the head's order. No pickle.
"""

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s2rctl.core import errors
from s2rctl.core.errors import MissingEnvironmentError, S2rError

_LENGTH = struct.Struct("<I")
_LARGEST_HEAD = 1 << 20


@dataclass(frozen=True)
class Message:
    """One message."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def send(connection: socket.socket, message: Message) -> None:
    """Send one message; OSError when the other side has gone. Not for two threads at once."""
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    layout = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    head = json.dumps({"name": message.name, "values": message.values, "arrays": layout}).encode()
    connection.sendall(b"".join([_LENGTH.pack(len(head)), head, *(array.tobytes() for array in arrays.values())]))


def receive(connection: socket.socket) -> Message | None:
    """Return the next message, or None when the other side has closed; ValueError for what is none."""
    prefix = _exactly(connection, _LENGTH.size)
    if prefix is None:
        return None
    (size,) = _LENGTH.unpack(prefix)
    if size > _LARGEST_HEAD:
        raise ValueError(f"a message's head of {size} bytes")
    raw = _exactly(connection, size)
    if raw is None:
        return None
    head = json.loads(raw)
    arrays = {}
    for name, kind, shape in head["arrays"]:
        dtype = np.dtype(kind)
        if dtype.hasobject:
            raise ValueError(f"array '{name}' of type {kind}")
        data = _exactly(connection, int(np.prod(shape)) * dtype.itemsize)
        if data is None:
            return None
        arrays[name] = np.frombuffer(data, dtype).reshape(shape)
    return Message(head["name"], head["values"], arrays)


def fault(error: S2rError) -> Message:
    """Return an error as a message."""
    return Message("error", {"kind": type(error).__name__, "message": error.message, "hint": error.hint})


def as_error(message: Message) -> S2rError:
    """Return the error that the other side reported, as its own class."""
    known = getattr(errors, message.values["kind"], MissingEnvironmentError)
    result: S2rError = known(message.values["message"], message.values["hint"])
    return result


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    """Return ``count`` bytes, or None at the end of the stream."""
    parts = bytearray()
    while len(parts) < count:
        try:
            part = connection.recv(count - len(parts))
        except ConnectionError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
