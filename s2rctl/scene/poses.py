"""Where everything that can be drawn is: what physics produces and renderers consume."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import jax


class Poses(NamedTuple):
    """World poses of everything a renderer draws, at the state's time."""

    geom_xpos: "jax.Array"  # (B, ngeom, 3) m
    geom_xmat: "jax.Array"  # (B, ngeom, 3, 3)
    cam_xpos: "jax.Array"  # (B, ncam, 3) m
    cam_xmat: "jax.Array"  # (B, ncam, 3, 3), MuJoCo axes: looks along -z, +y up
