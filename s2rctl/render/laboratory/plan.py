"""How the drawn model follows the training scene: data that the drawing processes read, free of JAX."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROBOT, OBJECT, TABLE, WALL, FLOOR, OTHER, MESH, THING, ROOM = range(9)
"""What a drawn geom is."""
TEXTURED = (TABLE, FLOOR, WALL, ROOM)
"""Kinds that have a texture of their own, in the order of a world's textures."""
THINGS = 12
"""Most things that lie about on the table."""
MOST_LAMPS = 8
"""What OpenGL has, with the headlight that carries the ambient light."""
CASTERS = 2
"""Lamps at the main lamp's place that cast shadows: two, so that a wide lamp has a half shadow."""
EXTRA_LAMPS = 3
TEXTURE_PX = 128


@dataclass(frozen=True)
class Plan:
    """G drawn geoms; lamps are the training scene's L, then the casters, then the extra ones."""

    role: np.ndarray  # (G,) one of the kinds above
    follows: np.ndarray  # (G,) geom of the training model; -1: stands where ``offset`` and ``turn`` say
    offset: np.ndarray  # (G, 3) m, in the frame of that geom
    turn: np.ndarray  # (G, 3, 3)
    axes: np.ndarray  # (G, 3) which of that geom's sizes are ours; -1: the size is our own
    colour: np.ndarray  # (G, 3) own colour, of meshes
    lamps: int  # L
    caster: int  # which lamp's shadow is drawn
    extra: int  # how many lamps may be added
    way: np.ndarray  # (2, 2) m, x and y of the two ends of the way that things leave free; NaN: no way
    feet: np.ndarray  # (n, 2) m, x and y of the robot's parts that do not move
    table: np.ndarray  # (5,) x, y, half sizes along x and y, height of the top, m; NaN: no table
    cameras: np.ndarray  # (C,) camera ids in the training model
    slots: int  # worlds whose textures fit

    def save(self, file: Path) -> None:
        """Write a .npz file."""
        with file.open("wb") as stream:
            np.savez(stream, **asdict(self))

    @classmethod
    def load(cls, file: Path) -> "Plan":
        """Read a .npz file."""
        with np.load(file, allow_pickle=False) as arrays:
            fields = {name: arrays[name] for name in arrays.files}
        return cls(**{name: value if value.ndim else int(value) for name, value in fields.items()})  # type: ignore[arg-type]
