import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.build import make_images, make_model, make_task
from s2rctl.env.images import Images
from s2rctl.env.keys import make_key
from s2rctl.env.vec_env import VecEnv
from s2rctl.env.visibility import MARGIN, Sight, facing, in_frame, points_in_sight
from s2rctl.physics.native import NativePhysics
from s2rctl.render.raycast import RaycastRenderer
from s2rctl.schema.load import load_profile
from s2rctl.schema.simulation import Appearance as Look
from s2rctl.schema.simulation import Vision
from tests.env import toy
from tests.env.test_images import EYE, MODEL, Fake


def test_a_point_is_in_the_picture_exactly_where_the_renderer_draws_it():
    """Depth tells which point a pixel shows: those points are in the frame, and twice as far aside they are not."""
    profile = load_profile("xarm7-reach").profile
    model = make_model(profile, "reach")
    sight, renderer = Sight(model, profile.vision), RaycastRenderer(model, ("side",), 84, 84)
    look = renderer.appearance(1)
    look = look._replace(
        camera_pos_offset=look.camera_pos_offset + 0.03, camera_rot_offset=look.camera_rot_offset + 0.05
    )
    cameras = sight.lens(look)
    eye, axes, tangent = (np.asarray(leaf)[0, 0] for leaf in cameras)
    for x, y, inside in ((0.98, -0.3, True), (-0.5, 0.97, True), (1.05, 0.0, False), (0.2, -1.05, False)):
        point = eye + 1.3 * axes @ np.array([x * tangent[0], y * tangent[1], -1.0])
        assert bool(in_frame(cameras, jnp.asarray(point)[None])[0, 0]) == inside
    behind = eye + axes @ np.array([0.0, 0.0, 1.0])
    assert not in_frame(cameras, jnp.asarray(behind)[None])[0, 0]
    assert not in_frame(cameras, jnp.asarray(eye + axes @ np.array([0.95 * tangent[0], 0.0, -1.0]))[None], 0.08)[0, 0]


def test_an_arm_along_the_axis_of_a_camera_faces_it():
    profile = load_profile("xarm7-reach", ["reach.variant=two_camera"]).profile
    model = make_model(profile, "reach")
    renderer = RaycastRenderer(model, ("side", "front"), 84, 84)
    cameras = Sight(model, profile.vision).lens(renderer.appearance(2))
    tool = jnp.array([[0.4, 0.0, 0.2], [0.02, 0.4, 0.2]])
    np.testing.assert_array_equal(facing(cameras, jnp.zeros((2, 3)), tool), [[False, True], [True, False]])


def test_goals_are_drawn_where_every_camera_sees_them():
    """With fields of view between 14 and 74 degrees some goals would lie outside of the picture."""
    profile = load_profile("xarm7-reach", ["vision.appearance.camera_fovy_deg=30"]).profile
    model = make_model(profile, "reach")
    task = make_task(profile, "reach", model)
    accept, images = points_in_sight(task, model, profile.vision), make_images(profile, "reach", model)
    worlds = 400
    look, _ = images.draw(make_key(0), worlds)
    keys = jax.random.split(jax.random.key(1), 6 * worlds).reshape(6, worlds)
    starts = jax.jit(jax.vmap(jax.vmap(lambda key: task.reset(key, {}))))(keys)
    fit = np.stack([np.asarray(accept(jax.tree.map(lambda leaf, n=n: leaf[n], starts), look)) for n in range(6)])
    assert 0.8 < fit[0].mean() < 0.97 < fit.any(axis=0).mean()
    sight = Sight(model, profile.vision).lens(look)
    seen = np.asarray(in_frame(sight, starts.state.goal[0], MARGIN))[:, 0]
    assert seen[fit[0]].all() and not seen[~fit[0]].all()


def test_the_environment_takes_the_first_start_that_is_accepted():
    """A toy whose goals below 0 are refused: none of its episodes has one, and refusing all of them still starts."""
    images = Images(toy.build(), Fake(), Vision(cameras=(EYE,), appearance=Look(colour=0)))

    def make(accept):
        def physics(edits):
            return NativePhysics(MODEL, 64, substeps=10, edits=edits, poses=True)

        return VecEnv(toy.make(4), MODEL, physics, 64, key=jax.random.key(0), images=images, accept=accept)

    state = make(lambda start, look: start.state.goal > 0).reset(make_key(0))
    assert (state.task.goal > 0).mean() > 0.95
    assert jnp.isfinite(make(lambda start, look: start.state.goal > 9).reset(make_key(0)).task.goal).all()
