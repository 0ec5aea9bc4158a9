"""Checksums inside a recording: every message and every metadata record carries its own CRC-32.

MCAP's own sums cover whole chunks or the whole file: they tell that something is wrong, not which steps are still
right. These stand in the JSON itself, as the last entry ``crc32`` over all bytes before it: any reader can ignore them.
"""

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

KEY = "crc32"
LIBRARY = "s2rctl, every message with a sum"
"""What the file's first record says; recordings of earlier versions, which have no sums, say something else."""
_TAIL = re.compile(rb', "crc32": "([0-9a-f]{8})"\}')
TAIL_BYTES = len(b', "crc32": "01234567"}')


def stamped(body: Mapping[str, Any]) -> bytes:
    """Return a non-empty body as JSON with its sum."""
    text = json.dumps(body).encode()[:-1]
    return text + b', "%s": "%08x"}' % (KEY.encode(), zlib.crc32(text))


def has_tail(end: bytes) -> bool:
    """Return whether the last ``TAIL_BYTES`` bytes of a body look like a sum."""
    return _TAIL.fullmatch(end) is not None


def is_whole(data: bytes) -> bool:
    """Return whether a body is what ``stamped`` made."""
    tail = _TAIL.fullmatch(data, max(0, len(data) - TAIL_BYTES))
    return tail is not None and int(tail[1], 16) == zlib.crc32(memoryview(data)[: -len(tail[0])])


def stamped_metadata(name: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return the entries of a metadata record with their sum."""
    return {**values, KEY: _sum(name, values)}


def whole_metadata(name: str, values: Mapping[str, str]) -> dict[str, str] | None:
    """Return the entries without the sum, or None if they are not what ``stamped_metadata`` made."""
    rest = {key: value for key, value in values.items() if key != KEY}
    return rest if values.get(KEY) == _sum(name, rest) else None


def _sum(name: str, values: Mapping[str, str]) -> str:
    return f"{zlib.crc32(json.dumps([name, *values.items()]).encode()):08x}"
