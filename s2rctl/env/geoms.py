"""Which geoms of a model a profile's patterns mean, and how large they are."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import mujoco
import numpy as np

BODY = "body:"
"""Begins a pattern of body names: all geoms of those bodies are meant."""


def members(model: mujoco.MjModel, patterns: Sequence[str]) -> np.ndarray:
    """Return (ngeom,) bool: the geoms whose name, or whose body's, matches one of the patterns."""
    bodies = [model.body(int(body)).name for body in model.geom_bodyid]
    names = [model.geom(index).name for index in range(model.ngeom)]
    return np.array([any(_means(p, n, b) for p in patterns) for n, b in zip(names, bodies, strict=True)], bool)


def _means(pattern: str, name: str, body: str) -> bool:
    if pattern.startswith(BODY):
        return fnmatchcase(body, pattern.removeprefix(BODY))
    return fnmatchcase(name, pattern)


def half_sides(model: mujoco.MjModel) -> np.ndarray:
    """Return the half sides (ngeom, 3) m of the boxes around the geoms, in their own frames; a plane has none."""
    size, kind = np.array(model.geom_size, np.float32), model.geom_type
    geom = mujoco.mjtGeom
    half = size.copy()
    for index in range(model.ngeom):
        radius, length = size[index, 0], size[index, 1]
        if kind[index] == geom.mjGEOM_SPHERE:
            half[index] = radius
        elif kind[index] == geom.mjGEOM_CAPSULE:
            half[index] = (radius, radius, radius + length)
        elif kind[index] == geom.mjGEOM_CYLINDER:
            half[index] = (radius, radius, length)
        elif kind[index] == geom.mjGEOM_PLANE:
            half[index] = 0.0
    return half


def thin_axes(model: mujoco.MjModel) -> np.ndarray:
    """Return (ngeom,) int: the axis along which a pattern is projected, so that the largest faces show it straight."""
    flat = (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_PLANE)
    thinnest = np.argmin(np.where(half_sides(model) > 0, half_sides(model), 1e3), axis=1)
    thinnest[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE] = 2
    return np.where(np.isin(model.geom_type, flat), thinnest, 1)
