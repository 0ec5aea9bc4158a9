"""OpenPI's wire format: msgpack with NumPy arrays and scalars as maps with byte keys, as openpi-client 0.1 has it.

Array: ``{b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [..]}``; scalar: ``{b"__npgeneric__": True,
b"data": number, b"dtype": "<f8"}``. Void, object and complex types are refused on both sides: nothing is pickled.
"""

from typing import Any

import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, UsageError

_REFUSED = "VOc"


def pack(message: Any) -> bytes:
    """Return a message (maps, lists, text, numbers, NumPy arrays) as bytes; UsageError for what has no form."""
    packed: bytes = _msgpack().packb(message, default=_encode)
    return packed


def unpack(data: bytes) -> Any:
    """Return the message in ``data``; UsageError when it is not one."""
    library = _msgpack()
    try:
        return library.unpackb(data, object_hook=_decode)
    except (ValueError, TypeError, KeyError, library.exceptions.UnpackException) as error:
        raise UsageError(
            f"this is no openpi message: {error or type(error).__name__}", "send what openpi-client sends"
        ) from error


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _REFUSED:
        raise UsageError(f"numbers of type {value.dtype} cannot be sent", "send integers, floats or booleans")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return value


def _decode(value: dict[Any, Any]) -> Any:
    if b"__ndarray__" in value:
        # a copy, because what lies in the message is read-only
        return np.ndarray(buffer=value[b"data"], dtype=_dtype(value[b"dtype"]), shape=value[b"shape"]).copy()
    if b"__npgeneric__" in value:
        return _dtype(value[b"dtype"]).type(value[b"data"])
    return value


def _dtype(text: Any) -> np.dtype[Any]:
    dtype = np.dtype(text)
    if dtype.kind in _REFUSED:
        raise ValueError(f"type {dtype} is refused")
    return dtype


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError as error:
        raise MissingEnvironmentError("the policy server needs msgpack", "pip install 's2rctl[openpi]'") from error
    return msgpack
