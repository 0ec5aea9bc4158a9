"""Pictures of one world for videos and calibration, with numpy in and out."""

import copy
from typing import Any

import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.render.gl import geoms_only, open_renderer
from s2rctl.render.layout import camera_ids

VIEWER = "viewer"
"""The camera through which episodes are filmed."""


def viewer_of(model: Any) -> str:
    """Return the camera to film with: ``viewer``, in a scene without one its first camera; UsageError without any."""
    names = [model.camera(index).name for index in range(model.ncam)]
    if not names:
        raise UsageError("the scene has no camera to film with", f"add one, best named {VIEWER}")
    return VIEWER if VIEWER in names else str(names[0])


class Film:
    """Draws one camera of a model at given joint positions: with OpenGL, else with the ray caster.

    ``camera`` is the name of a camera. Attribute ``backend`` says which of ``gl`` and ``raycast`` draws.
    Without OpenGL a scene with meshes raises UsageError.
    """

    def __init__(self, model: Any, camera: str, width: int, height: int) -> None:
        import mujoco

        self.width, self.height = width, height
        self._camera = int(camera_ids(model, (camera,))[0])
        self._model = copy.deepcopy(model)
        self._given = (np.array(model.geom_size), np.array(model.geom_rgba))
        self._data = mujoco.MjData(self._model)
        self._raycast: Any = None
        try:
            self._gl = open_renderer(self._model, width, height)
            self.backend = "gl"
        except MissingEnvironmentError:
            import jax

            from s2rctl.render.raycast import RaycastRenderer

            renderer = RaycastRenderer(self._model, (camera,), width, height, shadows=True)
            self._raycast = (renderer.appearance(1), jax.jit(renderer.render))
            self.backend = "raycast"

    def frame(
        self, qpos: np.ndarray, geom_size: np.ndarray | None = None, geom_rgba: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the picture (H, W, 3) uint8 at ``qpos`` (nq,).

        ``geom_size`` (ngeom, 3) m and ``geom_rgba`` (ngeom, 4) in [0, 1] replace the model's own for this picture.
        """
        import mujoco

        model, data = self._model, self._data
        model.geom_size[:] = self._given[0] if geom_size is None else geom_size
        model.geom_rgba[:] = self._given[1] if geom_rgba is None else geom_rgba
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        if self._raycast is None:
            self._gl.update_scene(data, camera=self._camera, scene_option=geoms_only())
            return np.array(self._gl.render())
        return self._cast(model, data)

    def close(self) -> None:
        """Free the OpenGL context, if there is one."""
        if self._raycast is None:
            self._gl.close()

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _cast(self, model: Any, data: Any) -> np.ndarray:
        import jax.numpy as jnp

        from s2rctl.render.layout import model_rgba
        from s2rctl.scene.poses import Poses

        look, render = self._raycast
        poses = (data.geom_xpos, data.geom_xmat.reshape(-1, 3, 3), data.cam_xpos, data.cam_xmat.reshape(-1, 3, 3))
        look = look._replace(
            geom_size=jnp.asarray(model.geom_size[None], jnp.float32), geom_rgba=jnp.asarray(model_rgba(model)[None])
        )
        frames = render(Poses(*(jnp.asarray(leaf[None], jnp.float32) for leaf in poses)), look)
        return np.asarray(frames.rgb[0, 0])
