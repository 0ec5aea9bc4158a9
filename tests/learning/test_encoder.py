import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import UsageError
from s2rctl.learning.vision import encoder
from s2rctl.learning.vision.encoder import Convolution, Encoder, Layer, Size, settings_for


@settings(max_examples=5, deadline=None)
@given(
    size=st.integers(9, 21), stride=st.sampled_from([1, 2, 3, 4]), reach=st.integers(1, 2), channels=st.integers(1, 4)
)
def test_convolution_equals_a_strided_convolution(size, stride, reach, channels):
    kernel, filters = stride * reach, 5
    layer = Convolution(filters, kernel, stride)
    images = jax.random.normal(jax.random.key(size), (2, size, size, channels))
    params = encoder.init(layer, jax.random.key(1), size, size, channels)
    # Weights are ordered block row, block column, pixel row, pixel column, channel.
    weights = params["Dense_0"]["kernel"].reshape(reach, reach, stride, stride, channels, filters)
    weights = weights.transpose(0, 2, 1, 3, 4, 5).reshape(kernel, kernel, channels, filters)
    expected = jax.lax.conv_general_dilated(
        images, weights, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(encoder.apply(layer, params, images), expected, atol=2e-5)


def test_convolution_refuses_a_kernel_that_is_no_multiple_of_the_stride():
    with pytest.raises(ValueError, match="multiple"):
        encoder.init(Convolution(4, 3, 2), jax.random.key(0), 8, 8, 3)


@pytest.mark.parametrize(("size", "channels", "latent"), [(84, 3, 100), (32, 4, 64)])
def test_encoder_gives_a_finite_latent_that_depends_on_every_part_of_the_image(size, channels, latent):
    module = Encoder(settings_for(Size(size, size), channels, latent))
    params = encoder.init(module, jax.random.key(0), size, size, channels)
    image = jnp.full((1, size, size, channels), 0.1)
    change = jax.grad(lambda x: encoder.apply(module, params, x).sum())(image)[0]
    assert encoder.apply(module, params, image).shape == (1, latent)
    assert jnp.all(jnp.isfinite(change))
    quarter = size // 4
    for row in range(4):
        for column in range(4):
            block = change[row * quarter : (row + 1) * quarter, column * quarter : (column + 1) * quarter]
            assert jnp.any(block != 0)


def test_layers_are_stored_as_json_and_read_back():
    shape = settings_for(Size(32, 32), 4, 64)
    assert type(shape).model_validate_json(shape.model_dump_json()) == shape
    assert all(isinstance(layer, Layer) for layer in shape.layers)


def test_a_camera_too_small_for_the_encoder_is_refused_with_the_smallest_size():
    with pytest.raises(UsageError, match="19x64") as caught:
        settings_for(Size(64, 19), 3, 8)
    assert "20x20" in caught.value.hint
    encoder.init(Encoder(settings_for(Size(20, 20), 3, 8)), jax.random.key(0), 20, 20, 3)


@pytest.mark.parametrize("style", ["plain", "alexnet", "keypoint"])
def test_views_have_weights_of_their_own_and_all_count(style):
    shape = settings_for(Size(84, 84), 3, 8, views=2, style=style)
    assert shape.channels == 6
    params = encoder.init(Encoder(shape), jax.random.key(0), 84, 84, 6)
    assert {name.split("_")[1] for name in params if name.startswith("view_")} == {"0", "1"}
    image = jax.random.uniform(jax.random.key(1), (1, 84, 84, 6))
    change = jax.grad(lambda x: encoder.apply(Encoder(shape), params, x).sum())(image)[0]
    assert jnp.any(change[..., :3] != 0) and jnp.any(change[..., 3:] != 0)


def test_soft_argmax_says_where_a_peak_is_between_pixels():
    column, row = jnp.meshgrid(jnp.linspace(-1, 1, 17), jnp.linspace(-1, 1, 17))
    peak = -((column - 0.31) ** 2 + (row + 0.52) ** 2) / 0.03  # its softmax is a bump of one pixel
    found = encoder.soft_argmax(peak[None, ..., None])[0]
    np.testing.assert_allclose(found, [0.31, -0.52], atol=0.01)


@given(size=st.integers(3, 12), seed=st.integers(0, 9))
@settings(max_examples=8, deadline=None)
def test_largest_equals_max_pooling(size, seed):
    images = jax.random.normal(jax.random.key(seed), (2, size, size + 1, 3))
    expected = jax.lax.reduce_window(images, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
    np.testing.assert_array_equal(encoder.largest(images), expected)
