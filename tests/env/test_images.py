"""Camera tensors: what they hold, and that the episode's look and the reset show in them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import RunError
from s2rctl.env import stepping
from s2rctl.env.colours import COLOURS
from s2rctl.env.images import Images, depth_counts, spoil_colours
from s2rctl.env.keys import make_key
from s2rctl.env.vec_env import VecEnv
from s2rctl.physics.native import NativePhysics
from s2rctl.render.protocol import Appearance, Frames
from s2rctl.scene import SCENES
from s2rctl.schema.appearance import ImageRange
from s2rctl.schema.simulation import Appearance as Look
from s2rctl.schema.simulation import CameraSettings, ColourRange, Delays, Vision
from tests.env import toy

WORLDS, STEPS = 5, 4
MODEL = toy.build()
EYE = CameraSettings(name="eye", width=8, height=8, depth=True, depth_unit_m=1e-3, depth_range_m=(0.1, 2.0))
BLIND = {"colour": False}


class Fake:
    """Draws one flat colour (that of the cart) and as depth how far the cart is from -1 m."""

    cameras, width, height = ("eye",), 8, 8

    def appearance(self, worlds):
        def each(*shape, value=0.0):
            return jnp.full((worlds, *shape), value)

        model = MODEL
        rgba = jnp.broadcast_to(jnp.asarray(model.geom_rgba, jnp.float32), (worlds, model.ngeom, 4))
        down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), (worlds, 1, 3))
        return Appearance(
            rgba,
            jnp.broadcast_to(jnp.asarray(model.geom_size, jnp.float32), (worlds, model.ngeom, 3)),
            each(1, 3),
            down,
            each(1, 3, value=0.5),
            each(3, value=0.3),
            each(1, 3),
            each(1, 3),
            each(1, value=45.0),
            jnp.ones(worlds, bool),
        )

    def render(self, poses, appearance):
        cart = MODEL.geom("cart").id
        colour = jnp.round(255 * appearance.geom_rgba[:, cart, :3]).astype(jnp.uint8)
        worlds = len(colour)
        rgb = jnp.broadcast_to(colour[:, None, None, None], (worlds, 1, 8, 8, 3))
        depth = jnp.broadcast_to(1 + poses.geom_xpos[:, cart, 0][:, None, None, None], (worlds, 1, 8, 8))
        return Frames(rgb, depth)


def make(look=None, worlds=WORLDS, colours=(), delays=None, eye=EYE, **options):
    vision = Vision(cameras=(eye,), appearance=look or Look(colour=0))
    images = Images(MODEL, Fake(), vision, colours=colours, **options)

    def physics(edits):
        return NativePhysics(MODEL, worlds, substeps=10, edits=edits, poses=True)

    return VecEnv(toy.make(STEPS), MODEL, physics, worlds, key=jax.random.key(0), delays=delays, images=images)


def roll(env, actions):
    step = jax.jit(env.step)
    state, out = jax.jit(env.reset)(jax.random.key(0)), []
    first = state.observation
    for action in actions:
        state, result = step(state, action)
        assert not any(name.startswith(("rgb_", "depth_")) for name in result.last.inputs)
        out.append((state.observation.inputs, result.done))
    return first.inputs, out


def test_tensors_and_the_moment_they_show():
    first, seen = roll(make(), jnp.ones((STEPS + 1, WORLDS, 2)))
    assert first["rgb_eye"].shape == (WORLDS, 8, 8, 3)
    assert first["rgb_eye"].dtype == jnp.uint8
    assert first["depth_eye"].shape == (WORLDS, 8, 8)
    assert first["depth_eye"].dtype == jnp.uint16
    assert set(first) == {"joint_pos", "goal", "rgb_eye", "depth_eye"}
    for now, done in seen:
        # Depth follows the cart, and the image is of the same moment as the joint position beside it.
        expected = np.round((1 + np.asarray(now["joint_pos"][:, 0])) * 1000)
        np.testing.assert_allclose(now["depth_eye"][:, 0, 0], expected, atol=1)
        assert done.all() == (now is seen[STEPS - 1][0])
    before, after = seen[STEPS - 2][0], seen[STEPS - 1][0]
    assert (before["depth_eye"][:, 0, 0] > 1001).all(), "the old episode's images"
    assert (after["depth_eye"][:, 0, 0] == 1000).all(), "the new episode's first"


def test_a_policy_that_sees_no_colour_is_shown_none_and_the_same_depth():
    actions = jnp.ones((STEPS + 1, WORLDS, 2))
    (both, seen), (alone, unseen) = (roll(make(eye=eye), actions) for eye in (EYE, EYE.model_copy(update=BLIND)))
    assert set(both) - set(alone) == {"rgb_eye"}
    for (now, _), (then, _) in zip(seen, unseen, strict=True):
        np.testing.assert_array_equal(now["depth_eye"], then["depth_eye"])


def test_the_look_is_drawn_per_world_and_episode():
    ranges = (ColourRange(geoms=("cart",), low=(0.0, 0.5, 0.0), high=(1.0, 0.6, 0.0)),)
    first, seen = roll(make(Look(colour=1), colours=ranges), jnp.zeros((STEPS, WORLDS, 2)))
    colours = np.asarray(first["rgb_eye"][:, 0, 0])
    assert len(np.unique(colours[:, 0])) == WORLDS
    assert ((colours[:, 1] >= 127) & (colours[:, 1] <= 153)).all()
    assert (colours[:, 2] == 0).all()
    for now, done in seen:
        same = (np.asarray(now["rgb_eye"]) == np.asarray(first["rgb_eye"])).all(axis=(1, 2, 3))
        np.testing.assert_array_equal(same, ~np.asarray(done))


def test_without_randomisation_all_worlds_look_the_same():
    first, _ = roll(make(), [])
    assert (np.asarray(first["rgb_eye"]) == [230, 26, 26]).all()


def test_depth_faults_are_applied():
    env = make(depth_faults=lambda key, depth, *, strength: jnp.where(depth > 0, 1.5, 0.0))
    first, _ = roll(env, [])
    assert (first["depth_eye"] == 1500).all()


def test_depth_faults_are_as_strong_as_the_look_says_and_holes_come_last():
    strengths = []

    def faults(key, depth, *, strength):
        strengths.append(strength)
        return jnp.broadcast_to(1.0 + strength[:, :1, None], depth.shape)

    whole = ImageRange(depth_faults=(0.25, 0.75))
    first, _ = roll(make(Look(image=whole), depth_faults=faults), [])
    assert strengths[0].shape == (WORLDS, 5)
    seen = np.asarray(first["depth_eye"])
    assert seen.min() >= 1250 and seen.max() <= 1750 and len(np.unique(seen)) == WORLDS, "one strength per camera"
    holed = whole.model_copy(update={"depth_holes": 1.0})
    first, _ = roll(make(Look(image=holed), depth_faults=faults), [])
    lost = np.asarray(first["depth_eye"]) == 0
    assert 0 < lost.mean() < 0.5


def test_geom_sizes_follow_physics():
    images = Images(MODEL, Fake(), Vision(cameras=(EYE,)))
    sizes = np.random.default_rng(0).uniform(0.01, 0.1, (WORLDS, MODEL.ngeom, 3))
    look, _ = images.with_geom_size(sizes).draw(jax.random.key(0), WORLDS)
    np.testing.assert_allclose(look.geom_size, sizes, rtol=1e-6)


def test_worlds_that_repeat_others_look_like_these_but_for_their_sizes():
    limits = Look(camera_position_m=(0.01, 0.02, 0.0), light_intensity=0.3, brightness=(0.5, 2.5))
    images = Images(MODEL, Fake(), Vision(cameras=(EYE,), appearance=limits))
    sizes = np.random.default_rng(0).uniform(0.01, 0.1, (6, MODEL.ngeom, 3)).astype(np.float32)
    look, settings = images.with_geom_size(sizes).draw(jax.random.key(0), 6, 3)
    own, own_settings = images.draw(jax.random.key(0), 2)
    np.testing.assert_array_equal(settings.brightness, np.tile(own_settings.brightness, (3, 1)))
    np.testing.assert_array_equal(look.camera_pos_offset, np.tile(own.camera_pos_offset, (3, 1, 1)))
    np.testing.assert_array_equal(look.geom_size, sizes)


def test_each_part_of_the_look_stays_in_its_limits():
    limits = Look(
        camera_position_m=(0.01, 0.02, 0.0),
        camera_rotation_deg=5,
        camera_fovy_deg=2,
        light_position_m=0.5,
        light_direction_deg=10,
        light_intensity=0.3,
        brightness=(0.5, 2.5),
    )
    look, settings = Images(MODEL, Fake(), Vision(cameras=(EYE,), appearance=limits)).draw(jax.random.key(0), 300)
    plain = Fake().appearance(300)
    moved = np.abs(look.camera_pos_offset).max(axis=(0, 1))
    np.testing.assert_allclose(moved, [0.01, 0.02, 0.0], atol=1e-3)
    turned = np.degrees(np.linalg.norm(look.camera_rot_offset, axis=-1))
    assert 4.5 < turned.max() <= 5.001
    assert 1.8 < np.abs(look.camera_fovy - 45).max() <= 2
    assert 0.45 < np.abs(look.light_pos).max() <= 0.5
    tilt = np.degrees(np.arccos(np.clip(-np.asarray(look.light_dir)[..., 2], -1, 1)))
    assert 5 < tilt.max() <= 10.01
    np.testing.assert_allclose(np.linalg.norm(look.light_dir, axis=-1), 1, atol=1e-5)
    assert 0.35 <= look.light_diffuse.min() < 0.4
    assert 0.6 < look.light_diffuse.max() <= 0.65
    assert 0.5 <= settings.brightness.min() < 0.6
    assert 2.4 < settings.brightness.max() <= 2.5
    np.testing.assert_array_equal(look.geom_rgba, plain.geom_rgba)


def test_brightness_and_pixel_noise():
    grey = jnp.full((40, 2, 16, 16, 3), 100, jnp.uint8)
    factors = jnp.tile(jnp.array([0.5, 3.0]), (40, 1))
    bright = spoil_colours(jax.random.key(0), grey, factors, 0.0)
    assert (bright[:, 0] == 50).all()
    assert (bright[:, 1] == 255).all()
    noisy = np.asarray(spoil_colours(jax.random.key(0), grey, jnp.ones((40, 2)), 0.1), float) - 100
    assert np.abs(noisy).max() <= 26
    assert abs(noisy.mean()) < 0.2
    assert abs(noisy.std() - 25.5 / np.sqrt(3)) < 0.3
    flat = noisy.reshape(80, -1)
    correlation = np.corrcoef(flat) - np.eye(80)
    assert np.abs(correlation).max() < 0.2, "no two images share their noise"
    channels = np.corrcoef(noisy.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(channels).max() < 0.02


def test_depth_counts():
    depth = jnp.array([0.0, 0.05, 0.1, 0.1234, 2.0, 2.001, jnp.inf, jnp.nan, -1.0])
    assert depth_counts(depth, EYE).tolist() == [0, 0, 100, 123, 2000, 0, 0, 0, 0]


def test_cameras_must_be_the_renderers():
    other = EYE.model_copy(update={"name": "nose"})
    with pytest.raises(RunError, match="nose"):
        Images(MODEL, Fake(), Vision(cameras=(other,)))


@pytest.mark.parametrize("scene", sorted(COLOURS))
def test_colour_ranges_name_geoms_of_their_scene(scene):
    from s2rctl.env.appearance import palette

    found = palette(SCENES.load(scene)(0.005), COLOURS[scene])
    assert found.member.any(axis=1).all()
    assert (found.low <= found.high).all()
    assert found.low.min() >= 0
    assert found.high.max() <= 1


def test_images_are_as_late_as_the_joints_beside_them_and_never_of_an_earlier_episode():
    _, prompt = roll(make(), jnp.ones((STEPS + 2, WORLDS, 2)))
    first, late = roll(make(delays=Delays(observation=(0.0, 1.0))), jnp.ones((STEPS + 2, WORLDS, 2)))
    for name in ("depth_eye", "joint_pos"):
        shown = [np.asarray(first[name])] + [np.asarray(now[name]) for now, _ in prompt]
        for step, (now, done) in enumerate(late):
            expected = shown[step + 1] if done.all() else shown[step]
            np.testing.assert_allclose(now[name], expected, atol=1e-6)
        assert not np.array_equal(late[1][0][name], prompt[1][0][name])


@pytest.fixture
def compiled():
    """Grows by one for everything that XLA compiles."""
    seen = []

    def note(event, duration, **_):
        if "backend_compile" in event:
            seen.append(duration)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield seen
    jax.monitoring.unregister_event_duration_listener(note)


def test_what_was_prepared_is_not_compiled_again(compiled):
    env = make(delays=Delays(observation=(0.5, 0.5)))
    action = np.zeros((WORLDS, env.action_size), np.float32)
    stepping.prepare(env)
    prepared = len(compiled)
    assert prepared >= 6
    state = stepping.reset(env, make_key(0))
    state, step = stepping.step(env, state, action)
    assert not step.done.any()
    # Trifles are left: keys, whether any episode ended, putting a step's images into the state.
    begun = len(compiled)
    assert begun - prepared <= 5
    stepping.step(env, state, action)
    assert len(compiled) == begun


def test_shadows_are_drawn_in_their_share_of_worlds():
    limits = Look(shadow_probability=0.75)
    look, _ = Images(MODEL, Fake(), Vision(cameras=(EYE,), appearance=limits)).draw(jax.random.key(0), 4000)
    assert abs(float(look.shadows.mean()) - 0.75) < 0.03
