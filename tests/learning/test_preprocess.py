import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.learning.vision import preprocess
from s2rctl.learning.vision.preprocess import Camera

CAMERA = Camera(name="eye", width=8, height=8, depth=True, depth_unit_m=1e-3, depth_range_m=(0.05, 0.4))


def test_colours_span_half_a_unit_either_side():
    counts = jnp.array([0, 255], jnp.uint8).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(preprocess.rgb(counts).ravel(), [-0.5, 0.5], atol=1e-7)


def test_depth_is_its_share_of_the_range_and_zero_outside_it():
    counts = jnp.array([0, 49, 51, 200, 400, 401, 65535], jnp.uint16).reshape(1, 1, 7)
    found = preprocess.depth(counts, 1e-3, (0.05, 0.4)).ravel()
    np.testing.assert_allclose(found, [0, 0, 0.001 / 0.35, 0.15 / 0.35, 1.0, 0, 0], atol=1e-6)


def test_the_same_scene_in_another_depth_unit_reads_the_same():
    metres = np.linspace(0.06, 0.39, 64).reshape(1, 8, 8)
    coarse = preprocess.depth(jnp.asarray(np.round(metres / 1e-3), jnp.uint16), 1e-3, (0.05, 0.4))
    fine = preprocess.depth(jnp.asarray(np.round(metres / 1e-4), jnp.uint16), 1e-4, (0.05, 0.4))
    np.testing.assert_allclose(coarse, fine, atol=2e-3)


def test_image_puts_depth_last_and_leaves_it_out_for_a_colour_camera():
    inputs = {"rgb_eye": jnp.zeros((2, 8, 8, 3), jnp.uint8), "depth_eye": jnp.full((2, 8, 8), 200, jnp.uint16)}
    seen = preprocess.image(inputs, CAMERA)
    assert seen.shape == (2, 8, 8, CAMERA.channels) and jnp.allclose(seen[..., 3], 0.15 / 0.35)
    alone = CAMERA.model_copy(update={"colour": False})
    np.testing.assert_array_equal(preprocess.image({"depth_eye": inputs["depth_eye"]}, alone), seen[..., 3:])
    assert alone.channels == 1 and list(preprocess.raw_shapes((alone,))) == ["depth_eye"]
    assert preprocess.image(inputs, CAMERA.model_copy(update={"depth": False})).shape == (2, 8, 8, 3)


def test_raw_shapes_list_images_in_graph_order():
    colour = CAMERA.model_copy(update={"name": "side", "depth": False})
    assert preprocess.raw_shapes((CAMERA, colour)) == {
        "rgb_eye": ((8, 8, 3), "uint8"),
        "depth_eye": ((8, 8), "uint16"),
        "rgb_side": ((8, 8, 3), "uint8"),
    }


def test_a_normalised_image_is_the_same_at_every_exposure_and_contrast():
    pixels = jax.random.uniform(jax.random.key(0), (4, 12, 12, 3), minval=0.2, maxval=0.5)
    usual = np.asarray(preprocess.one_scale(pixels))
    np.testing.assert_allclose(usual.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(usual.std(axis=(1, 2, 3)), 0.25, atol=0.02)
    other = np.asarray(preprocess.one_scale(1.7 * pixels - 0.1))
    assert np.abs(other - usual).max() < 0.02
    flat = np.asarray(preprocess.one_scale(jnp.full((1, 8, 8, 3), 0.3).at[0, 0, 0].add(0.004)))
    assert np.abs(flat).max() < 0.06, "noise of a flat image stays small"


def test_images_are_normalised_where_the_camera_says_so_only():
    plain = preprocess.Camera(name="eye", width=8, height=8, depth=True)
    scaled = plain.model_copy(update={"normalise": "image"})
    counts = jax.random.randint(jax.random.key(1), (2, 8, 8, 3), 0, 255).astype(jnp.uint8)
    inputs = {"rgb_eye": counts, "depth_eye": jnp.full((2, 8, 8), 2000, jnp.uint16)}
    as_is, brought = preprocess.image(inputs, plain), preprocess.image(inputs, scaled)
    np.testing.assert_array_equal(as_is[..., :3], preprocess.rgb(counts))
    np.testing.assert_array_equal(as_is[..., 3], brought[..., 3])
    assert np.abs(as_is[..., :3] - brought[..., :3]).max() > 0.01
