import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import UsageError
from s2rctl.render import shadow
from s2rctl.render.film import Film
from s2rctl.render.layout import build_layout
from s2rctl.render.primitives import MISS, Shape, enter, normal
from s2rctl.render.raycast import RaycastRenderer, Scene, draw_in_bands, draw_side_by_side
from s2rctl.render.tiles import cut
from s2rctl.render.trace import unpack
from s2rctl.render.view import look, rotation
from s2rctl.scene import SCENES
from tests.render.scenes import CAMERAS, poses_of, small_model

_NUMBER = st.floats(-1, 1, width=32)


def test_both_drivers_draw_the_same() -> None:
    model = small_model()
    layout = build_layout(model, CAMERAS, 32, 24)
    renderer = RaycastRenderer(model, CAMERAS, 32, 24)

    @jax.jit
    def both(poses, appearance):
        scene, view = Scene(layout, shadows=True), look(layout, poses, appearance)
        return draw_in_bands(scene, view, 32, 24), draw_side_by_side(scene, view, 32, 24)

    bands, whole = both(poses_of(model, 3), renderer.appearance(3))
    near, far = (np.asarray(unpack(layout, hits)[0]).reshape(-1) for _, hits in (bands, whole))
    assert (np.abs(near - far) < 1e-4).mean() > 0.999
    colours = [np.asarray(c).reshape(-1).view(np.uint8).astype(int) for c, _ in (bands, whole)]
    assert (np.abs(colours[0] - colours[1]) <= 1).mean() > 0.999


@pytest.mark.parametrize("scene", ["small", "insertion"])
def test_geoms_that_shadow_rays_skip_would_have_cast_no_shadow(monkeypatch, scene: str) -> None:
    model = small_model() if scene == "small" else SCENES.load(scene)(0.005)
    cameras = CAMERAS if scene == "small" else ("wrist_cam_left", "overhead_cam")
    layout, renderer = build_layout(model, cameras, 32, 32), RaycastRenderer(model, cameras, 32, 32)
    poses, plain = poses_of(model, 2), renderer.appearance(2)
    moved = plain._replace(light_pos=plain.light_pos + jnp.array([0.4, 0.6, -0.8]))
    views = [look(layout, poses, appearance) for appearance in (plain, moved)]

    def drawn(shadows: bool) -> list[np.ndarray]:
        draw = jax.jit(lambda v: draw_in_bands(Scene(layout, shadows), v, 32, 32)[0])
        return [np.asarray(draw(view)) for view in views]

    skips, nothing = drawn(True), drawn(False)
    monkeypatch.setattr(shadow, "_between", lambda layout, view, frame, *_: view.shown[frame])
    for skipping, every, without in zip(skips, drawn(True), nothing, strict=True):
        np.testing.assert_array_equal(skipping, every)
        assert (every != without).any(), "the scene has shadows"


def test_bands_cover_every_pixel_once() -> None:
    tiles = cut(84, 84, 512)
    assert tiles.x.size == tiles.y.shape[1] <= 512
    assert tiles.y.size == 84 * 84 and tiles.y[0, 0] > tiles.y[-1, -1]


def test_meshes_are_refused_by_name() -> None:
    spec = mujoco.MjSpec()
    spec.add_mesh(name="m", uservert=[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1])
    spec.worldbody.add_geom(name="gear", type=mujoco.mjtGeom.mjGEOM_MESH, meshname="m")
    spec.worldbody.add_camera(name="c")
    with pytest.raises(UsageError, match=r"gear.*mesh"):
        RaycastRenderer(spec.compile(), ("c",), 8, 8)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.sampled_from([Shape.BOX, Shape.CAPSULE, Shape.CYLINDER, Shape.ELLIPSOID]),
    target=st.tuples(_NUMBER, _NUMBER, _NUMBER),
    start=st.tuples(_NUMBER, _NUMBER, _NUMBER).filter(lambda v: np.linalg.norm(v) > 0.1),
)
def test_a_ray_enters_at_the_surface_facing_it(shape: Shape, target, start) -> None:
    """From outside towards a point well inside, the entry lies on the surface, before the point, on a facing side."""
    half = np.float32(1.5 if shape is Shape.CAPSULE else 0.0)
    origin = np.array(start) / np.linalg.norm(start) * 6
    inside = 0.55 * np.array(target)
    ray = inside - origin
    t = float(enter(shape, tuple(np.float32(origin)), tuple(np.float32(ray)), half))
    assert 0 < t < 1
    x, y, z = origin + t * ray
    rim = np.hypot(x, y)
    level = {
        Shape.BOX: max(abs(x), abs(y), abs(z)),
        Shape.CYLINDER: max(rim, abs(z)),
        Shape.ELLIPSOID: np.linalg.norm((x, y, z)),
        Shape.CAPSULE: np.linalg.norm((x, y, z - np.clip(z, -half, half))),
    }[shape]
    assert level == pytest.approx(1, abs=2e-4)
    facing = np.array(normal(shape, tuple(np.float32((x, y, z))), (np.float32(1),) * 3, half), float)
    assert np.linalg.norm(facing) == pytest.approx(1, abs=1e-3)
    assert facing @ ray < 1e-3 * np.linalg.norm(ray)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from([Shape.BOX, Shape.CAPSULE, Shape.CYLINDER, Shape.ELLIPSOID]),
    start=st.tuples(_NUMBER, _NUMBER, _NUMBER).filter(lambda v: np.linalg.norm(v) > 0.1),
)
def test_a_ray_that_passes_by_misses(shape: Shape, start) -> None:
    direction = np.array(start) / np.linalg.norm(start)
    aside = np.cross(direction, [0.3, 0.5, 0.8])
    origin = 6 * direction + 3.2 * aside / max(np.linalg.norm(aside), 1e-3)
    if np.linalg.norm(aside) < 0.1:
        return
    half = np.float32(1.0 if shape is Shape.CAPSULE else 0.0)
    assert float(enter(shape, tuple(np.float32(origin)), tuple(np.float32(-direction)), half)) == np.float32(MISS)


@settings(max_examples=50, deadline=None)
@given(vector=st.tuples(*[st.floats(-3, 3, width=32)] * 3))
def test_rotation_vectors(vector) -> None:
    from s2rctl.core.spatial import from_rotation_vector

    assert np.asarray(rotation(np.float32(vector))) == pytest.approx(from_rotation_vector(vector), abs=2e-6)


def test_film_draws_what_it_is_told() -> None:
    model = small_model()
    with Film(model, "above", 96, 64) as film:
        qpos = model.qpos0
        plain = film.frame(qpos)
        assert plain.shape == (64, 96, 3) and plain.dtype == np.uint8 and plain.std() > 10
        rgba = np.array(model.geom_rgba)
        rgba[model.geom("box").id] = (0, 1, 0, 1)
        assert (film.frame(qpos, geom_rgba=rgba) != plain).any()
        assert np.array_equal(film.frame(qpos), plain), "the change holds for one picture only"
        moved = qpos + np.array([0.1, 0, 0, 0, 0, 0, 0])
        assert (film.frame(moved) != plain).any()


def test_film_falls_back_to_the_ray_caster(monkeypatch) -> None:
    from s2rctl.core.errors import MissingEnvironmentError

    def absent(*_):
        raise MissingEnvironmentError("no OpenGL context")

    monkeypatch.setattr("s2rctl.render.film.open_renderer", absent)
    model = small_model()
    with Film(model, "above", 48, 32) as film:
        assert film.backend == "raycast"
        assert film.frame(model.qpos0).std() > 10
