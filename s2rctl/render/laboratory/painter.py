"""One OpenGL context that draws worlds one after the other, colour and depth in one pass."""

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from s2rctl.render.laboratory.dress import Outfit, Thing
from s2rctl.render.laboratory.plan import MESH, TEXTURED, THING, Plan

_SHOWN, _HIDDEN = 0, 5  # geom groups
_SHADOW_REACH_M = 0.1
"""What is this far out of the picture may still cast a shadow into it."""


class Painter:
    """Draws ``width`` x ``height`` pictures of a stage; lives in the thread that made it."""

    def __init__(self, model: Any, plan: Plan, width: int, height: int) -> None:
        self._model, self._plan = model, plan
        self._data = mujoco.MjData(model)
        mujoco.mj_forward(model, self._data)
        self._size = np.array(model.geom_size)
        self._is_mesh = plan.role == MESH
        self._things = np.flatnonzero(plan.role == THING)
        self._textures = {role: np.flatnonzero(plan.role == role) for role in TEXTURED}
        self._worn: dict[int, Outfit] = {}  # what each slot's textures show
        self._rect = mujoco.MjrRect(0, 0, width, height)
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        self._gl = mujoco.GLContext(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 8)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 0
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = [int(group == _SHOWN) for group in range(len(self._option.geomgroup))]
        self._option.sitegroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED

    def close(self) -> None:
        """Free the context."""
        self._context.free()
        self._gl.free()

    def world(self, arrays: Mapping[str, np.ndarray], world: int, slot: int, outfit: Outfit) -> None:
        """Draw all cameras of ``world`` into the arrays ``rgb`` and ``depth``."""
        self._wear(outfit, slot)
        self._place(arrays, world, outfit)
        casting = any(lamp.casts for lamp in outfit.lamps)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = int(casting)
        aspect = self._rect.width / self._rect.height
        for camera in range(arrays["eye"].shape[1]):
            eye, axes = arrays["eye"][world, camera], arrays["axes"][world, camera]
            up = np.tan(np.deg2rad(float(arrays["fovy"][world, camera])) / 2)
            self._show(outfit, eye, axes, np.array([up * aspect, up]), _SHADOW_REACH_M if casting else 0.0)
            self._data.cam_xpos[camera] = eye
            self._data.cam_xmat[camera] = axes.reshape(9)
            self._model.cam_fovy[camera] = arrays["fovy"][world, camera]
            self._shoot(camera, arrays["rgb"][world, camera], arrays["depth"][world, camera])

    def _wear(self, outfit: Outfit, slot: int) -> None:
        """Put colours, textures and lamps on the model."""
        model = self._model
        rgba = outfit.rgba.copy()
        # MuJoCo takes exactly this colour for "not given"
        rgba[np.all(rgba[:, :3] == 0.5, axis=1), 0] += 1e-4
        model.geom_rgba[:] = rgba
        for kind, role in enumerate(TEXTURED):
            name = slot * len(TEXTURED) + kind
            image = outfit.textures[kind]
            model.geom_matid[self._textures[role]] = name if image is not None else -1
            if image is not None and self._worn.get(slot) is not outfit:
                start = int(model.tex_adr[name])
                model.tex_data[start : start + image.size] = image.ravel()
                mujoco.mjr_uploadTexture(model, self._context, name)
        self._worn[slot] = outfit
        for index, lamp in enumerate(outfit.lamps):
            model.light_active[index] = int(np.any(lamp.colour > 1e-4))
            model.light_castshadow[index] = int(lamp.casts)
            model.light_diffuse[index] = lamp.colour
            model.light_specular[index] = 0.6 * outfit.gloss * lamp.colour
            self._data.light_xpos[index], self._data.light_xdir[index] = lamp.position, lamp.direction
        model.vis.headlight.ambient[:] = outfit.ambient

    def _place(self, arrays: Mapping[str, np.ndarray], world: int, outfit: Outfit) -> None:
        """Put every geom where it is now."""
        plan, data, model = self._plan, self._data, self._model
        follow = plan.follows >= 0
        led = plan.follows[follow]
        frame = np.asarray(arrays["geom_xmat"][world], float)[led]
        place = np.asarray(arrays["geom_xpos"][world], float)[led]
        data.geom_xpos[follow] = place + np.einsum("gij,gj->gi", frame, plan.offset[follow])
        data.geom_xmat[follow] = (frame @ plan.turn[follow]).reshape(-1, 9)
        data.geom_xpos[~follow], data.geom_xmat[~follow] = plan.offset[~follow], plan.turn[~follow].reshape(-1, 9)
        sizes = np.asarray(arrays["geom_size"][world], float)[plan.follows]
        own = np.take_along_axis(sizes, np.maximum(plan.axes, 0), axis=1)
        model.geom_size[:] = np.where(plan.axes >= 0, own, self._size)
        for geom, thing in zip(self._things, outfit.things, strict=False):
            self._lay(int(geom), thing)

    def _lay(self, geom: int, thing: Thing) -> None:
        cosine, sine = np.cos(thing.yaw), np.sin(thing.yaw)
        self._model.geom_type[geom], self._model.geom_size[geom] = thing.shape, thing.size
        self._data.geom_xpos[geom] = thing.position
        self._data.geom_xmat[geom] = (cosine, -sine, 0, sine, cosine, 0, 0, 0, 1)

    def _show(self, outfit: Outfit, eye: np.ndarray, axes: np.ndarray, tangent: np.ndarray, reach: float) -> None:
        """Leave out what is not drawn, and meshes that the camera cannot see: OpenGL pays for each of their corners."""
        radius = self._model.geom_rbound + reach
        local = (self._data.geom_xpos - eye) @ axes
        ahead = -local[:, 2]
        beside = np.abs(local[:, :2]) - ahead[:, None] * tangent
        seen = np.all(beside < radius[:, None] * np.sqrt(1 + tangent**2), axis=1) & (ahead > -radius)
        shown = (outfit.rgba[:, 3] > 0) & (seen | ~self._is_mesh)
        self._model.geom_group[:] = np.where(shown, _SHOWN, _HIDDEN)

    def _shoot(self, camera: int, rgb: np.ndarray, depth: np.ndarray) -> None:
        self._camera.fixedcamid = camera
        every = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, self._data, self._option, None, self._camera, every, self._scene)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        colour, buffer = np.empty(rgb.shape, np.uint8), np.empty(depth.shape, np.float32)
        mujoco.mjr_readPixels(colour, buffer, self._rect, self._context)
        near, far = (
            float(value * self._model.stat.extent) for value in (self._model.vis.map.znear, self._model.vis.map.zfar)
        )
        # zero is far: z_buffer = near (far - z) / (z (far - near))
        distance = near * far / (buffer.astype(np.float64) * (far - near) + near)
        rgb[:] = colour[::-1]
        depth[:] = np.where(distance >= 0.999 * far, 0.0, distance)[::-1]
