"""The inside of a chunk: recordings of ours have none, but tools that copy MCAP files make them."""

import io

from mcap.records import Chunk

LARGEST_CHUNK = 256 << 20
"""Bytes that a chunk may unpack to, whatever it announces."""
_LARGEST_WINDOW = 128 << 20


def unpack(chunk: Chunk) -> bytes | None:
    """Return the records inside, or None where they cannot be unpacked within the limits."""
    limit = min(chunk.uncompressed_size, LARGEST_CHUNK)
    try:
        if chunk.compression == "zstd":
            import zstandard

            unpacker = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
            with unpacker.stream_reader(io.BytesIO(chunk.data)) as reader:
                data = reader.read(limit)
        elif chunk.compression == "lz4":
            import lz4.frame

            data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=limit)
        else:
            data = chunk.data if chunk.compression == "" else b""
    except Exception:  # each library raises classes of its own, and either may be missing
        return None
    return data if data and len(data) == chunk.uncompressed_size else None
