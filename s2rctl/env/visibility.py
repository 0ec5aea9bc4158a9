"""What the policy's cameras can see of a tool: out of the picture, or with the arm pointing at the lens.

These are the two situations in which the published xArm7 system failed; here goals are drawn in sight, and
train-reach counts both in its final episodes.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.render.layout import camera_ids
from s2rctl.render.protocol import Appearance
from s2rctl.render.view import rotation
from s2rctl.schema.simulation import Vision
from s2rctl.tasks.protocol import Start, Task

MARGIN = 0.08
"""Share of half the picture that must be left between a goal and the edge: a gripper is about as large."""
FACING_DEG = 25.0
"""An arm whose line from base to tool is closer than this to the optical axis points at the lens (or away from it)."""

Accept = Callable[[Start, Appearance], jax.Array]
"""(starts (B, ...), looks (B, ...)) -> (B,) bool: whether the episode may begin so."""


class Lens(NamedTuple):
    """Where the cameras of B worlds stand and look; C cameras."""

    eye: jax.Array  # (B, C, 3) m, world
    axes: jax.Array  # (B, C, 3, 3) columns: right, up, back
    tangent: jax.Array  # (B, C, 2) of half the picture, right and up


def lens(position: jax.Array, axes: jax.Array, look: Appearance, cameras: np.ndarray, aspect: np.ndarray) -> Lens:
    """Return the cameras as the renderer places them: poses (B, ncam, 3), (B, ncam, 3, 3) and this episode's look."""
    chosen = axes[:, cameras]
    eye = position[:, cameras] + jnp.einsum("bcij,bcj->bci", chosen, look.camera_pos_offset[:, cameras])
    turned = chosen @ jax.vmap(jax.vmap(rotation))(look.camera_rot_offset[:, cameras])
    up = jnp.tan(jnp.deg2rad(look.camera_fovy[:, cameras]) / 2)
    return Lens(eye, turned, jnp.stack([up * jnp.asarray(aspect), up], -1))


def in_frame(cameras: Lens, point: jax.Array, margin: float = 0.0) -> jax.Array:
    """Return (B, C) bool: whether the point (B, 3) m lies in the picture, ``margin`` of half of it off the edge."""
    local = jnp.einsum("bcji,bcj->bci", cameras.axes, point[:, None] - cameras.eye)
    depth = -local[..., 2]
    share = jnp.abs(local[..., :2]) / (jnp.maximum(depth, 1e-6)[..., None] * cameras.tangent)
    return (depth > 0) & jnp.all(share <= 1.0 - margin, axis=-1)


def facing(cameras: Lens, base: jax.Array, tool: jax.Array) -> jax.Array:
    """Return (B, C) bool: whether, from above, ``base`` to ``tool`` (B, 3) m runs along the optical axis."""
    way = (tool - base)[:, None, :2]
    axis = cameras.axes[..., :2, 2]
    across = jnp.abs(way[..., 0] * axis[..., 1] - way[..., 1] * axis[..., 0])
    along = jnp.abs(jnp.sum(way * axis, -1))
    return across < math.tan(math.radians(FACING_DEG)) * along


class Sight:
    """The fixed policy cameras of one model. Their poses are those at qpos0: cameras on a moving body are refused."""

    def __init__(self, model: mujoco.MjModel, vision: Vision) -> None:
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        self._ids = camera_ids(model, [camera.name for camera in vision.cameras])
        moving = [int(c) for c in self._ids if model.body_weldid[model.cam_bodyid[c]] != 0]
        if moving:
            raise ValueError(f"camera {model.camera(moving[0]).name} moves with the robot")
        self._position = np.asarray(data.cam_xpos, np.float32)
        self._axes = np.asarray(data.cam_xmat, np.float32).reshape(-1, 3, 3)
        self._aspect = np.array([camera.width / camera.height for camera in vision.cameras], np.float32)

    def lens(self, look: Appearance) -> Lens:
        """Return the cameras in the worlds of ``look`` (B, ...)."""
        worlds = look.camera_fovy.shape[0]
        spread = [jnp.broadcast_to(a, (worlds, *a.shape)) for a in (self._position, self._axes)]
        return lens(spread[0], spread[1], look, self._ids, self._aspect)


def points_in_sight(task: Task, model: mujoco.MjModel, vision: Vision) -> Accept | None:
    """Return the test that every policy camera sees what the task wants in sight at the start; None: it wants nothing.

    The task's points are those of one world, its starts have a leading axis here.
    """
    if task.in_sight is None:
        return None
    points_of, sight = jax.vmap(task.in_sight), Sight(model, vision)

    def accept(start: Start, look: Appearance) -> jax.Array:
        cameras, points = sight.lens(look), points_of(start)
        seen = [in_frame(cameras, points[:, number], MARGIN) for number in range(points.shape[1])]
        return jnp.all(jnp.stack(seen), axis=(0, -1))

    return accept
