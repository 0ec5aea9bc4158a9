"""Random numbers of frames: one stream for each frame and purpose, whatever else is drawn beside it."""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np


class Chance:
    """Random numbers for n frames, each with a key of whole numbers."""

    def __init__(self, keys: Iterable[Sequence[int]]) -> None:
        self._keys = [tuple(key) for key in keys]

    def __call__(self, purpose: str) -> list[np.random.Generator]:
        """Return one generator for each frame; equal keys and purposes give equal numbers."""
        word = zlib.crc32(purpose.encode())
        return [np.random.Generator(np.random.SFC64([*key, word])) for key in self._keys]
