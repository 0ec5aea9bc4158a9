"""What of a MuJoCo model a ray caster draws: fixed numbers in numpy, worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.core.tables import suggestion
from s2rctl.render.primitives import SHAPES, Shape

DRAWN_GROUPS = (0, 1, 2)
"""Geom groups that are drawn; MuJoCo's own default."""
GROUP_LIMIT = 32
"""Geoms per group: one bit each in a 32-bit word."""


@dataclass(frozen=True)
class Group:
    """Up to 32 drawn geoms of one shape; their ids in a hit are ``first`` and those after it."""

    shape: Shape
    geoms: np.ndarray  # (n,) geom ids of the model
    sphere: np.ndarray  # (n,) bool
    emission: np.ndarray  # (n,) light that the material gives off, as a factor on its colour
    first: int


@dataclass(frozen=True)
class Light:
    """Fixed properties of one light; ``index`` is its place in the model, -1 the headlight."""

    index: int
    directional: bool
    cos_cutoff: float  # -1: shines everywhere
    exponent: float
    attenuation: tuple[float, float, float]
    casts_shadow: bool


@dataclass(frozen=True)
class Layout:
    """Groups, lights and cameras of one model."""

    groups: tuple[Group, ...]
    lights: tuple[Light, ...]
    headlight_diffuse: np.ndarray  # (3,)
    cameras: np.ndarray  # (C,) camera ids
    aspect: np.ndarray  # (C,) horizontal over vertical tangent of half the field of view
    shift: np.ndarray  # (C, 2) of the image centre, in half heights of the image plane: x right, y up
    near: float  # m
    far: float  # m
    size: float  # m, extent of the model

    @property
    def drawn(self) -> int:
        """Number of drawn geoms."""
        return sum(len(group.geoms) for group in self.groups)


def camera_ids(model: mujoco.MjModel, cameras: Sequence[str]) -> np.ndarray:
    """Return the ids (C,) of named cameras; raise UsageError for an unknown name."""
    known = [model.camera(i).name for i in range(model.ncam)]
    for name in cameras:
        if name not in known:
            raise UsageError(f"the scene has no camera '{name}'", suggestion(name, known) if known else "")
    return np.array([known.index(name) for name in cameras], int)


def build_layout(model: mujoco.MjModel, cameras: Sequence[str], width: int, height: int) -> Layout:
    """Work out the layout of ``model`` for images of ``width`` x ``height`` pixels.

    Raises UsageError for an unknown camera, and for a drawn geom that is no primitive shape.
    """
    ids = camera_ids(model, cameras)
    aspect, shift = _intrinsics(model, ids, width, height)
    headlight = model.vis.headlight
    return Layout(
        groups=_groups(model),
        lights=_lights(model),
        headlight_diffuse=np.array(headlight.diffuse, np.float32) * bool(headlight.active),
        cameras=ids,
        aspect=aspect,
        shift=shift,
        near=float(model.vis.map.znear * model.stat.extent),
        far=float(model.vis.map.zfar * model.stat.extent),
        size=float(model.stat.extent),
    )


def model_rgba(model: mujoco.MjModel) -> np.ndarray:
    """Return the colours (ngeom, 4) that MuJoCo draws: the material's where the geom has only the default colour."""
    rgba = np.array(model.geom_rgba, np.float32)
    default = (np.array([0.5, 0.5, 0.5, 1.0], np.float32) == rgba).all(axis=1) & (model.geom_matid >= 0)
    rgba[default] = model.mat_rgba[model.geom_matid[default]]
    return rgba


def ambient_light(model: mujoco.MjModel) -> np.ndarray:
    """Return the sum (3,) of all ambient light."""
    headlight = np.array(model.vis.headlight.ambient, np.float32) * bool(model.vis.headlight.active)
    return headlight + model.light_ambient[np.asarray(model.light_active, bool)].sum(axis=0)


def _groups(model: mujoco.MjModel) -> tuple[Group, ...]:
    drawn = np.isin(model.geom_group, DRAWN_GROUPS) & (model_rgba(model)[:, 3] > 0)
    by_shape: dict[Shape, list[int]] = {shape: [] for shape in Shape}
    for geom in np.flatnonzero(drawn):
        shape = SHAPES.get(int(model.geom_type[geom]))
        if shape is None:
            kind = mujoco.mjtGeom(int(model.geom_type[geom])).name.removeprefix("mjGEOM_").lower()
            name = model.geom(geom).name or f"number {geom}"
            raise UsageError(
                f"the ray caster cannot draw geom '{name}' of type {kind}",
                "use the renderer 'gl', or put the geom in a group above 2 and give it a primitive stand-in",
            )
        by_shape[shape].append(int(geom))
    groups: list[Group] = []
    first = 0
    for shape, geoms in by_shape.items():
        for start in range(0, len(geoms), GROUP_LIMIT):
            part = np.array(geoms[start : start + GROUP_LIMIT])
            material = model.geom_matid[part]
            emission = np.where(material >= 0, model.mat_emission[material], 0.0) if model.nmat else np.zeros(len(part))
            sphere = model.geom_type[part] == mujoco.mjtGeom.mjGEOM_SPHERE
            groups.append(Group(shape, part, sphere, emission.astype(np.float32), first))
            first += len(part)
    return tuple(groups)


def _lights(model: mujoco.MjModel) -> tuple[Light, ...]:
    found = []
    headlight = model.vis.headlight
    if headlight.active and np.any(headlight.diffuse):
        found.append(Light(-1, True, -1.0, 0.0, (1.0, 0.0, 0.0), False))
    for index in range(model.nlight):
        if not model.light_active[index]:
            continue
        spot = model.light_type[index] == mujoco.mjtLightType.mjLIGHT_SPOT
        constant, linear, quadratic = (float(value) for value in model.light_attenuation[index])
        cutoff = np.cos(np.deg2rad(min(float(model.light_cutoff[index]), 180.0)))
        found.append(
            Light(
                index,
                bool(model.light_type[index] == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL),
                float(cutoff) if spot else -1.0,
                float(model.light_exponent[index]) if spot else 0.0,
                (constant, linear, quadratic),
                bool(model.light_castshadow[index]),
            )
        )
    return tuple(found)


def _intrinsics(model: mujoco.MjModel, ids: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return aspect (C,) and shift (C, 2). Cameras with a sensor size carry their own intrinsics in MuJoCo."""
    aspect = np.full(len(ids), width / height, np.float32)
    shift = np.zeros((len(ids), 2), np.float32)
    for row, camera in enumerate(ids):
        sensor_width, sensor_height = model.cam_sensorsize[camera]
        if sensor_height > 0:
            focal_x, focal_y, principal_x, principal_y = model.cam_intrinsic[camera]
            aspect[row] = sensor_width / sensor_height * focal_y / focal_x
            shift[row] = 2 * principal_x / sensor_width * aspect[row], -2 * principal_y / sensor_height
    return aspect, shift
