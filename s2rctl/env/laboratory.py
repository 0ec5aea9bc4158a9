"""Policy cameras in the laboratory: the same worlds as the training's, with a look that no training has seen.

Evaluation only: nothing that trains may import this (an import contract and a test hold it to that).
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from s2rctl.core.errors import UsageError
from s2rctl.env.build import make_images
from s2rctl.env.images import Images, depth_counts
from s2rctl.env.rows import tiled
from s2rctl.render.laboratory import MESHES
from s2rctl.render.laboratory.memory import Sizes
from s2rctl.render.laboratory.meshes import Mesh, load_meshes
from s2rctl.render.laboratory.plan import TEXTURE_PX
from s2rctl.render.laboratory.pool import PROCESSES, Pool, require_opengl
from s2rctl.render.laboratory.textures import read_pictures
from s2rctl.render.layout import camera_ids
from s2rctl.render.protocol import OPTIONAL, Appearance
from s2rctl.scene.host import call_host
from s2rctl.scene.poses import Poses
from s2rctl.schema.laboratory import LOOK_AXES, LookRanges
from s2rctl.schema.profile import Profile
from s2rctl.schema.simulation import CameraSettings
from s2rctl.schema.tensors import depth_name, rgb_name

_LOOK = tuple(LOOK_AXES)
_STREAM = 16
"""Folded into the key of a look, so that its draws are not those of the training's own look."""


class LaboratoryLook(NamedTuple):
    """What was drawn for one episode of each world."""

    share: jax.Array  # (B, axes) in [0, 1]: where in its range each axis lies
    seed: jax.Array  # (B,) uint32
    direction: jax.Array  # (B, C, 7): camera offset (3) and rotation axis (3), unit vectors, and sign of the view
    scene: Appearance  # what the worlds look like before the axes change it


class _Poses(NamedTuple):
    """Cameras as they stand in the pictures; C policy cameras."""

    eye: jax.Array  # (B, C, 3) m
    axes: jax.Array  # (B, C, 3, 3)
    fovy: jax.Array  # (B, C) degrees


class LaboratoryImages:
    """Draws looks from ``ranges`` and pictures in other processes.

    With several ranges the worlds are cells of equal size, cell i from ranges i, each with the same draws: what differs
    between cells is only what their ranges differ in. The starts of episodes are those of the training's own cameras,
    ``usual``; what the axes change are the looks that ``scene`` draws.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        usual: Images,
        scene: Images,
        ranges: Sequence[LookRanges],
        meshes: tuple[Mesh, ...],
        source: str,
        processes: int = PROCESSES,
    ) -> None:
        if not ranges or len({look.pictures for look in ranges}) > 1:
            raise UsageError("the looks of one table need one folder of pictures")
        self.cameras: tuple[CameraSettings, ...] = usual.cameras
        self.source = source
        self._model, self._usual, self._scene, self._ranges = model, usual, scene, tuple(ranges)
        self._ids = camera_ids(model, [camera.name for camera in usual.cameras])
        self._low = np.array([[getattr(look, name)[0] for name in _LOOK] for look in ranges])
        self._high = np.array([[getattr(look, name)[1] for name in _LOOK] for look in ranges])
        depth = any(camera.depth for camera in usual.cameras)
        self._pool = _LazyPool(model, self._ids, meshes, depth, ranges[0].pictures or "", processes)

    def with_geom_size(self, geom_size: np.ndarray) -> "LaboratoryImages":
        """Return the same cameras looking at worlds whose geoms have the half sizes (B, ngeom, 3)."""
        other = object.__new__(LaboratoryImages)
        other.__dict__.update(self.__dict__)
        other._usual, other._scene = self._usual.with_geom_size(geom_size), self._scene.with_geom_size(geom_size)
        return other

    def close(self) -> None:
        """End the processes; the next picture starts new ones."""
        self._pool.close()

    def draw(self, key: jax.Array, worlds: int, repeat: int = 1) -> tuple[Appearance, LaboratoryLook]:
        """Return the training's own look, by which starts are chosen, and the laboratory's draws.

        With ``repeat``, world w gets what world w % (worlds // repeat) gets.
        """
        look, _ = self._usual.draw(key, worlds, repeat)
        scene, _ = self._scene.draw(key, worlds, repeat)
        some = worlds // repeat
        share_key, seed_key, way_key, sign_key = jax.random.split(jax.random.fold_in(key, _STREAM), 4)
        # one key for each axis, so that a new one leaves the others' draws
        keys = jax.vmap(lambda number: jax.random.fold_in(share_key, number))(jnp.array(_numbers()))
        share = jax.vmap(lambda one: jax.random.uniform(one, (some,)))(keys).T
        ways = jax.random.normal(way_key, (some, len(self.cameras), 2, 3))
        ways = ways / jnp.maximum(jnp.linalg.norm(ways, axis=-1, keepdims=True), 1e-6)
        sign = jnp.where(jax.random.bernoulli(sign_key, 0.5, (some, len(self.cameras), 1)), 1.0, -1.0)
        direction = jnp.concatenate([ways.reshape(some, -1, 6), sign], -1)
        share, seed, direction = tiled((share, jax.random.bits(seed_key, (some,), jnp.uint32), direction), repeat)
        nothing: dict[str, Any] = dict.fromkeys(OPTIONAL)  # only the ray caster draws these
        return look, LaboratoryLook(share, seed, direction, scene._replace(**nothing))

    def take(
        self, key: jax.Array, poses: Poses, appearance: Appearance, settings: LaboratoryLook
    ) -> dict[str, jax.Array]:
        """Draw all worlds and return the image tensors by input name."""
        worlds = settings.seed.shape[0]
        cells = self._cells(worlds)
        frame = jnp.tile(jax.random.bits(key, (worlds // cells,), jnp.uint32), cells)
        camera = self.cameras[0]
        shape = (worlds, len(self.cameras), camera.height, camera.width)
        rgb, depth = call_host(
            self._call,
            (jax.ShapeDtypeStruct((*shape, 3), jnp.uint8), jax.ShapeDtypeStruct(shape, jnp.float32)),
            poses,
            settings,
            frame,
        )
        out: dict[str, jax.Array] = {}
        for index, one in enumerate(self.cameras):
            out[rgb_name(one.name)] = rgb[:, index]
            if one.depth:
                out[depth_name(one.name)] = depth_counts(depth[:, index], one)
        return out

    def look_values(self, settings: LaboratoryLook) -> Mapping[str, np.ndarray]:
        """Return what each world was drawn, (B,) by axis, in the axis's unit."""
        values = self._values(np.asarray(settings.share))
        return {name: values[:, index] for index, name in enumerate(_LOOK)}

    def _cells(self, worlds: int) -> int:
        if worlds % len(self._ranges):
            raise UsageError(f"{worlds} worlds are not {len(self._ranges)} cells of one size")
        return len(self._ranges)

    def _values(self, share: np.ndarray) -> np.ndarray:
        """Return the values (B, axes) of draws (B, axes) in [0, 1]."""
        cell = np.arange(len(share)) // (len(share) // self._cells(len(share)))
        low, high = self._low[cell], self._high[cell]
        values = low + (high - low) * share.astype(float)
        for index, axis in enumerate(LOOK_AXES.values()):
            if axis.whole:  # every number of the range is drawn as often
                steps = np.floor(low[:, index] + (high - low + 1)[:, index] * share[:, index])
                values[:, index] = np.minimum(steps, high[:, index])
        return values

    def _call(self, poses: Any, settings: Any, frame: Any) -> Any:
        given = jax.tree.map(np.asarray, settings.scene)
        values = self._values(np.asarray(settings.share))
        held = {name: values[:, index] for index, name in enumerate(_LOOK)}
        camera = self.cameras[0]
        worlds = len(values)
        sizes = Sizes(
            worlds=worlds,
            geoms=self._model.ngeom,
            lamps=self._model.nlight,
            cameras=len(self.cameras),
            height=camera.height,
            width=camera.width,
            axes=len(_LOOK),
        )
        inputs = {
            "geom_xpos": poses.geom_xpos,
            "geom_xmat": poses.geom_xmat,
            **{name: getattr(given, name) for name in ("geom_size", "geom_rgba", "ambient")},
            **{name: getattr(given, name) for name in ("light_pos", "light_dir", "light_diffuse")},
            **_cameras(self._ids, poses, given, np.asarray(settings.direction), held),
            "values": values,
            "seed": settings.seed,
            "frame": frame,
        }
        return self._pool.open(sizes).draw({name: np.asarray(array) for name, array in inputs.items()})


def _cameras(
    ids: np.ndarray, poses: Any, look: Any, direction: np.ndarray, values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return where the cameras are: as the profile draws them, and displaced by the laboratory's own axes."""
    axes, share = np.asarray(poses.cam_xmat)[:, ids], values["camera_share"][:, None, None]
    offset = share * look.camera_pos_offset[:, ids] + values["camera_offset"][:, None, None] * direction[..., :3]
    eye = np.asarray(poses.cam_xpos)[:, ids] + np.einsum("bcij,bcj->bci", axes, offset)
    own = _rotations(share * look.camera_rot_offset[:, ids])
    further = _rotations(np.deg2rad(values["camera_rotation"])[:, None, None] * direction[..., 3:6])
    fovy = look.camera_fovy[:, ids] + values["camera_fovy"][:, None] * direction[..., 6]
    return {"eye": eye, "axes": axes @ own @ further, "fovy": fovy}


def _rotations(vectors: np.ndarray) -> np.ndarray:
    """Return the matrices (..., 3, 3) of rotation vectors (..., 3) rad."""
    matrices: np.ndarray = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    return matrices.reshape(*vectors.shape, 3)


def _numbers() -> list[int]:
    """Return a number for each axis that depends on its name only."""
    import zlib

    return [zlib.crc32(name.encode()) & 0x7FFFFFFF for name in _LOOK]


class _LazyPool:
    """The pool for the number of worlds that is asked for, started when it is first needed."""

    def __init__(
        self,
        model: mujoco.MjModel,
        cameras: np.ndarray,
        meshes: tuple[Mesh, ...],
        depth: bool,
        pictures: str,
        processes: int,
    ) -> None:
        self._made = (model, cameras, meshes)
        self._depth, self._pictures, self._processes = depth, pictures, processes
        self._lock = threading.Lock()
        self._pool: Pool | None = None

    def open(self, sizes: Sizes) -> Pool:
        """Return a running pool of these sizes."""
        with self._lock:
            if self._pool is None or asdict(self._pool.sizes) != asdict(sizes) or self._pool.ended:
                self._close()
                self._pool = Pool(
                    *self._made, sizes, depth=self._depth, pictures=self._pictures, processes=self._processes
                )
            return self._pool

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def laboratory_images(
    profile: Profile,
    task: str,
    model: mujoco.MjModel,
    ranges: LookRanges | Sequence[LookRanges],
    *,
    processes: int = PROCESSES,
) -> LaboratoryImages:
    """Return the profile's policy cameras in looks drawn from ``ranges``: one for all worlds, or one for each cell.

    Raises MissingEnvironmentError without OpenGL and when meshes are asked for and not installed, UsageError for
    pictures that are none, ProfileError as the training's own cameras do. The processes start with the first picture.
    """
    looks = (ranges,) if isinstance(ranges, LookRanges) else tuple(ranges)
    usual = scene = make_images(profile, task, model)
    if profile.evaluate.tiers.scene is not None:
        vision = profile.vision.model_copy(update={"appearance": profile.evaluate.tiers.scene})
        scene = make_images(profile.model_copy(update={"vision": vision}), task, model)
    require_opengl()
    for look in looks:
        if look.pictures:
            read_pictures(Path(look.pictures), TEXTURE_PX)
    meshes: tuple[Mesh, ...] = ()
    source = "primitives"
    if any(look.meshes[1] > 0 for look in looks) and profile.robot.name in MESHES.names():
        found = load_meshes(MESHES.load(profile.robot.name))
        meshes, source = found.parts, found.source
    return LaboratoryImages(model, usual, scene, looks, meshes, source, processes)
