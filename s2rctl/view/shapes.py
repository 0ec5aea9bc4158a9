"""Geoms of a MuJoCo model as triangles, in the geom's frame."""

from typing import Any

import mujoco
import numpy as np
import trimesh

Triangles = tuple[np.ndarray, np.ndarray]
"""Vertices (n, 3) m and faces (m, 3)."""
ENDLESS_M = 2.0
"""Half side of a plane that has no end."""
_THIN_M = 1e-3
_AROUND = 24
_ROUND = {
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
}


def is_round(model: Any, geom: int) -> bool:
    """Return whether a geom is to be shaded smoothly."""
    return model.geom_type[geom] in _ROUND


def triangles_of(model: Any, geom: int, size: np.ndarray) -> Triangles | None:
    """Return a geom with the half sizes (3,) m; None for one that has no shape of its own, such as a height field."""
    kind = model.geom_type[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return _mesh(model, int(model.geom_dataid[geom]))
    made = _made(kind, np.asarray(size, float))
    return None if made is None else (np.asarray(made.vertices), np.asarray(made.faces))


def _made(kind: int, size: np.ndarray) -> Any:
    create = trimesh.creation
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return create.box(2 * size)
    if kind == mujoco.mjtGeom.mjGEOM_PLANE:
        sides = np.where(size[:2] > 0, size[:2], ENDLESS_M)
        return create.box((*(2 * sides), _THIN_M)).apply_translation((0, 0, -_THIN_M / 2))
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return create.icosphere(2, size[0])
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return create.icosphere(2).apply_scale(size)
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return create.cylinder(size[0], 2 * size[1], sections=_AROUND)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        made = create.capsule(2 * size[1], size[0], count=[12, _AROUND])
        return made.apply_translation(-made.bounds.mean(axis=0))
    return None


def _mesh(model: Any, mesh: int) -> Triangles:
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    vertices = np.array(model.mesh_vert[first : first + count], float)
    first, count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    return vertices, np.array(model.mesh_face[first : first + count], int)
