"""Draws of textures, background, clutter and skins, and that what a task needs can be seen whatever is drawn."""

from functools import cache

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from PIL import Image

from s2rctl.core.errors import ProfileError
from s2rctl.env.appearance import draw_appearance, palette, stand_out
from s2rctl.env.build import make_images, make_model
from s2rctl.env.finish import finish, wardrobe
from s2rctl.env.geoms import half_sides, members
from s2rctl.env.images import Images
from s2rctl.env.keys import make_key
from s2rctl.env.pictures import MADE, load_pictures
from s2rctl.render.protocol import OPTIONAL, PATTERNS
from s2rctl.render.raycast import RaycastRenderer
from s2rctl.scene.poses import Poses
from s2rctl.schema.appearance import (
    BackgroundRange,
    DistractorRange,
    LampRange,
    Looks,
    SizeRange,
    SkinRange,
    TextureRange,
)
from s2rctl.schema.load import load_profile
from s2rctl.schema.profile import Profile
from s2rctl.schema.simulation import Appearance, ColourRange
from tests.render.scenes import CAMERAS, small_model

WORLDS = 300
MODEL = small_model()
BASE = RaycastRenderer(MODEL, CAMERAS, 8, 8).appearance(WORLDS)


def drawn(seed: int = 0, pictures=None, **looks):
    return finish(jax.random.key(seed), BASE, wardrobe(MODEL, Looks(**looks), pictures))


def test_nothing_is_drawn_that_has_no_range():
    look = drawn()
    assert all(getattr(look, name) is None for name in OPTIONAL)
    jax.tree.map(np.testing.assert_array_equal, look, BASE)


def test_patterns_name_geoms_and_bodies():
    named = [MODEL.geom(i).name for i in np.flatnonzero(members(MODEL, ("body:a", "til*")))]
    assert named == ["tile", "box", "capsule", "cylinder", "sphere", "ellipsoid"]


def test_textures_are_where_the_profile_says_and_differ_between_worlds():
    ranges = (
        TextureRange(geoms=("body:a",), patterns=("stripes",), spread=0.2, shine=0.5),
        TextureRange(geoms=("floor",), probability=0.5, period_m=(0.1, 0.4), spread=0.2),
        TextureRange(geoms=("sphere",), patterns=("noise",)),
    )
    textures = drawn(textures=ranges).textures
    pattern = np.asarray(textures.pattern)
    body, floor, sphere = members(MODEL, ("body:a",)), MODEL.geom("floor").id, MODEL.geom("sphere").id
    others = ~body
    others[floor] = False
    assert (pattern[:, others] == 0).all()
    assert (pattern[:, MODEL.geom("box").id] == PATTERNS.index("stripes")).all()
    assert (pattern[:, sphere] == PATTERNS.index("noise")).all(), "the last range decides"
    assert abs((pattern[:, floor] > 0).mean() - 0.5) < 0.1
    assert set(np.unique(pattern[:, floor])) == set(range(len(PATTERNS) - 1)), "there are no pictures here"
    away = np.abs(np.asarray(textures.other)[:, floor] - np.asarray(BASE.geom_rgba)[:, floor, :3])
    assert 0.2 < away.max() <= 0.3001
    rows = np.asarray(textures.axes)[:, floor]
    periods = 1 / np.linalg.norm(rows, axis=-1)
    assert 0.0999 < periods.min() and periods.max() < 0.4001
    np.testing.assert_allclose(np.abs(rows[:, 2, 2]) * periods[:, 2], 1, rtol=1e-5)  # straight on the floor
    assert len(np.unique(np.asarray(textures.phase)[:, floor, 0])) > WORLDS / 2
    assert 0 < np.asarray(textures.shine)[:, body].max() <= 0.5


def test_a_background_has_its_colours_and_its_share_of_worlds():
    sky = drawn(background=BackgroundRange(probability=0.6, low=(0.2, 0.2, 0.2), high=(0.5, 0.5, 0.5))).background
    has = np.asarray(sky.pattern) > 0
    assert abs(has.mean() - 0.6) < 0.1
    assert (np.asarray(sky.colour)[~has] == 0).all()
    for colours in (sky.colour, sky.other):
        assert np.asarray(colours)[has].min() >= 0.2 and np.asarray(colours)[has].max() <= 0.5


def test_distractors_are_in_their_box_and_none_too_many():
    box = DistractorRange(most=5, low_m=(-0.5, 0.2, 0.0), high_m=(0.5, 0.3, 0.1), size_m=(0.01, 0.02))
    extras = drawn(distractors=(box,)).extras
    shown = np.asarray(extras.rgba)[..., 3] > 0
    assert set(np.unique(shown.sum(1))) == set(range(6))
    pos, size = np.asarray(extras.pos)[shown], np.asarray(extras.size)[shown]
    assert (pos >= [-0.5, 0.2, 0.0]).all() and (pos <= [0.5, 0.3, 0.1]).all()
    assert size.min() >= 0.01 and size.max() <= 0.02
    assert (np.asarray(extras.parent) == -1).all()


def test_skins_hang_on_their_geoms_and_are_about_as_large():
    looks = {"skins": (SkinRange(geoms=("box", "capsule"), most=4, scale=(0.8, 1.2), own_colour=1.0),)}
    looks["distractors"] = (DistractorRange(most=2, low_m=(0, 0, 0), high_m=(1, 1, 1)),)
    extras = drawn(**looks).extras
    parents = np.asarray(extras.parent)
    assert parents.shape[1] == 8, "whole rounds of the four shapes"
    assert set(np.unique(parents[:, :4])) == {MODEL.geom("box").id, MODEL.geom("capsule").id}
    half = half_sides(MODEL)[parents[:, :4]]
    largest = np.asarray(extras.size)[:, :4].max(-1)
    assert (largest <= 1.21 * half.max(-1)).all()
    assert (largest >= 0.3 * half.max(-1)).all()
    np.testing.assert_allclose(extras.rgba[:, :4, :3], np.asarray(BASE.geom_rgba)[0][parents[:, :4]][..., :3])


def test_a_size_is_drawn_only_on_its_axes():
    look = drawn(sizes=(SizeRange(geoms=("box",), spread=0.4, axes=("x", "y")),))
    box = MODEL.geom("box").id
    ratio = np.asarray(look.geom_size / jnp.maximum(BASE.geom_size, 1e-9))[:, box]
    np.testing.assert_allclose(ratio[:, 2], 1.0, rtol=1e-6)
    assert (np.ptp(ratio[:, :2], axis=0) > 0.6).all() and abs(np.corrcoef(ratio[:, :2].T)[0, 1]) < 0.5


def test_sizes_and_lamps_stay_in_their_limits():
    lamps = LampRange(most=2, intensity=0.3, off=0.5, tint=0.1, ambient=(0.5, 2.0))
    look = drawn(sizes=(SizeRange(geoms=("box",), spread=0.2),), lamps=lamps)
    ratio = np.asarray(look.geom_size / jnp.maximum(BASE.geom_size, 1e-9))
    box = MODEL.geom("box").id
    assert 0.8 <= ratio[:, box].min() < 0.85 and 1.15 < ratio[:, box].max() <= 1.2001
    np.testing.assert_array_equal(np.delete(look.geom_size, box, 1), np.delete(BASE.geom_size, box, 1))
    first, second = np.asarray(look.light_diffuse).sum(-1).T
    assert (first > 0).all(), "one light is always there"
    assert abs((second == 0).mean() - 0.5) < 0.1
    factor = np.asarray(look.ambient / BASE.ambient)
    assert 0.5 <= factor.min() < 0.6 and 1.8 < factor.max() <= 2.0001
    assert np.asarray(look.lamps.diffuse).max() <= 0.3 * 1.1 + 1e-6
    assert (np.asarray(look.lamps.direction)[..., 2] < 0).all()


def test_a_folder_of_pictures_is_drawn_as_often_as_the_made_ones(tmp_path):
    for name, colour in (("a.png", (250, 0, 0)), ("b.jpg", (0, 250, 0))):
        Image.new("RGB", (120, 80), colour).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = load_pictures(str(tmp_path))
    assert pictures.own == 2 and len(pictures.tiles) == MADE + 2
    np.testing.assert_allclose(pictures.mean[-2], [250 / 255, 0, 0], atol=0.01)
    look = drawn(pictures=pictures, textures=(TextureRange(geoms=("floor",), patterns=("picture",)),))
    number = np.asarray(look.textures.picture)[:, 0]
    assert abs((number >= MADE).mean() - 0.5) < 0.1
    assert set(np.unique(number)) >= {MADE, MADE + 1}


def test_folders_without_readable_pictures_are_named(tmp_path):
    with pytest.raises(ProfileError, match=r"vision\.backgrounds.*contains no pictures"):
        load_pictures(str(tmp_path))
    with pytest.raises(ProfileError, match="cannot read the folder"):
        load_pictures(str(tmp_path / "missing"))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    with pytest.raises(ProfileError, match=r"broken\.png is not a readable picture"):
        load_pictures(str(tmp_path))


def test_a_renderer_that_draws_no_textures_says_so():
    profile = load_profile("aloha", ["vision.renderer=gl", "vision.appearance.background={}"]).profile
    with pytest.raises(ProfileError, match="cannot vary background"):
        make_images(profile, "insertion", make_model(profile, "insertion"))


def test_a_colour_stands_out_from_both_colours_behind_it_in_hue():
    floor = ColourRange(geoms=("floor",), low=(0, 0, 0), high=(0.9, 0.9, 0.9), grey=True, tint=0.15)
    box = ColourRange(geoms=("box",), low=(0.35, 0, 0), high=(1, 0.25, 0.25), against=("floor",), contrast=0.3)
    colours = palette(MODEL, (floor, box))
    plain = draw_appearance(jax.random.key(0), BASE, colours, Appearance())
    textured = finish(
        jax.random.key(1), plain, wardrobe(MODEL, Looks(textures=(TextureRange(geoms=("floor",), spread=0.3),)))
    )
    found = stand_out(jax.random.key(2), textured, colours, 1.0)

    def apart(look):
        behind = (look.geom_rgba[:, MODEL.geom("floor").id, :3], look.textures.other[:, MODEL.geom("floor").id])
        mine = np.asarray(look.geom_rgba[:, MODEL.geom("box").id, :3])
        hue = [np.asarray(c) - np.asarray(c).mean(-1, keepdims=True) for c in (mine, *behind)]
        return np.minimum(*(np.linalg.norm(hue[0] - other, axis=-1) for other in hue[1:]))

    assert (apart(textured) < 0.3).mean() > 0.1
    assert apart(found).min() >= 0.299
    chosen = np.asarray(found.geom_rgba)[:, MODEL.geom("box").id]
    assert (chosen[:, :3] >= [0.35, 0, 0]).all() and (chosen[:, :3] <= [1.001, 0.2501, 0.2501]).all()
    enough = apart(textured) >= 0.3
    np.testing.assert_array_equal(np.asarray(textured.geom_rgba)[enough], np.asarray(found.geom_rgba)[enough])
    np.testing.assert_array_equal(
        np.delete(textured.geom_rgba, MODEL.geom("box").id, 1), np.delete(found.geom_rgba, MODEL.geom("box").id, 1)
    )


DRAWN = 96
TASKS = (
    ("aloha-robust", "pick", ("box",), 25),
    ("aloha-robust", "insertion", ("peg",), 25),
    ("aloha-robust", "insertion", ("socket", "socket_top", "socket_bottom", "socket_left", "socket_right"), 25),
    ("xarm7-robust", "reach", ("body:xarm_gripper_base_link",), 4),
)


@pytest.fixture(scope="module")
def studio():
    """What a task draws for its worlds, and the program for it, compiled once for all things of the task."""

    @cache
    def of(name, task):
        sets = ["vision.appearance.pixel_noise=0", "vision.depth_noise=null"]
        profile = _with_one_camera(load_profile(name, sets).profile)
        model = make_model(profile, task)
        images: Images = make_images(profile, task, model)
        look, settings = jax.jit(images.draw, static_argnums=1)(make_key(1), DRAWN)
        return profile.vision.cameras[0].name, model, look, settings, jax.jit(images.take)

    return of


@pytest.mark.parametrize(("name", "task", "things", "least"), TASKS, ids=lambda value: str(value)[:20])
def test_what_the_task_is_about_can_be_seen_in_every_world(studio, name, task, things, least):
    """Of each pixel that the thing covers, the colour with it and the colour behind it, in the finished image."""
    camera, model, look, settings, take = studio(name, task)
    poses = _above(model, things, DRAWN) if task != "reach" else _poses(model, DRAWN)
    hidden = look._replace(geom_rgba=look.geom_rgba.at[:, np.flatnonzero(members(model, things)), 3].set(0.0))
    with_it, without = (take(make_key(2), poses, each, settings) for each in (look, hidden))
    shown, behind = (np.asarray(seen[f"rgb_{camera}"]).astype(float) for seen in (with_it, without))
    difference = np.abs(shown - behind).max(-1).reshape(DRAWN, -1)
    contrast = np.sort(difference, axis=1)[:, -8:].mean(1)  # the eight clearest pixels
    assert (contrast > least).all(), np.sort(contrast)[:10]
    assert np.median(contrast) > 40


def _with_one_camera(profile: Profile) -> Profile:
    """The scene of a task with one hand has one camera."""
    vision = profile.vision.model_copy(update={"cameras": profile.vision.cameras[:1]})
    return profile.model_copy(update={"vision": vision})


def _poses(model: mujoco.MjModel, worlds: int) -> Poses:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    axes = data.geom_xmat.reshape(-1, 3, 3), data.cam_xmat.reshape(-1, 3, 3)
    one = [data.geom_xpos, axes[0], data.cam_xpos, axes[1]]
    return Poses(*(jnp.repeat(jnp.asarray(leaf, jnp.float32)[None], worlds, 0) for leaf in one))


def _above(model: mujoco.MjModel, things: tuple[str, ...], worlds: int) -> Poses:
    """Poses in which the left camera looks at the things, on the table, from 25 cm above."""
    poses = _poses(model, worlds)
    first = int(np.flatnonzero(members(model, things))[0])
    eye = poses.geom_xpos[:, first] + jnp.array([0.0, 0.0, 0.25])
    camera = model.camera("wrist_cam_left").id
    return poses._replace(
        cam_xpos=poses.cam_xpos.at[:, camera].set(eye), cam_xmat=poses.cam_xmat.at[:, camera].set(jnp.eye(3))
    )
