"""Arrays that the drawing processes share with the environment: what to draw, and what was drawn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ALIGNED = 64


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    worlds: int
    geoms: int  # of the training model
    lamps: int
    cameras: int
    height: int
    width: int
    axes: int

    def arrays(self) -> Mapping[str, tuple[tuple[int, ...], type]]:
        """Return shape and type of every array."""
        worlds, geoms, lamps, cameras = self.worlds, self.geoms, self.lamps, self.cameras
        picture = (worlds, cameras, self.height, self.width)
        return {
            "geom_xpos": ((worlds, geoms, 3), np.float32),
            "geom_xmat": ((worlds, geoms, 3, 3), np.float32),
            "geom_size": ((worlds, geoms, 3), np.float32),
            "geom_rgba": ((worlds, geoms, 4), np.float32),
            "light_pos": ((worlds, lamps, 3), np.float32),
            "light_dir": ((worlds, lamps, 3), np.float32),
            "light_diffuse": ((worlds, lamps, 3), np.float32),
            "ambient": ((worlds, 3), np.float32),
            "eye": ((worlds, cameras, 3), np.float32),  # m, world frame
            "axes": ((worlds, cameras, 3, 3), np.float32),  # columns: right, up, back
            "fovy": ((worlds, cameras), np.float32),  # degrees
            "values": ((worlds, self.axes), np.float64),  # of the look's axes
            "seed": ((worlds,), np.uint32),  # of the episode
            "frame": ((worlds,), np.uint32),  # of this frame
            "rgb": ((*picture, 3), np.uint8),
            "depth": (picture, np.float32),  # m along the optical axis; 0: nothing
        }


def open_memory(file: Path, sizes: Sizes, create: bool = False) -> Mapping[str, np.ndarray]:
    """Return all arrays, mapped to ``file``."""
    places, total = {}, 0
    for name, (shape, kind) in sizes.arrays().items():
        places[name] = total
        total += -(-math.prod(shape) * np.dtype(kind).itemsize // _ALIGNED) * _ALIGNED
    if create:
        with file.open("wb") as stream:
            stream.truncate(max(total, 1))
    return {
        name: np.memmap(file, kind, "r+", places[name], shape) if math.prod(shape) else np.zeros(shape, kind)
        for name, (shape, kind) in sizes.arrays().items()
    }
