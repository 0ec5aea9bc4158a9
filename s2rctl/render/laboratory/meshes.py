"""A robot's published meshes: from MuJoCo Menagerie where it can be had, from a package that carries them otherwise.

They are coarsened, because software OpenGL pays for every vertex: two ALOHA arms have 330,000 triangles.
"""

import importlib.util
import itertools
import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.spatial import to_matrix
from s2rctl.robots.meshes import Part, RobotMeshes

CELL_M = 0.002
"""Vertices within a cube of this edge become one: less than a pixel of a policy camera, wherever one can look from."""
MOST_FACES = 700
"""The cube grows until no mesh has more faces."""
INSIDE_FACES = 8000
"""Meshes with more faces are full of screws and motors that nobody sees."""
GRID_M = 0.002
"""How finely what hides what is told apart."""


@dataclass(frozen=True)
class Mesh:
    """One mesh in the frame of one body of our model."""

    body: str
    vertices: np.ndarray  # (n, 3) m, body frame
    faces: np.ndarray  # (m, 3) int
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Meshes:
    """All meshes of a robot and where they come from."""

    parts: tuple[Mesh, ...]
    source: str


@lru_cache(maxsize=4)
def load_meshes(robot: RobotMeshes) -> Meshes:
    """Return the coarsened meshes; MissingEnvironmentError when nothing that carries them is installed."""
    found = _from_menagerie(robot) or _from_package(robot)
    if found is None:
        raise MissingEnvironmentError(
            "the robot's published meshes are not installed",
            f'pip install "s2rctl[meshes]" where there is a network, or pip install --no-deps {robot.package}',
        )
    return found


def _from_package(robot: RobotMeshes) -> Meshes | None:
    spec = importlib.util.find_spec(robot.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    if not all((root / folder / part.file).is_file() for folder, part in robot.parts):
        return None
    parts = [_of_part(part, root / folder / part.file) for folder, part in robot.parts]
    arms = [replace(part, body=prefix + part.body) for prefix in robot.prefixes for part in parts]
    return Meshes(tuple(arms), robot.package)


def _of_part(part: Part, file: Path) -> Mesh:
    vertices, faces = read_stl(file)
    return _coarse(Mesh(part.body, _placed(part, vertices), faces, part.colour))


def _placed(part: Part, vertices: np.ndarray) -> np.ndarray:
    return vertices * part.scale @ to_matrix(part.quaternion).T + np.array(part.position)


def read_stl(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (n, 3) and faces (m, 3) of a binary STL file; corners at one place are one vertex."""
    raw = file.read_bytes()
    count = int.from_bytes(raw[80:84], "little")
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(raw, record, count, offset=84)["corners"].reshape(-1, 3)
    vertices, faces = np.unique(corners, axis=0, return_inverse=True)
    return vertices.astype(float), faces.reshape(-1, 3)


def _from_menagerie(robot: RobotMeshes) -> Meshes | None:
    """Return the menagerie's meshes, which it fetches at first use; None without it or without a network."""
    if importlib.util.find_spec("mujoco_menagerie") is None:
        return None
    import mujoco_menagerie

    try:
        entry = mujoco_menagerie.get(robot.menagerie)
        folder = Path(entry.path(progress=None))
        file = folder / entry.entry(robot.model).file
    except (OSError, mujoco_menagerie.MenagerieError) as error:
        logging.getLogger("s2rctl").warning("meshes from %s: MuJoCo Menagerie: %s", robot.package, error)
        return None
    return Meshes(tuple(_visual(mujoco.MjModel.from_xml_path(str(file)), robot)), f"mujoco-menagerie {folder.name}")


def _visual(model: Any, robot: RobotMeshes) -> list[Mesh]:
    """Return the meshes that are looked at, those of bodies that we have not in the frame of one that we have."""
    data = mujoco.MjData(model)
    for joint, angle in robot.posture:
        data.qpos[model.joint(joint).qposadr] = angle
    mujoco.mj_kinematics(model, data)
    ours = {prefix + part.body for prefix in robot.prefixes for _, part in robot.parts}
    meshes = []
    for geom in range(model.ngeom):
        looked_at = not model.geom_contype[geom] and not model.geom_conaffinity[geom]
        if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_MESH or not looked_at:
            continue
        body = int(model.geom_bodyid[geom])
        while body and model.body(body).name not in ours:
            body = int(model.body_parentid[body])
        if body:
            meshes.append(_coarse(_mesh_of(model, data, geom, body)))
    return meshes


def _mesh_of(model: Any, data: Any, geom: int, body: int) -> Mesh:
    mesh = int(model.geom_dataid[geom])
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    vertices = np.array(model.mesh_vert[first : first + count], float)
    world = vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
    first, count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    material = int(model.geom_matid[geom])
    red, green, blue = (model.geom_rgba[geom] if material < 0 else model.mat_rgba[material])[:3]
    local = (world - data.xpos[body]) @ data.xmat[body].reshape(3, 3)
    faces = np.array(model.mesh_face[first : first + count], int)
    return Mesh(model.body(body).name, local, faces, (float(red), float(green), float(blue)))


def _coarse(mesh: Mesh) -> Mesh:
    """Return what can be seen from outside, with fewer faces."""
    if len(mesh.faces) <= MOST_FACES:
        return mesh
    many = len(mesh.faces) > INSIDE_FACES
    outside = mesh.faces[seen_from_outside(mesh.vertices, mesh.faces)] if many else mesh.faces
    vertices, faces, cell = mesh.vertices, outside, CELL_M
    while len(faces) > MOST_FACES:
        vertices, faces = cluster(mesh.vertices, outside, cell)
        cell *= 1.25
    return replace(mesh, vertices=vertices, faces=faces)


def seen_from_outside(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return (m,) bool: which faces are in front from one of 26 sides.

    Points on all faces are put into a grid across each direction; a face is in front where one of its own is.
    """
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1) / 2
    count = np.clip(np.ceil(12 * area / GRID_M**2), 1, 400).astype(int)
    face = np.repeat(np.arange(len(faces)), count)
    share = np.random.default_rng(0).dirichlet((1.0, 1.0, 1.0), len(face))
    points = np.einsum("pc,pcx->px", share, corners[face])
    seen = np.zeros(len(faces), bool)
    for direction in itertools.product((-1, 0, 1), repeat=3):
        length = float(np.linalg.norm(direction))
        if not length:
            continue
        toward = np.array(direction) / length
        aside = np.cross(toward, (1.0, 0, 0) if abs(toward[0]) < 0.9 else (0, 1.0, 0))
        aside /= np.linalg.norm(aside)
        plane = np.stack([points @ aside, points @ np.cross(toward, aside)], 1)
        cell = np.floor((plane - plane.min(axis=0)) / GRID_M).astype(int)
        index = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
        height = points @ toward
        front = np.full(index.max() + 1, -np.inf)
        np.maximum.at(front, index, height)
        in_front = (height > front[index] - GRID_M) & (normal @ toward > 0)[face]
        seen[face[in_front]] = True
    return seen


def cluster(vertices: np.ndarray, faces: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mesh with all vertices of a cube of edge ``cell`` joined in their mean (Rossignac and Borrel 1993)."""
    _, index = np.unique(np.floor(vertices / cell).astype(np.int64), axis=0, return_inverse=True)
    index = index.reshape(-1)
    count = np.bincount(index)
    mean = np.stack([np.bincount(index, vertices[:, axis]) for axis in range(3)], 1) / count[:, None]
    joined = index[faces]
    whole = (joined[:, 0] != joined[:, 1]) & (joined[:, 1] != joined[:, 2]) & (joined[:, 2] != joined[:, 0])
    joined = joined[whole]
    # a thin wall becomes two faces at one place that look both ways: the corners' order counts
    turned = np.take_along_axis(joined, (np.argmin(joined, axis=1)[:, None] + np.arange(3)) % 3, axis=1)
    _, first = np.unique(turned, axis=0, return_index=True)
    return mean, joined[np.sort(first)]
