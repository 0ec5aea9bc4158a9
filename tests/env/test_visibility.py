import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env import visibility
from s2rctl.env.build import make_env, make_model
from s2rctl.env.keys import make_key
from s2rctl.env.visibility import Sight, facing, in_frame
from s2rctl.render.raycast import RaycastRenderer
from s2rctl.schema.load import load_profile


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


def test_goals_are_drawn_where_every_camera_sees_them(monkeypatch):
    turned = "vision.appearance.camera_rotation_deg=14"
    profile = load_profile("xarm7-reach", [turned, "vision.appearance.camera_position_m=[0.1, 0.1, 0.1]"]).profile

    def share(env) -> float:
        state = jax.jit(env.reset)(make_key(1))
        cameras = Sight(env.model, profile.vision).lens(state.appearance)
        return float(in_frame(cameras, state.observation.inputs["goal"], visibility.MARGIN).mean())

    env = make_env(profile, "reach", 64, seed=0)
    chosen = share(env)
    env._accept = None
    assert share(env) < 0.85 < 0.97 < chosen
