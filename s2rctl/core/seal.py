"""A seal on an ONNX file: the digest of the whole file, inside the file, checked without any ONNX library.

The metadata entry ``s2rctl.seal`` holds the SHA-256 of the file in which those 64 digits are zeros. Whoever edits the
graph, its weights or its contract card with any tool afterwards breaks it. It shows mistakes, not malice: a forger
could seal again.
"""

import hashlib
from typing import Literal

SEAL_KEY = "s2rctl.seal"
PLACEHOLDER = "0" * 64
# In the serialised metadata entry the key is followed by the tag of the value (field 2, a string) and its length, 64.
_MARK = SEAL_KEY.encode() + b"\x12\x40"


def sealed(content: bytes) -> bytes:
    """Return a serialised ONNX model whose placeholder is replaced by the seal; ValueError without one placeholder."""
    at = _position(content)
    if content.count(SEAL_KEY.encode()) != 1 or at < 0 or content[at : at + 64] != PLACEHOLDER.encode():
        raise ValueError(f"the model needs the metadata entry {SEAL_KEY} with 64 zeros, once")
    return content[:at] + hashlib.sha256(content).hexdigest().encode() + content[at + 64 :]


def state(content: bytes) -> Literal["intact", "broken", "absent"]:
    """Return whether a file is as it was sealed; ``absent`` for a file that was never sealed."""
    named = content.count(SEAL_KEY.encode())
    if not named:
        return "absent"
    at = _position(content)
    if at < 0 or named != 1:  # a second seal, of this or of another file, says that somebody wrote into it
        return "broken"
    plain = content[:at] + PLACEHOLDER.encode() + content[at + 64 :]
    return "intact" if hashlib.sha256(plain).hexdigest().encode() == content[at : at + 64] else "broken"


def _position(content: bytes) -> int:
    """Return where the 64 digits begin; -1 if there are none."""
    found = content.rfind(_MARK)
    return found + len(_MARK) if found >= 0 else -1
