from importlib.util import find_spec

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.render import RENDERERS
from s2rctl.render.gl import open_renderer
from s2rctl.render.protocol import OPTIONAL, Appearance, Frames
from tests.render.scenes import CAMERAS, poses_of, small_model

WIDTH, HEIGHT, WORLDS = 64, 48, 3


def _gl_missing() -> str:
    try:
        open_renderer(small_model(), 8, 8).close()
    except MissingEnvironmentError as error:
        return error.message
    return ""


GL_MISSING = _gl_missing()
needs_gl = pytest.mark.skipif(bool(GL_MISSING), reason=GL_MISSING)
needs_warp = pytest.mark.skipif(find_spec("warp") is None, reason="warp-lang is not installed")
needs_madrona = pytest.mark.skipif(find_spec("madrona_mjx") is None, reason="madrona_mjx is not installed")
_NEEDS = {"gl": needs_gl, "warp": needs_warp, "madrona": needs_madrona}
_ROWS = [pytest.param(name, marks=_NEEDS.get(name, ())) for name in RENDERERS.rows]
rows = pytest.mark.parametrize("name", _ROWS)


@pytest.fixture(scope="module")
def renderers():
    """Renderer and jitted render function of each row, made once."""
    made = {}

    def get(name: str, shadows: bool = False):
        if (name, shadows) not in made:
            renderer = RENDERERS.load(name)(small_model(), CAMERAS, WIDTH, HEIGHT, shadows=shadows)
            made[name, shadows] = (renderer, jax.jit(renderer.render))
        return made[name, shadows]

    yield get


def _draw(render, poses, look: Appearance) -> Frames:
    return Frames(*(np.asarray(leaf) for leaf in render(poses, look)))


@rows
def test_frames_have_the_promised_shapes(renderers, name: str) -> None:
    renderer, render = renderers(name)
    frames = _draw(render, poses_of(small_model(), WORLDS), renderer.appearance(WORLDS))
    assert frames.rgb.shape == (WORLDS, len(CAMERAS), HEIGHT, WIDTH, 3) and frames.rgb.dtype == np.uint8
    assert frames.depth.shape == (WORLDS, len(CAMERAS), HEIGHT, WIDTH) and frames.depth.dtype == np.float32
    assert (frames.depth >= 0).all() and frames.depth.max() < 12
    assert (frames.depth == 0).any(), "the pinhole camera looks past the wall"
    assert not frames.rgb[frames.depth == 0].any(), "nothing is black"


@rows
def test_only_the_asked_cameras_in_their_order(renderers, name: str) -> None:
    model = small_model()
    poses = poses_of(model, 1)
    both, render = renderers(name)
    one = RENDERERS.load(name)(model, CAMERAS[1:], WIDTH, HEIGHT)
    expected = _draw(render, poses, both.appearance(1))
    found = _draw(jax.jit(one.render), poses, one.appearance(1))
    assert np.array_equal(found.rgb[:, 0], expected.rgb[:, 1])


@rows
def test_unknown_camera_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="abve") as caught:
        RENDERERS.load(name)(small_model(), ("abve",), 8, 8)
    assert "above" in caught.value.hint


def _changed(look: Appearance, field: str, world: int) -> Appearance:
    """Change one field in one world so that at least one of the cameras must see it."""
    value = np.array(getattr(look, field))
    if field == "geom_rgba":
        value[world, :, :3] = 1 - value[world, :, :3]
    elif field == "geom_size":
        value[world] *= 1.4
    elif field == "light_dir":
        value[world] = np.array([0.8, 0.0, -0.6])
    elif field == "camera_fovy":
        value[world] += 8
    elif field == "light_pos":
        value[world] += np.array([-1.0, 0.5, -0.5])
    elif field in ("camera_pos_offset", "camera_rot_offset"):
        value[world] += 0.1
    elif field == "shadows":
        value[world] = False
    else:
        value[world] = value[world] * 0.5 + 0.2
    return look._replace(**{field: jnp.asarray(value)})


@rows
@pytest.mark.parametrize("field", [field for field in Appearance._fields if field not in OPTIONAL])
def test_each_field_changes_its_own_world_only(renderers, name: str, field: str) -> None:
    """Randomisation that silently does nothing, or that leaks into other worlds, trains the wrong policy."""
    renderer, render = renderers(name, shadows=field == "shadows")
    poses = poses_of(small_model(), 1)
    poses = jax.tree.map(lambda leaf: jnp.repeat(leaf, WORLDS, 0), poses)
    look = renderer.appearance(WORLDS)
    before = _draw(render, poses, look)
    after = _draw(render, poses, _changed(look, field, 1))
    for camera in range(len(CAMERAS)):
        assert (before.rgb[1, camera] != after.rgb[1, camera]).any(-1).mean() > 0.02
    for world in (0, 2):
        assert np.array_equal(before.rgb[world], after.rgb[world])
        assert np.array_equal(before.depth[world], after.depth[world])
    moves = field in ("geom_size", "camera_pos_offset", "camera_rot_offset", "camera_fovy")
    assert np.array_equal(before.depth[1], after.depth[1]) != moves


@rows
def test_alpha_zero_hides_a_geom(renderers, name: str) -> None:
    renderer, render = renderers(name)
    poses, look = poses_of(small_model(), 2), renderer.appearance(2)
    box = small_model().geom("box").id
    frames = _draw(render, poses, look._replace(geom_rgba=look.geom_rgba.at[1, box, 3].set(0.0)))
    shown = _draw(render, poses, look)
    assert np.array_equal(frames.depth[0], shown.depth[0])
    assert (frames.depth[1] > shown.depth[1] + 0.01).sum() > 20


@rows
def test_rendering_inside_scan_gives_the_same_frames(renderers, name: str) -> None:
    renderer, render = renderers(name)
    poses, look = poses_of(small_model(), 2), renderer.appearance(2)

    @jax.jit
    def scanned(poses):
        return jax.lax.scan(lambda carry, _: (carry, renderer.render(poses, look).rgb), 0, None, length=2)[1]

    expected = _draw(render, poses, look)
    assert np.array_equal(np.asarray(scanned(poses))[1], expected.rgb)


@needs_gl
@pytest.mark.parametrize("shadows", [False, True])
def test_ray_caster_agrees_with_mujocos_renderer(renderers, shadows: bool) -> None:
    poses = poses_of(small_model(), 6, seed=3)
    cast, gl = ((r[0].appearance(6), r[1]) for r in (renderers("raycast", shadows), renderers("gl", shadows)))
    ours, theirs = _draw(cast[1], poses, cast[0]), _draw(gl[1], poses, gl[0])
    assert (np.abs(ours.depth - theirs.depth) < 2e-3).mean() >= 0.99
    difference = np.abs(ours.rgb.astype(int) - theirs.rgb.astype(int)).max(-1)
    # GL's shadow map has steps of its own size at the edges of shadows
    assert (difference <= 8).mean() >= (0.96 if shadows else 0.98)


@needs_gl
def test_the_agreement_test_would_see_a_shift_of_one_pixel(renderers) -> None:
    poses = poses_of(small_model(), 6, seed=3)
    renderer, render = renderers("gl")
    depth = _draw(render, poses, renderer.appearance(6)).depth
    assert (np.abs(depth[..., 1:] - depth[..., :-1]) < 2e-3).mean() < 0.9


@needs_gl
def test_agreement_holds_under_randomised_appearance(renderers) -> None:
    poses = poses_of(small_model(), 4, seed=5)
    planes = (small_model().geom_type == mujoco.mjtGeom.mjGEOM_PLANE)[:, None]  # GL fixes their size beforehand
    drawn = []
    for name in ("raycast", "gl"):
        renderer, render = renderers(name)
        look = renderer.appearance(4)
        rng = np.random.default_rng(1)
        look = look._replace(
            geom_rgba=look.geom_rgba.at[..., :3].set(rng.uniform(0, 1, (*look.geom_rgba.shape[:2], 3))),
            geom_size=look.geom_size * np.where(planes, 1.0, rng.uniform(0.8, 1.2, look.geom_size.shape)),
            camera_pos_offset=look.camera_pos_offset + rng.uniform(-0.03, 0.03, look.camera_pos_offset.shape),
            camera_rot_offset=look.camera_rot_offset + rng.uniform(-0.1, 0.1, look.camera_rot_offset.shape),
            camera_fovy=look.camera_fovy + rng.uniform(-5, 5, look.camera_fovy.shape),
            light_pos=look.light_pos + rng.uniform(-0.3, 0.3, look.light_pos.shape),
            ambient=look.ambient * 1.5,
        )
        drawn.append(_draw(render, poses, look))
    assert (np.abs(drawn[0].depth - drawn[1].depth) < 2e-3).mean() >= 0.99
    assert (np.abs(drawn[0].rgb.astype(int) - drawn[1].rgb.astype(int)).max(-1) <= 8).mean() >= 0.98


@needs_warp
@pytest.mark.parametrize("shadows", [False, True])
def test_warp_agrees_with_the_ray_caster(renderers, shadows: bool) -> None:
    poses, drawn = poses_of(small_model(), 3, seed=3), []
    for name in ("raycast", "warp"):
        renderer, render = renderers(name, shadows)
        drawn.append(_draw(render, poses, renderer.appearance(WORLDS)))
    assert (np.abs(drawn[0].depth - drawn[1].depth) < 2e-3).mean() >= 0.99
    assert (np.abs(drawn[0].rgb.astype(int) - drawn[1].rgb.astype(int)).max(-1) <= 8).mean() >= 0.97


@pytest.mark.skipif(find_spec("madrona_mjx") is not None, reason="madrona_mjx is installed")
def test_madrona_refuses_with_a_way_out_where_it_is_not_installed() -> None:
    with pytest.raises(MissingEnvironmentError, match="madrona_mjx") as caught:
        RENDERERS.load("madrona")(small_model(), CAMERAS, 8, 8)
    assert "raycast" in caught.value.hint
