"""Pictures of a scene without an environment: the drawing process's own parts, in this process."""

from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np

from s2rctl.render.laboratory.dress import Base, Outfit, dress
from s2rctl.render.laboratory.memory import Sizes
from s2rctl.render.laboratory.painter import Painter
from s2rctl.render.laboratory.plan import MESH, OBJECT, ROBOT, Plan
from s2rctl.render.laboratory.stage import build_stage
from s2rctl.render.look import model_look
from s2rctl.schema.laboratory import LOOK_AXES

NOMINAL = {name: axis.nominal for name, axis in LOOK_AXES.items()}
_BASE = ("geom_rgba", "light_pos", "light_dir", "light_diffuse", "ambient")


@dataclass
class Photographer:
    """Draws one model from free places."""

    model: Any
    plan: Plan
    painter: Painter
    arrays: dict[str, np.ndarray]

    def outfit(self, seed: int = 1, **values: float) -> Outfit:
        base = Base(*(np.array(self.arrays[name][0], float) for name in _BASE))
        return dress(self.plan, base, {**NOMINAL, **values}, seed, ())

    def shoot(self, outfit: Outfit) -> tuple[np.ndarray, np.ndarray]:
        """Return rgb (C, H, W, 3) and depth (C, H, W)."""
        self.painter.world(self.arrays, 0, 0, outfit)
        return self.arrays["rgb"][0].copy(), self.arrays["depth"][0].copy()

    def robot_alone(self, meshes: bool) -> np.ndarray:
        """Return where the robot is in the pictures (C, H, W)."""
        outfit = self.outfit(meshes=float(meshes))
        rgba = outfit.rgba.copy()
        rgba[~np.isin(self.plan.role, (ROBOT, MESH)), 3] = 0
        return self.shoot(replace(outfit, rgba=rgba))[1] > 0

    def without_objects(self, outfit: Outfit) -> Outfit:
        rgba = outfit.rgba.copy()
        rgba[self.plan.role == OBJECT, 3] = 0
        return replace(outfit, rgba=rgba)


def photographer(model, meshes, eyes, target, qpos=(), px=120, fovy=42.0) -> Photographer:
    """Return a photographer at ``eyes``, looking at ``target`` (m, world), of the model's keyframe or ``qpos``."""
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    data.qpos[: len(qpos)] = qpos
    mujoco.mj_forward(model, data)
    # the drawn model has one camera for each id that it is given
    stage, plan = build_stage(model, np.arange(len(eyes)), meshes, 1)
    sizes = Sizes(1, model.ngeom, model.nlight, len(eyes), px, px, len(LOOK_AXES))
    arrays = {name: np.zeros(shape, kind) for name, (shape, kind) in sizes.arrays().items()}
    look = model_look(model)
    for name in ("geom_size", *_BASE):
        arrays[name][0] = getattr(look, name)
    arrays["geom_xpos"][0], arrays["geom_xmat"][0] = data.geom_xpos, data.geom_xmat.reshape(-1, 3, 3)
    arrays["fovy"][0] = fovy
    for index, eye in enumerate(np.asarray(eyes, float)):
        back = (eye - target) / np.linalg.norm(eye - target)
        right = np.cross((0, 0, 1), back)
        right /= np.linalg.norm(right)
        arrays["eye"][0, index] = eye
        arrays["axes"][0, index] = np.stack([right, np.cross(back, right), back], 1)
    return Photographer(model, plan, Painter(stage, plan, px, px), arrays)
