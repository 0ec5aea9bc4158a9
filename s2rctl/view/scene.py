"""A MuJoCo scene in the browser: every body is a frame, its geoms hang on it, and only frames that moved are sent."""

from typing import Any

import numpy as np

from s2rctl.render.laboratory.meshes import Meshes
from s2rctl.render.layout import model_rgba
from s2rctl.view.shapes import is_round, triangles_of

_STILL = 1e-6
"""m, and in numbers of a quaternion: less is not sent."""
_MATERIAL = "toon5"
"""Three quarters of the time that a browser without a GPU needs for the standard one."""


class Scene:
    """The bodies of one model on a Viser server.

    ``meshes`` are the maker's, shown in place of the primitive geoms of the arms that carry them.
    """

    def __init__(self, server: Any, model: Any, meshes: Meshes | None = None) -> None:
        self._server, self._model = server, model
        self._pose = np.full((model.nbody, 7), np.inf)
        self._rgba, self._size = model_rgba(model).astype(float), np.array(model.geom_size, float)
        names = [model.body(body).name.replace("/", "-") for body in range(model.nbody)]
        self._paths = [f"/bodies/{body}-{name}" for body, name in enumerate(names)]
        self._frames = [server.scene.add_frame(path, show_axes=False) for path in self._paths]
        self._geoms = {geom: self._add(geom) for geom in range(model.ngeom)}
        self._meshes = self._add_meshes(meshes) if meshes is not None else {}
        self._covered = _below({body for body, _ in self._meshes}, model)
        self.show_meshes(bool(self._meshes))

    @property
    def geoms(self) -> dict[int, Any]:
        """The handle of each geom that has a shape, by its number in the model."""
        return {geom: handle for geom, handle in self._geoms.items() if handle is not None}

    @property
    def has_meshes(self) -> bool:
        """Whether there are meshes of the maker's."""
        return bool(self._meshes)

    def place(self, data: Any) -> int:
        """Move the bodies to where MuJoCo's data have them; return how many moved."""
        pose = np.concatenate([data.xpos, data.xquat], axis=1)
        moved = np.flatnonzero(np.abs(pose - self._pose).max(axis=1) > _STILL)
        for body in moved:
            self._frames[body].position = pose[body, :3]
            self._frames[body].wxyz = pose[body, 3:]
        self._pose[moved] = pose[moved]
        return len(moved)

    def dress(self, rgba: np.ndarray, size: np.ndarray) -> None:
        """Give the geoms colours (ngeom, 4) in [0, 1] and half sizes (ngeom, 3) m; alpha 0 hides a geom."""
        for geom, handle in self.geoms.items():
            if np.abs(size[geom] - self._size[geom]).max() > _STILL:
                self._size[geom], self._rgba[geom] = size[geom], rgba[geom]
                handle.remove()
                self._geoms[geom] = self._add(geom)
            elif np.abs(rgba[geom] - self._rgba[geom]).max() > 1 / 512:
                self._rgba[geom] = rgba[geom]
                handle.color, handle.opacity = _colour(rgba[geom]), _opacity(rgba[geom])
        self._show_geoms()

    def show_meshes(self, wanted: bool) -> None:
        """Show the maker's meshes, or the primitive geoms that physics and the ray caster use."""
        self._with_meshes = wanted and self.has_meshes
        for handle in self._meshes.values():
            handle.visible = self._with_meshes
        self._show_geoms()

    def _show_geoms(self) -> None:
        for geom, handle in self.geoms.items():
            covered = self._with_meshes and int(self._model.geom_bodyid[geom]) in self._covered
            handle.visible = bool(self._rgba[geom, 3] > 0) and not covered

    def _add(self, geom: int) -> Any:
        model = self._model
        shape = triangles_of(model, geom, self._size[geom])
        if shape is None:
            return None
        return self._server.scene.add_mesh_simple(
            f"{self._paths[model.geom_bodyid[geom]]}/{geom}",
            *shape,
            color=_colour(self._rgba[geom]),
            opacity=_opacity(self._rgba[geom]),
            material=_MATERIAL,
            flat_shading=not is_round(model, geom),
            cast_shadow=False,
            receive_shadow=False,
            position=np.array(model.geom_pos[geom]),
            wxyz=np.array(model.geom_quat[geom]),
        )

    def _add_meshes(self, meshes: Meshes) -> dict[tuple[int, int], Any]:
        """Return the handles of the maker's meshes by body and number; a scene need not have all arms of a robot."""
        added, here = {}, {self._model.body(body).name for body in range(self._model.nbody)}
        for number, part in enumerate(part for part in meshes.parts if part.body in here):
            body = int(self._model.body(part.body).id)
            added[body, number] = self._server.scene.add_mesh_simple(
                f"{self._paths[body]}/mesh{number}",
                part.vertices,
                part.faces,
                color=_colour(np.array(part.colour)),
                material=_MATERIAL,
                flat_shading=True,
                cast_shadow=False,
                receive_shadow=False,
            )
        return added


def _below(bodies: set[int], model: Any) -> set[int]:
    """Return these bodies and all that hang on them."""
    found = set(bodies)
    for body in range(1, model.nbody):  # a parent comes before its children
        if int(model.body_parentid[body]) in found:
            found.add(body)
    return found


def _colour(rgba: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in np.clip(np.rint(255 * rgba[:3]), 0, 255))
    return red, green, blue


def _opacity(rgba: np.ndarray) -> float | None:
    return None if rgba[3] >= 1 else float(rgba[3])
