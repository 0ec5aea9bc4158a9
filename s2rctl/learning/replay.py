"""A replay buffer of vector steps on the host: each image is stored once and serves as both ends of a transition.

Host memory and not the device: the buffer of 100,000 images of 84x84 is 2.1 GB, numpy writes and gathers it without
ever copying the whole, and a batch of 256 pairs costs about 5 ms. With a folder the arrays are memory-mapped files:
they survive kill -9, so a resumed run continues with the experience it had.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from s2rctl.core.errors import MissingEnvironmentError

Rows = Mapping[str, np.ndarray]


class Field(NamedTuple):
    """One stored quantity of one world."""

    shape: tuple[int, ...]
    dtype: Any


class Ahead(NamedTuple):
    """What to look for later in the episode."""

    clock: str  # field that counts the episode's steps from 0
    name: str
    steps: int  # the clock's value in an episode's last row


class Replay:
    """A ring of ``steps`` vector steps of ``worlds`` worlds, sampled uniformly.

    Row t holds what was seen at step t; what was seen next is row t + 1, so the newest row has no successor yet. The
    caller marks rows whose successor belongs to another episode and gives them no weight.
    """

    def __init__(self, steps: int, worlds: int, fields: Mapping[str, Field], folder: Path | None = None) -> None:
        """Allocate the arrays; with ``folder`` reuse the files of an earlier run if their sizes agree."""
        if steps < 2:
            raise ValueError("a replay buffer needs at least two steps")
        self.steps, self.worlds = steps, worlds
        self.cursor = self.filled = 0
        self._arrays = {
            name: _allocate((steps, worlds, *field.shape), np.dtype(field.dtype), name, folder)
            for name, field in fields.items()
        }

    def add(self, rows: Rows) -> None:
        """Append rows (C, B, ...), C <= steps, over the oldest."""
        count = len(next(iter(rows.values())))
        slots = (self.cursor + np.arange(count)) % self.steps
        for name, array in self._arrays.items():
            array[slots] = rows[name]
        self.cursor = int((self.cursor + count) % self.steps)
        self.filled = min(self.steps, self.filled + count)

    def sample(
        self, generator: np.random.Generator, batch: int, following: tuple[str, ...], ahead: Ahead | None = None
    ) -> dict[str, np.ndarray]:
        """Return ``batch`` rows, and for each name in ``following`` the next row's value as ``next_<name>``.

        With ``ahead`` also a value that is met later in the same episode, as ``later_<name>``, each remaining step
        being equally likely, and as ``same_episode`` whether there was one.
        """
        if self.filled < 2:
            raise ValueError("the replay buffer has no transition yet")
        age = generator.integers(2, self.filled + 1, batch)  # 1 is the newest row
        slot, world = (self.cursor - age) % self.steps, generator.integers(0, self.worlds, batch)
        found = {name: array[slot, world] for name, array in self._arrays.items()}
        after = (slot + 1) % self.steps
        found |= {f"next_{name}": self._arrays[name][after, world] for name in following}
        if ahead is not None:
            clock, name, length = ahead
            left = np.minimum(length - found[clock], age - 1)  # rows of the episode, or of the buffer, that follow
            by = 1 + (generator.random(batch) * np.maximum(left, 1)).astype(np.int64)
            by = np.minimum(by, np.maximum(left, 1))
            later = (slot + by) % self.steps
            found[f"later_{name}"] = self._arrays[name][later, world]
            # An episode that ended early is followed by rows of another one.
            found["same_episode"] = (self._arrays[clock][later, world] == found[clock] + by) & (left >= 1)
        return found

    def position(self) -> np.ndarray:
        """Return what a checkpoint has to keep besides the files: cursor and fill, (2,) int64."""
        return np.array([self.cursor, self.filled])

    def move_to(self, position: np.ndarray) -> None:
        """Go back to a checkpoint's cursor and fill."""
        self.cursor, self.filled = (int(number) for number in position)


def _allocate(shape: tuple[int, ...], dtype: np.dtype, name: str, folder: Path | None) -> np.ndarray:
    if folder is None:
        return np.zeros(shape, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    path, size = folder / f"{name}.bin", int(np.prod(shape)) * dtype.itemsize
    if not path.is_file() or path.stat().st_size != size:
        path.unlink(missing_ok=True)
        _reserve(path, size)
    return np.memmap(path, dtype, mode="r+", shape=shape)


def _reserve(path: Path, size: int) -> None:
    """Create the file with all its space, so that a full disk is an error now and not a crash later."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.ftruncate(descriptor, size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise MissingEnvironmentError(
            f"no space for the replay buffer: {size / 1e9:.1f} GB in {path.parent} ({error.strerror})",
            "free some disk space, or set a smaller reach.replay",
        ) from error
    finally:
        os.close(descriptor)
