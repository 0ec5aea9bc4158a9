"""Small convolutional encoders for policy images, laid out for fast gradients on a CPU.

Three convolutions and a dense layer, as in the image encoder of Mnih et al. 2015, with fewer filters: measured on two
CPU cores, XLA's own gradient of a strided convolution runs at 0.5 k images/s for 84x84 and the original filter counts,
while space-to-depth followed by a matrix product gives the same function and several times the rate.
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from s2rctl.core.errors import UsageError
from s2rctl.schema.base import Model, quantity


class Layer(Model):
    """One VALID convolution followed by a ReLU."""

    filters: int = quantity(..., "", "output channels", ge=1)
    kernel: int = quantity(..., "px", "side of the kernel, a multiple of the stride", ge=1)
    stride: int = quantity(..., "px", "step of the kernel", ge=1)


class EncoderSettings(Model):
    """Shape of an encoder; stored next to its weights."""

    height: int = quantity(..., "px", "image height")
    width: int = quantity(..., "px", "image width")
    channels: int = quantity(..., "", "image channels: 3 RGB, 4 RGB-D")
    layers: tuple[Layer, ...] = quantity(..., "", "convolutions in order")
    latent: int = quantity(..., "", "size of the latent", ge=1)


SMALLEST = 20
"""Smallest image side in pixels: what remains of it after the layers is one pixel."""


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


# Non-overlapping first layers: gradients of an 84x84 batch run at 5 k images/s on two cores (1.3 k with 32@8s4, 64@4s2,
# 64@3s1), of a 32x32 batch at 21 k images/s (9 k with a 4x4 kernel at stride 2).
_LARGE = (
    Layer(filters=32, kernel=6, stride=6),
    Layer(filters=32, kernel=4, stride=2),
    Layer(filters=32, kernel=3, stride=1),
)
_SMALL = (
    Layer(filters=32, kernel=4, stride=4),
    Layer(filters=32, kernel=3, stride=1),
    Layer(filters=32, kernel=3, stride=1),
)


def settings_for(size: Size, channels: int, latent: int) -> EncoderSettings:
    """Return the layers for an image size: a coarse first layer from 64 pixels on, a fine one below.

    Raises UsageError for an image that the layers would shrink to nothing.
    """
    if min(size) < SMALLEST:
        raise UsageError(
            f"a policy camera of {size.width}x{size.height} pixels is too small for the encoder",
            f"set vision.cameras to at least {SMALLEST}x{SMALLEST} pixels",
        )
    layers = _LARGE if min(size) >= 64 else _SMALL
    return EncoderSettings(height=size.height, width=size.width, channels=channels, layers=layers, latent=latent)


def space_to_depth(images: jax.Array, block: int) -> jax.Array:
    """Return (N, H//b, W//b, b*b*C): each block of pixels as one pixel; a remainder at the far edges is cut off."""
    height, width, channels = images.shape[1] // block, images.shape[2] // block, images.shape[3]
    cut = images[:, : height * block, : width * block]
    split = cut.reshape(-1, height, block, width, block, channels).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(-1, height, width, block * block * channels)


class Convolution(nn.Module):
    """VALID convolution (N, H, W, C) -> (N, H', W', filters), kernel a multiple of the stride."""

    filters: int
    kernel: int
    stride: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Apply space-to-depth by the stride, then a unit-stride convolution as one matrix product."""
        if self.kernel % self.stride:
            raise ValueError(f"kernel {self.kernel} must be a multiple of stride {self.stride}")
        blocks = images if self.stride == 1 else space_to_depth(images, self.stride)
        reach = self.kernel // self.stride
        rows, columns = blocks.shape[1] - reach + 1, blocks.shape[2] - reach + 1
        shifted = [blocks[:, i : i + rows, j : j + columns] for i in range(reach) for j in range(reach)]
        patches = jnp.concatenate(shifted, axis=-1) if len(shifted) > 1 else shifted[0]
        dense = nn.Dense(self.filters, kernel_init=nn.initializers.he_normal())
        return dense(patches.reshape(-1, patches.shape[3])).reshape(-1, rows, columns, self.filters)


class Encoder(nn.Module):
    """Images (N, H, W, C) float32 in about [-1, 1] -> latent (N, latent), ReLU of a dense layer."""

    settings: EncoderSettings

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Return the latent."""
        hidden = images
        for index, layer in enumerate(self.settings.layers):
            convolution = Convolution(layer.filters, layer.kernel, layer.stride, name=f"conv_{index}")
            hidden = nn.relu(convolution(hidden))
        flat = hidden.reshape(-1, hidden.shape[1] * hidden.shape[2] * hidden.shape[3])
        return nn.relu(nn.Dense(self.settings.latent, kernel_init=nn.initializers.he_normal(), name="latent")(flat))


class Head(nn.Module):
    """Latent (N, latent) -> regressed quantities (N, outputs): used in pretraining and as the position bottleneck."""

    outputs: int

    @nn.compact
    def __call__(self, latent: jax.Array) -> jax.Array:
        """Return the linear regression."""
        return nn.Dense(self.outputs, name="regression")(latent)


def apply(module: nn.Module, params: Any, values: jax.Array) -> jax.Array:
    """Return ``module`` of ``values`` with the parameters that ``init`` gave."""
    return cast(jax.Array, module.apply({"params": params}, values))


def init(module: nn.Module, key: jax.Array, *shape: int) -> Any:
    """Return random parameters of ``module`` for one input of ``shape`` (without the batch axis)."""
    # One compiled call: a dozen times faster than one compilation per parameter.
    return jax.jit(module.init)(key, jnp.zeros((1, *shape)))["params"]
