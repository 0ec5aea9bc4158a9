"""The model that is drawn: what the training scene shows, with meshes, a room, things on the table, and more lamps.

It has no bodies of its own: every geom stands where a geom of the training scene is, with a fixed offset in that
geom's frame. Flat scenery is turned so that its thin axis is z, where textures lie flat; planes become boxes, because
an infinite plane costs software OpenGL more than everything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from s2rctl.core.spatial import to_matrix
from s2rctl.render.laboratory.meshes import Mesh
from s2rctl.render.laboratory.plan import (
    CASTERS,
    EXTRA_LAMPS,
    FLOOR,
    MESH,
    MOST_LAMPS,
    OBJECT,
    OTHER,
    ROBOT,
    ROOM,
    TABLE,
    TEXTURE_PX,
    TEXTURED,
    THING,
    THINGS,
    WALL,
    Plan,
)
from s2rctl.render.layout import DRAWN_GROUPS, model_rgba

MOST_SLOTS = 220
"""Worlds of one process whose textures stay loaded; MuJoCo has room for 1000 textures."""
SHADOW_PX = 128
"""Edge of the map of shadows. Small: soft shadows, and a quarter of what 256 cost."""
SHADOW_CONE = 0.45
"""Part of a spot's cone that the map covers: a narrower one has finer shadows."""
SLICES, STACKS = 12, 6
"""How round round things are; MuJoCo's own 28 and 16 cost twice as much and look alike in pictures of 84 pixels."""
_ROOM_M = 3.2
_WALL_M = 3.6
_FLOOR_M = 5.0
_SLAB_M = 0.01
_BOX = mujoco.mjtGeom.mjGEOM_BOX
_UPRIGHT = {
    0: np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    1: np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    2: np.eye(3),
}
"""Frame of a slab in the frame of a box that is thin along an axis: y of the slab is up where the slab stands."""


@dataclass(frozen=True)
class _Row:
    """What is known of a drawn geom before the model is compiled."""

    role: int
    follows: int = -1
    offset: Sequence[float] = (0.0, 0.0, 0.0)
    turn: np.ndarray | None = None
    axes: Sequence[int] = (-1, -1, -1)
    colour: Sequence[float] = (0.5, 0.5, 0.5)


def build_stage(model: Any, cameras: np.ndarray, meshes: Sequence[Mesh], worlds: int) -> tuple[Any, Plan]:
    """Return the model that a process draws ``worlds`` worlds with, and how it follows the training ``model``."""
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    spec = _empty(model)
    slots = min(worlds, MOST_SLOTS)
    _add_textures(spec, slots)
    rows = [*_copy_geoms(spec, model), *_add_meshes(spec, model, meshes), *_add_things(spec), *_add_room(spec, data)]
    caster, extra = _add_lamps(spec, model)
    for camera in cameras:
        spec.worldbody.add_camera(name=f"camera{camera}", fovy=float(model.cam_fovy[camera]))
    drawn = spec.compile()
    own = [drawn.geom_dataid[index] >= 0 for index in range(len(rows))]
    placed = [_of_mesh(drawn, model, index, row) if own[index] else row for index, row in enumerate(rows)]
    return drawn, Plan(
        role=np.array([row.role for row in placed]),
        follows=np.array([row.follows for row in placed]),
        offset=np.array([row.offset for row in placed], float),
        turn=np.array([np.eye(3) if row.turn is None else row.turn for row in placed]),
        axes=np.array([row.axes for row in placed]),
        colour=np.array([row.colour for row in placed], float),
        lamps=int(model.nlight),
        caster=caster,
        extra=extra,
        way=_way(model, data),
        feet=_feet(model, data),
        table=_table(model, data),
        cameras=np.array(cameras),
        slots=slots,
    )


def _empty(model: Any) -> Any:
    spec = mujoco.MjSpec()
    visual, given = spec.visual, model.vis
    visual.map.znear, visual.map.zfar, visual.map.shadowclip = given.map.znear, given.map.zfar, given.map.shadowclip
    visual.map.shadowscale = SHADOW_CONE
    visual.quality.shadowsize = SHADOW_PX
    visual.quality.offsamples = 0
    visual.quality.numslices, visual.quality.numstacks, visual.quality.numquads = SLICES, STACKS, 1
    visual.headlight.active = 1
    visual.headlight.diffuse = visual.headlight.specular = (0, 0, 0)
    spec.stat.extent, spec.stat.center = model.stat.extent, model.stat.center
    return spec


def _add_textures(spec: Any, slots: int) -> None:
    """Add one texture and material for each world and kind; what is on them comes later."""
    for slot in range(slots):
        for kind in range(len(TEXTURED)):
            name = f"{slot}/{kind}"
            texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D)
            texture.builtin = mujoco.mjtBuiltin.mjBUILTIN_FLAT
            texture.width = texture.height = TEXTURE_PX
            material = spec.add_material(name=name, specular=0.5, shininess=0.4)
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _copy_geoms(spec: Any, model: Any) -> list[_Row]:
    """Add everything that the training scene shows."""
    rows = []
    shown = np.isin(model.geom_group, DRAWN_GROUPS) & (model_rgba(model)[:, 3] > 0)
    for geom in np.flatnonzero(shown):
        kind, size = mujoco.mjtGeom(int(model.geom_type[geom])), np.array(model.geom_size[geom])
        role = _role(model, int(geom))
        offset, turn, axes = np.zeros(3), np.eye(3), np.arange(3)
        if kind == mujoco.mjtGeom.mjGEOM_PLANE:
            kind, axes, offset = _BOX, np.full(3, -1), np.array([0, 0, -_SLAB_M])
            size = np.array([*(min(half, _FLOOR_M) or _FLOOR_M for half in size[:2]), _SLAB_M])
        elif kind == _BOX and role in (TABLE, WALL):
            turn = _UPRIGHT[int(np.argmin(size))]
            axes = np.argmax(np.abs(turn), axis=0)
            size = size[axes]
        spec.worldbody.add_geom(type=kind, size=size, contype=0, conaffinity=0)
        rows.append(_Row(role, int(geom), offset.tolist(), turn, axes.tolist()))
    return rows


def _role(model: Any, geom: int) -> int:
    body = int(model.geom_bodyid[geom])
    if body:
        return OBJECT if _is_free(model, body) else ROBOT
    name = model.geom(geom).name
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE:
        return FLOOR
    return TABLE if name == "table" else WALL if name.startswith("curtain") else OTHER


def _is_free(model: Any, body: int) -> bool:
    joint = model.body_jntadr[model.body_rootid[body]]
    return joint >= 0 and model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE


def _add_meshes(spec: Any, model: Any, meshes: Sequence[Mesh]) -> list[_Row]:
    """Add the meshes of the bodies that this scene has; each follows some geom of its body."""
    rows = []
    bodies = {model.body(body).name: body for body in range(model.nbody)}
    for number, mesh in enumerate(meshes):
        members = np.flatnonzero(model.geom_bodyid == bodies.get(mesh.body, -1))
        if not len(members):
            continue
        spec.add_mesh(
            name=str(number),
            uservert=mesh.vertices.ravel().tolist(),
            userface=mesh.faces.ravel().tolist(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=str(number), contype=0, conaffinity=0)
        rows.append(_Row(MESH, int(members[0]), colour=mesh.colour))
    return rows


def _of_mesh(drawn: Any, model: Any, index: int, row: _Row) -> _Row:
    """Return the row with the offset of a mesh, whose own frame MuJoCo has chosen: its main axes of inertia."""
    local = to_matrix(model.geom_quat[row.follows]).T
    offset = local @ (drawn.geom_pos[index] - model.geom_pos[row.follows])
    return _Row(row.role, row.follows, offset, local @ to_matrix(drawn.geom_quat[index]), colour=row.colour)


def _add_things(spec: Any) -> list[_Row]:
    for _ in range(THINGS):
        spec.worldbody.add_geom(type=_BOX, size=(0.03, 0.03, 0.03), contype=0, conaffinity=0)
    return [_Row(THING) for _ in range(THINGS)]


def _add_room(spec: Any, data: Any) -> list[_Row]:
    """Add four walls around everything; their inner sides are textured."""
    floor = float(np.min(data.geom_xpos[:, 2]))
    rows = []
    for side in range(4):
        inward = to_matrix((np.cos(side * np.pi / 4), 0, 0, np.sin(side * np.pi / 4)))
        turn = inward @ np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])
        spec.worldbody.add_geom(type=_BOX, size=(_ROOM_M, _WALL_M / 2, _SLAB_M), contype=0, conaffinity=0)
        rows.append(_Row(ROOM, -1, inward @ np.array([_ROOM_M, 0, floor + _WALL_M / 2]), turn))
    return rows


def _add_lamps(spec: Any, model: Any) -> tuple[int, int]:
    """Add the scene's lamps, those that cast shadows and extra ones; return the main lamp and the number of these."""
    casting = np.flatnonzero(model.light_castshadow)
    caster = int(casting[0]) if len(casting) else 0
    extra = max(0, min(EXTRA_LAMPS, MOST_LAMPS - 1 - model.nlight - CASTERS))
    for lamp in [*range(model.nlight), *([caster] * CASTERS)] if model.nlight else []:
        kind = mujoco.mjtLightType(int(model.light_type[lamp]))
        spec.worldbody.add_light(
            type=kind,
            cutoff=float(model.light_cutoff[lamp]),
            exponent=float(model.light_exponent[lamp]),
            attenuation=model.light_attenuation[lamp],
            ambient=(0, 0, 0),
            castshadow=False,
        )
    for _ in range(extra):
        spec.worldbody.add_light(cutoff=70, exponent=2, ambient=(0, 0, 0), castshadow=False)
    return caster, extra


def _way(model: Any, data: Any) -> np.ndarray:
    free = [body for body in range(1, model.nbody) if _is_free(model, body)]
    if not free:
        return np.full((2, 2), np.nan)
    places = data.xpos[free][:, :2]
    return np.stack([places.min(axis=0), places.max(axis=0)])


def _feet(model: Any, data: Any) -> np.ndarray:
    still = [body for body in range(1, model.nbody) if model.body_weldid[body] == 0]
    return np.array(data.xpos[still][:, :2]).reshape(-1, 2)


def _table(model: Any, data: Any) -> np.ndarray:
    for geom in range(model.ngeom):
        if _role(model, geom) == TABLE:
            half = np.abs(data.geom_xmat[geom].reshape(3, 3)) @ model.geom_size[geom]
            x, y, z = data.geom_xpos[geom]
            return np.array([x, y, half[0], half[1], z + half[2]])
    return np.full(5, np.nan)
