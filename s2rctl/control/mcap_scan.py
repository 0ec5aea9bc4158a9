"""Takes every whole record out of an MCAP file, however damaged the rest is.

A record is believed for what it says itself, never for where it stands: behind damage the scan looks for the next
record that is whole. Memory is bounded by one record, time by a multiple of the file's size.
"""

import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from mcap import records as mcap
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile, McapError
from mcap.opcode import Opcode

from s2rctl.control import checksum
from s2rctl.control.mcap_chunk import unpack

MAGIC = b"\x89MCAP0\r\n"
LARGEST_RECORD = 64 << 20
"""Bytes; an image of ten megapixels in base64 has 40 million."""
MOST_VALUES = 100_000
"""Numbers in one message; a step has some hundred, an image a dozen and one long string."""
STEP_SCHEMA = "s2rctl.Step"
OURS = "s2rctl"
"""Name, or beginning of the name, of our metadata records."""
_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = 22  # channel, sequence and two times
_CANDIDATE = re.compile(rb"(?=[\x01-\x0f].{3}[\x00-\x04]\x00{4})", re.DOTALL)
_SMALLEST_BLOCK, _LARGEST_BLOCK = 4 << 10, 1 << 20
_PATIENCE = 8
"""Bytes read in vain behind damage, as a multiple of the file's size: who makes a file to cost more gets less of it."""

_READERS: dict[int, Callable[[ReadDataStream], Any]] = {
    Opcode.HEADER: mcap.Header.read,
    Opcode.FOOTER: mcap.Footer.read,
    Opcode.SCHEMA: mcap.Schema.read,
    Opcode.CHANNEL: mcap.Channel.read,
    Opcode.CHUNK: mcap.Chunk.read,
    Opcode.MESSAGE_INDEX: mcap.MessageIndex.read,
    Opcode.CHUNK_INDEX: mcap.ChunkIndex.read,
    Opcode.ATTACHMENT: mcap.Attachment.read,
    Opcode.ATTACHMENT_INDEX: mcap.AttachmentIndex.read,
    Opcode.STATISTICS: mcap.Statistics.read,
    Opcode.METADATA: mcap.Metadata.read,
    Opcode.METADATA_INDEX: mcap.MetadataIndex.read,
    Opcode.SUMMARY_OFFSET: mcap.SummaryOffset.read,
    Opcode.DATA_END: mcap.DataEnd.read,
}


@dataclass(frozen=True)
class Body:
    """A message that is whole: a step or an image, as its content says."""

    content: dict[str, Any]


@dataclass(frozen=True)
class Entries:
    """One of our metadata records."""

    name: str
    values: dict[str, str]


@dataclass(frozen=True)
class Gap:
    """Bytes that belong to no whole record."""

    offset: int
    length: int


class _Damaged(Exception):
    """What stands here is no whole record."""


class _Exact(ReadDataStream):
    """Gives what is asked for or raises; the library's own gives what there is."""

    def read(self, length: int) -> bytes:
        """Return so many bytes."""
        data: bytes = super().read(length)
        if len(data) < length:
            raise EndOfFile
        return data


class Scan:
    """The records of ``source[:size]``.

    ``checked``: only what carries its own checksum is believed. Otherwise (recordings of earlier versions, which have
    none) every message counts that is JSON. ``inside``: the source is the inside of a chunk.
    """

    def __init__(self, source: IO[bytes], size: int, checked: bool, inside: bool = False) -> None:
        self._source, self._size, self._checked, self._inside = source, size, checked, inside
        self._patience = _PATIENCE * size + LARGEST_RECORD
        self.ours = False  # whether anything says that s2rctl wrote the file
        self.summed = False  # whether the file says that its messages carry sums

    def items(self) -> Iterator[tuple[int, Body | Entries | Gap]]:
        """Yield what is whole and what is not, with offsets, in the file's order."""
        at, begin = 0, self._bytes(0, len(MAGIC))
        if begin == MAGIC:
            at = len(MAGIC)
        while at < self._size:
            if self._size - at == len(MAGIC) and self._bytes(at, len(MAGIC)) == MAGIC:
                return
            found = self._take(at)
            if found is not None:
                end, items = found
                for item in items:
                    yield at, item
                at = end
                continue
            behind = self._next(at + 1)
            yield at, Gap(at, behind - at)
            at = behind

    def _next(self, at: int) -> int:
        """Return where the next whole record begins, the file's size if there is none."""
        size = _SMALLEST_BLOCK
        while at < self._size and self._patience > 0:
            for match in _CANDIDATE.finditer(self._bytes(at, size + _HEAD.size)):
                where = at + match.start()
                if match.start() >= size or self._patience <= 0:
                    break
                if self._take(where, looking=True) is not None:
                    return where
            at += size
            size = min(2 * size, _LARGEST_BLOCK)
        return self._size

    def _take(self, at: int, looking: bool = False) -> tuple[int, list[Body | Entries | Gap]] | None:
        """Return the end of the record at an offset and what is in it, or None if it is not whole."""
        head = self._bytes(at, _HEAD.size)
        if len(head) < _HEAD.size:
            return None
        opcode, length = _HEAD.unpack(head)
        end = at + _HEAD.size + length
        known = opcode == Opcode.MESSAGE or opcode in _READERS
        if not known or length > LARGEST_RECORD or end > self._size or (self._inside and opcode == Opcode.CHUNK):
            return None
        try:
            if opcode == Opcode.MESSAGE:
                return end, self._message(at + _HEAD.size, length)
            self._patience -= length if looking else 0
            return end, self._other(opcode, self._bytes(at + _HEAD.size, length), at, looking)
        except _Damaged:
            return None

    def _message(self, at: int, length: int) -> list[Body | Entries | Gap]:
        if length < _MESSAGE_HEAD + 2:
            raise _Damaged
        start, size = at + _MESSAGE_HEAD, length - _MESSAGE_HEAD
        tail = self._bytes(start + size - min(size, checksum.TAIL_BYTES), checksum.TAIL_BYTES)
        if self._checked and not checksum.has_tail(tail):
            raise _Damaged
        if not self._checked and (self._bytes(start, 1) != b"{" or tail[-1:] != b"}"):
            raise _Damaged
        self._patience -= size
        data = self._bytes(start, size)
        if self._checked and not checksum.is_whole(data):
            raise _Damaged
        self._patience += size
        content = _json(data)
        self.summed |= content.pop(checksum.KEY, None) is not None
        return [Body(content)]

    def _other(self, opcode: int, data: bytes, at: int, looking: bool) -> list[Body | Entries | Gap]:
        record = _parsed(opcode, data)
        if isinstance(record, mcap.Schema):
            self.ours |= record.name == STEP_SCHEMA
        if isinstance(record, mcap.Header):
            self.summed |= record.library == checksum.LIBRARY
        if isinstance(record, mcap.Metadata):
            return self._metadata(record)
        if isinstance(record, mcap.Chunk):
            return self._chunk(record, at, looking)
        return []

    def _metadata(self, record: mcap.Metadata) -> list[Body | Entries | Gap]:
        """Return our metadata; those of somebody else say nothing to us."""
        known = record.name in (OURS, f"{OURS}.outcome")
        if not self._checked:
            self.ours |= known
            self.summed |= known and checksum.KEY in record.metadata
            return [Entries(record.name, record.metadata)] if known else []
        values = checksum.whole_metadata(record.name, record.metadata)
        if values is None and (known or checksum.KEY in record.metadata):
            raise _Damaged
        return [Entries(record.name, values)] if values is not None else []

    def _chunk(self, chunk: mcap.Chunk, at: int, looking: bool) -> list[Body | Entries | Gap]:
        """Return what is inside a chunk; one whose sum is wrong is searched only for what carries its own."""
        data = unpack(chunk)
        if data is None:
            raise _Damaged
        if not self._checked and chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
            raise _Damaged
        inner = Scan(io.BytesIO(data), len(data), self._checked, inside=True)
        found = [item for _, item in inner.items()]
        self.ours |= inner.ours
        self.summed |= inner.summed
        if looking and not any(isinstance(item, Body | Entries) for item in found):
            raise _Damaged
        return [Gap(at, item.length) if isinstance(item, Gap) else item for item in found]

    def _bytes(self, at: int, length: int) -> bytes:
        self._source.seek(at)
        return self._source.read(max(0, min(length, self._size - at)))


def _parsed(opcode: int, data: bytes) -> Any:
    """Return a record that fills its length exactly."""
    stream = _Exact(io.BytesIO(data))
    try:
        record = _READERS[opcode](stream)
    except (McapError, struct.error, ValueError, OverflowError) as error:
        raise _Damaged from error
    if stream.count != len(data):
        raise _Damaged
    return record


def _json(data: bytes) -> dict[str, Any]:
    if sum(map(data.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise _Damaged
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _Damaged from error
    if not isinstance(content, dict):
        raise _Damaged
    return content
