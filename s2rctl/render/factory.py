"""The one place where a renderer is chosen and built."""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from s2rctl.render import RENDERERS
from s2rctl.render.layout import DRAWN_GROUPS, model_rgba
from s2rctl.render.primitives import SHAPES
from s2rctl.render.protocol import Renderer
from s2rctl.scene.device import Choice, device_kind
from s2rctl.scene.libraries import WARP_HINT, has_warp


def choose_renderer(asked: str, model: mujoco.MjModel) -> Choice:
    """Return the renderer that ``asked`` means for a scene here: itself, or for "auto" one that can draw it.

    Where the scene is made of primitives that is the ray caster, on every device: it alone draws all that a profile may
    vary. Where there are meshes it is Warp on NVIDIA and OpenGL elsewhere.
    """
    if asked != "auto":
        return Choice(asked, "the profile asks for it")
    if not _has_meshes(model):
        return Choice("raycast", "the scene is made of primitives, which it draws on every device")
    if device_kind() != "nvidia":
        return Choice("gl", "the scene has meshes, and JAX has no NVIDIA GPU")
    if not has_warp():
        return Choice("gl", f"the scene has meshes, and Warp is not installed: {WARP_HINT}")
    return Choice("warp", "the scene has meshes, JAX has an NVIDIA GPU, and Warp is installed")


def renderer_class(asked: str, model: mujoco.MjModel) -> Any:
    """Return the class of the renderer that ``asked`` means; UsageError for an unknown name."""
    return RENDERERS.load(choose_renderer(asked, model).name)


def make_renderer(
    asked: str,
    model: mujoco.MjModel,
    cameras: Sequence[str],
    width: int,
    height: int,
    *,
    shadows: bool = False,
    pictures: np.ndarray | None = None,
) -> Renderer:
    """Return the renderer that ``asked`` (a row of the table, or "auto") means for cameras of ``model``.

    ``pictures`` (T, S, S, 3) uint8 are for renderers that draw them. Raises UsageError for an unknown name or camera
    and MissingEnvironmentError for a renderer that is not installed.
    """
    hung = {} if pictures is None else {"pictures": pictures}
    made: Renderer = renderer_class(asked, model)(model, tuple(cameras), width, height, shadows=shadows, **hung)
    return made


def _has_meshes(model: mujoco.MjModel) -> bool:
    """Return whether something is drawn that is no primitive shape."""
    drawn = np.isin(model.geom_group, DRAWN_GROUPS) & (model_rgba(model)[:, 3] > 0)
    return any(int(kind) not in SHAPES for kind in model.geom_type[drawn])
