"""Which renderer is chosen where."""

import mujoco
import numpy as np
import pytest

from s2rctl.core.errors import UsageError
from s2rctl.render import factory
from s2rctl.render.factory import choose_renderer, make_renderer
from s2rctl.render.raycast import RaycastRenderer
from tests.render.scenes import CAMERAS, small_model


def meshes() -> mujoco.MjModel:
    corners = " ".join(map(str, np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).ravel()))
    return mujoco.MjModel.from_xml_string(
        f"<mujoco><asset><mesh name='m' vertex='{corners}'/></asset>"
        "<worldbody><geom type='mesh' mesh='m'/><camera name='c'/></worldbody></mujoco>"
    )


@pytest.mark.parametrize("kind", ["cpu", "nvidia", "other"])
def test_auto_is_the_ray_caster_wherever_the_scene_is_made_of_primitives(monkeypatch, kind):
    monkeypatch.setattr(factory, "device_kind", lambda: kind)
    choice = choose_renderer("auto", small_model())
    assert choice.name == "raycast"
    assert "primitives" in choice.why


@pytest.mark.parametrize(
    ("kind", "warp", "name", "said"),
    [
        ("nvidia", True, "warp", "NVIDIA"),
        ("nvidia", False, "gl", "s2rctl[warp]"),
        ("cpu", True, "gl", "no NVIDIA"),
        ("other", True, "gl", "no NVIDIA"),
    ],
)
def test_auto_draws_meshes_with_what_is_there(monkeypatch, kind, warp, name, said):
    monkeypatch.setattr(factory, "device_kind", lambda: kind)
    monkeypatch.setattr(factory, "has_warp", lambda: warp)
    choice = choose_renderer("auto", meshes())
    assert choice.name == name
    assert said in choice.why


def test_auto_is_built():
    made = make_renderer("auto", small_model(), CAMERAS, 8, 8)
    assert isinstance(made, RaycastRenderer)
    assert made.cameras == CAMERAS


def test_an_unknown_renderer_is_a_usage_error():
    with pytest.raises(UsageError, match="raycst"):
        make_renderer("raycst", small_model(), CAMERAS, 8, 8)
