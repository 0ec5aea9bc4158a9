"""Small convolutional encoders for policy images, laid out for fast gradients on a CPU.

Three convolutions and a dense layer, as in the image encoder of Mnih et al. 2015, with fewer filters: measured on two
CPU cores, XLA's own gradient of a strided convolution runs at 0.5 k images/s for 84x84 and the original filter counts,
while space-to-depth followed by a matrix product gives the same function and several times the rate.
"""

from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from s2rctl.core.errors import UsageError
from s2rctl.schema.base import Model, quantity


class Layer(Model):
    """One convolution followed by a ReLU."""

    filters: int = quantity(..., "", "output channels", ge=1)
    kernel: int = quantity(..., "px", "side of the kernel, a multiple of the stride", ge=1)
    stride: int = quantity(..., "px", "step of the kernel", ge=1)
    padding: int = quantity(0, "px", "zeros around the image", ge=0)
    pool: bool = quantity(False, "", "followed by the largest of 3x3 at stride 2")


class EncoderSettings(Model):
    """Shape of an encoder; stored next to its weights."""

    height: int = quantity(..., "px", "image height")
    width: int = quantity(..., "px", "image width")
    channels: int = quantity(..., "", "image channels of all views together; of one view 3 RGB, 4 RGB-D")
    views: int = quantity(1, "", "cameras that are seen side by side, each with weights of its own", ge=1)
    keypoints: bool = quantity(False, "", "whether each filter is summed up by its soft-argmax instead of all pixels")
    layers: tuple[Layer, ...] = quantity(..., "", "convolutions in order")
    latent: int = quantity(..., "", "size of the latent", ge=1)


Style = Literal["plain", "alexnet", "keypoint"]

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
# Twice as fine in the first layers: edges of depth lie between the cells of the coarse one. A quarter of its rate.
_LARGE_FINE = (
    Layer(filters=32, kernel=8, stride=4),
    Layer(filters=48, kernel=4, stride=2),
    Layer(filters=48, kernel=3, stride=1),
)
# Krizhevsky et al. 2012 with a quarter of the filters, and the first kernel a multiple of its stride.
_ALEXNET = (
    Layer(filters=16, kernel=12, stride=4, padding=2, pool=True),
    Layer(filters=48, kernel=5, stride=1, padding=2, pool=True),
    Layer(filters=96, kernel=3, stride=1, padding=1),
    Layer(filters=64, kernel=3, stride=1, padding=1),
    Layer(filters=64, kernel=3, stride=1, padding=1),
)
# Finer than the others: a soft-argmax interpolates between the pixels of its map, but needs a map.
_KEYPOINT = (
    Layer(filters=32, kernel=4, stride=4),
    Layer(filters=32, kernel=3, stride=1, padding=1),
    Layer(filters=32, kernel=3, stride=1, padding=1),
)
_SMALL = (
    Layer(filters=32, kernel=4, stride=4),
    Layer(filters=32, kernel=3, stride=1),
    Layer(filters=32, kernel=3, stride=1),
)


def settings_for(
    size: Size, channels: int, latent: int, views: int = 1, style: Style = "plain", *, fine: bool = False
) -> EncoderSettings:
    """Return the layers for an image size: a coarse first layer from 64 pixels on unless ``fine``, a fine one below.

    ``channels`` is the number of one view.

    Raises UsageError for an image that the layers would shrink to nothing.
    """
    if min(size) < SMALLEST:
        raise UsageError(
            f"a policy camera of {size.width}x{size.height} pixels is too small for the encoder",
            f"set vision.cameras to at least {SMALLEST}x{SMALLEST} pixels",
        )
    large = _LARGE_FINE if fine else _LARGE
    plain = large if min(size) >= 64 else _SMALL
    layers = {"plain": plain, "alexnet": _ALEXNET, "keypoint": _KEYPOINT}[style]
    return EncoderSettings(
        height=size.height,
        width=size.width,
        channels=views * channels,
        views=views,
        layers=layers,
        keypoints=style == "keypoint",
        latent=latent,
    )


def space_to_depth(images: jax.Array, block: int) -> jax.Array:
    """Return (N, H//b, W//b, b*b*C): each block of pixels as one pixel; a remainder at the far edges is cut off."""
    height, width, channels = images.shape[1] // block, images.shape[2] // block, images.shape[3]
    cut = images[:, : height * block, : width * block]
    split = cut.reshape(-1, height, block, width, block, channels).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(-1, height, width, block * block * channels)


class Convolution(nn.Module):
    """Convolution (N, H, W, C) -> (N, H', W', filters), kernel a multiple of the stride."""

    filters: int
    kernel: int
    stride: int
    padding: int = 0

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Apply space-to-depth by the stride, then a unit-stride convolution as one matrix product."""
        if self.kernel % self.stride:
            raise ValueError(f"kernel {self.kernel} must be a multiple of stride {self.stride}")
        if self.padding:
            edge = (self.padding, self.padding)
            images = jnp.pad(images, ((0, 0), edge, edge, (0, 0)))
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
        settings, each = self.settings, self.settings.channels // self.settings.views
        features = []
        for view in range(settings.views):
            hidden = images[..., view * each : (view + 1) * each]
            prefix = f"view_{view}_" if settings.views > 1 else ""
            for index, layer in enumerate(settings.layers):
                name = f"{prefix}conv_{index}"
                convolution = Convolution(layer.filters, layer.kernel, layer.stride, layer.padding, name=name)
                hidden = nn.relu(convolution(hidden))
                hidden = largest(hidden) if layer.pool else hidden
            if settings.keypoints:
                sharpness = self.param(f"{prefix}sharpness", nn.initializers.ones, (hidden.shape[3],))
                features.append(soft_argmax(hidden * sharpness))
            else:
                features.append(hidden.reshape(-1, hidden.shape[1] * hidden.shape[2] * hidden.shape[3]))
        flat = jnp.concatenate(features, axis=-1) if len(features) > 1 else features[0]
        return nn.relu(nn.Dense(settings.latent, kernel_init=nn.initializers.he_normal(), name="latent")(flat))


def soft_argmax(maps: jax.Array) -> jax.Array:
    """Return where each map (N, H, W, F) has its mass: mean column and row in [-1, 1] under its softmax (N, 2 F).

    Spatial softmax of Levine et al. 2016; it says where a feature is to a fraction of a pixel.
    """
    height, width, filters = maps.shape[1:]
    share = jax.nn.softmax(maps.reshape(-1, height * width, filters), axis=1)
    row, column = jnp.meshgrid(jnp.linspace(-1.0, 1.0, height), jnp.linspace(-1.0, 1.0, width), indexing="ij")
    places = jnp.stack([column.reshape(-1), row.reshape(-1)])
    return jnp.einsum("kp,npf->nkf", places, share).reshape(-1, 2 * filters)


def largest(images: jax.Array) -> jax.Array:
    """Return the largest value of each 3x3 window at stride 2 (N, (H-1)//2, (W-1)//2, C)."""
    rows, columns = (images.shape[1] - 1) // 2, (images.shape[2] - 1) // 2
    found = images[:, : 2 * rows : 2, : 2 * columns : 2]
    for i in range(3):
        for j in range(3):
            found = jnp.maximum(found, images[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2])
    return found


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
