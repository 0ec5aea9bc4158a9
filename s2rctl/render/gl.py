"""MuJoCo's own OpenGL renderer behind the batch protocol: the reference in tests, and the way to draw meshes.

It draws one world after the other on the host, hundreds of times slower than the ray caster.
"""

import atexit
import copy
import os
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.spatial import from_rotation_vector
from s2rctl.render.layout import DRAWN_GROUPS, camera_ids
from s2rctl.render.look import model_look
from s2rctl.render.protocol import OPTIONAL, Appearance, Frames
from s2rctl.render.worker import Worker
from s2rctl.scene.host import call_host
from s2rctl.scene.poses import Poses

_VARIABLES = ("MUJOCO_GL", "MUJOCO_EGL_DEVICE_ID", "PYOPENGL_PLATFORM")


def open_renderer(model: Any, width: int, height: int) -> Any:
    """Return a ``mujoco.Renderer``; raise MissingEnvironmentError when no OpenGL context can be made."""
    _choose_egl()
    import mujoco

    model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
    model.vis.global_.offheight = max(model.vis.global_.offheight, height)
    try:
        return mujoco.Renderer(model, height, width)
    except Exception as error:  # the GL stack raises whatever its loader met: ImportError, AttributeError, RuntimeError
        raise _no_context(error) from error


def _no_context(error: Exception) -> MissingEnvironmentError:
    """Return the error, which names the variables that somebody set (EGL is what is chosen here)."""
    asked = [name for name in _VARIABLES if os.environ.get(name, "egl") != "egl"]
    settings = ", ".join(f"{name}={os.environ[name]}" for name in asked)
    return MissingEnvironmentError(
        f"no OpenGL context{f' with {settings}' if asked else ''}: {error}",
        (f"unset {' '.join(asked)}, or " if asked else "")
        + "install EGL (Debian: apt-get install libegl1 libgl1-mesa-dri), or use the renderer 'raycast'",
    )


def _choose_egl() -> None:
    """Use EGL on a Linux machine without a display, unless MUJOCO_GL asks for something else.

    MuJoCo makes its choice when it is imported, which has usually happened by now, and looks up the class of its
    context when a renderer is made: so both are set.
    """
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("MUJOCO_GL"):
        return
    os.environ["MUJOCO_GL"] = "egl"
    try:
        from mujoco.egl import GLContext
        from mujoco.rendering.classic import gl_context
    except (ImportError, AttributeError):  # making the renderer says what is missing
        return
    gl_context.GLContext = GLContext


def geoms_only() -> Any:
    """Return drawing options that show what the ray caster shows: geoms of groups 0 to 2, no sites, no markers."""
    import mujoco

    option = mujoco.MjvOption()
    option.geomgroup[:] = [int(group in DRAWN_GROUPS) for group in range(len(option.geomgroup))]
    option.sitegroup[:] = 0
    return option


class GlRenderer:
    """``mujoco.Renderer`` over worlds, through a host callback; the context is made at the first frame.

    Sizes of planes and meshes are those of the model: OpenGL gets their shape when the context is made.
    """

    fixed = OPTIONAL

    def __init__(self, model: Any, cameras: Sequence[str], width: int, height: int, *, shadows: bool = False) -> None:
        self.cameras = tuple(cameras)
        self.width = width
        self.height = height
        self._ids = camera_ids(model, cameras)
        self._look = model_look(model)
        self._model = copy.deepcopy(model)
        self._shadows = shadows
        self._painter: _Painter | None = None
        # a context belongs to the thread that made it, and JAX calls back from any of its threads
        self._thread = Worker("gl")

    def appearance(self, worlds: int) -> Appearance:
        """Return the model's own look, repeated for ``worlds`` worlds."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (worlds, *leaf.shape)), self._look)

    def render(self, poses: Poses, appearance: Appearance) -> Frames:
        """Return the frames of all worlds."""
        shape = (poses.geom_xpos.shape[0], len(self.cameras), self.height, self.width)
        rgb, depth = jax.ShapeDtypeStruct((*shape, 3), jnp.uint8), jax.ShapeDtypeStruct(shape, jnp.float32)
        frames = call_host(self._call, (rgb, depth), poses, appearance)
        return Frames(*frames)

    def close(self) -> None:
        """Free the OpenGL context; the next frame makes a new one."""
        if self._painter is not None:
            self._thread.call(self._painter.close)
            self._painter = None

    def _call(self, poses: Any, appearance: Any) -> Any:
        host_poses = Poses(*map(np.asarray, poses))  # type: ignore[arg-type]
        host_look = jax.tree.map(np.asarray, appearance)
        return self._thread.call(self._draw, host_poses, host_look)

    def _draw(self, poses: Any, look: Any) -> Any:
        if self._painter is None:
            self._painter = _Painter(self._model, self._ids, self.width, self.height, self._shadows)
            atexit.register(self.close)
        frames = [self._painter.world(poses, look, world) for world in range(poses.geom_xpos.shape[0])]
        rgb, depth = zip(*frames, strict=True)
        return np.stack(rgb), np.stack(depth)


class _Painter:
    """One GL context with the model and data that it draws; lives in the thread that made it."""

    def __init__(self, model: Any, cameras: np.ndarray, width: int, height: int, shadows: bool) -> None:
        import mujoco

        self._model = model
        self._cameras = cameras
        self._data = mujoco.MjData(model)
        self._option = geoms_only()
        self._shadow_flag = int(mujoco.mjtRndFlag.mjRND_SHADOW)
        self._shadows = shadows
        self._intrinsic = np.array(model.cam_intrinsic)
        self._fovy = np.array(model.cam_fovy)
        self._far = float(model.vis.map.zfar * model.stat.extent)
        if not model.vis.headlight.active:  # it carries the ambient light
            model.vis.headlight.active, model.vis.headlight.diffuse[:] = 1, 0
        model.vis.headlight.specular[:] = 0
        model.light_ambient[:] = 0
        model.vis.quality.offsamples = 0  # one sample per pixel, as the other renderers take
        self._renderer = open_renderer(model, width, height)

    def close(self) -> None:
        """Free the context."""
        self._renderer.close()

    def world(self, poses: Any, look: Any, world: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rgb (C, H, W, 3) uint8 and depth (C, H, W) float32 of one world."""
        self._dress(look, world)
        self._place(poses, look, world)
        shadows = self._shadows and bool(look.shadows[world])
        images = [self._camera(int(camera), shadows) for camera in self._cameras]
        return np.stack([rgb for rgb, _ in images]), np.stack([depth for _, depth in images])

    def _dress(self, look: Any, world: int) -> None:
        model = self._model
        rgba = np.array(look.geom_rgba[world])
        # MuJoCo takes exactly this colour for "not given" and would draw the material's instead
        unset = (rgba == np.array([0.5, 0.5, 0.5, 1.0], np.float32)).all(axis=1) & (model.geom_matid >= 0)
        rgba[unset, 0] += 1e-4
        model.geom_rgba[:] = rgba
        model.geom_size[:] = look.geom_size[world]
        model.light_diffuse[:] = look.light_diffuse[world]
        model.vis.headlight.ambient[:] = look.ambient[world]
        model.cam_fovy[:] = look.camera_fovy[world]
        zoom = np.tan(np.deg2rad(self._fovy) / 2) / np.tan(np.deg2rad(model.cam_fovy) / 2)
        model.cam_intrinsic[:, :2] = self._intrinsic[:, :2] * zoom[:, None]

    def _place(self, poses: Any, look: Any, world: int) -> None:
        data = self._data
        data.geom_xpos[:] = poses.geom_xpos[world]
        data.geom_xmat[:] = poses.geom_xmat[world].reshape(-1, 9)
        data.light_xpos[:] = look.light_pos[world]
        data.light_xdir[:] = look.light_dir[world]
        for camera in self._cameras:
            axes = poses.cam_xmat[world, camera]
            data.cam_xpos[camera] = poses.cam_xpos[world, camera] + axes @ look.camera_pos_offset[world, camera]
            turned = axes @ from_rotation_vector(look.camera_rot_offset[world, camera])
            data.cam_xmat[camera] = turned.reshape(9)

    def _camera(self, camera: int, shadows: bool) -> tuple[np.ndarray, np.ndarray]:
        renderer = self._renderer
        renderer.update_scene(self._data, camera=camera, scene_option=self._option)
        renderer.scene.flags[self._shadow_flag] = shadows
        rgb = renderer.render()
        renderer.enable_depth_rendering()
        depth = renderer.render()
        renderer.disable_depth_rendering()
        return rgb, np.where(depth >= 0.999 * self._far, 0.0, depth).astype(np.float32)
