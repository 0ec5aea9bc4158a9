"""Raw sensor tensors -> network features: the one definition that training and the exported graph share.

Only operations that jax2onnx turns into plain ONNX nodes; the batch axis is always the first and always free.
"""

from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp

from s2rctl.schema.base import Model, quantity
from s2rctl.schema.simulation import CameraSettings
from s2rctl.schema.tensors import depth_name, rgb_name

Inputs = Mapping[str, jax.Array]
"""Raw tensors by ONNX input name, each with a leading batch axis."""
SPREAD = 0.25
"""Standard deviation of a normalised image: about that of plain ones, so that networks need no other start."""
LEAST_SPREAD = 0.02
"""Added to an image's own spread (of 1) as squares."""


class Camera(Model):
    """How one policy camera's raw images are read; stored in policy.json."""

    name: str = quantity(..., "", "camera name; the inputs are rgb_<name> and depth_<name>")
    width: int = quantity(..., "px", "image width")
    height: int = quantity(..., "px", "image height")
    colour: bool = quantity(True, "", "whether there is a colour image")
    depth: bool = quantity(False, "", "whether there is a depth image")
    depth_unit_m: float = quantity(1e-4, "m", "metres per count of the uint16 depth image", gt=0)
    depth_range_m: tuple[float, float] = quantity((0.0, 0.4), "m", "depth outside is read as nothing")

    normalise: Literal["none", "image"] = quantity("none", "", "colours as they are, or of mean 0 and one spread")

    @property
    def channels(self) -> int:
        """Channels of the network's image: RGB, RGB and depth, or depth."""
        return 3 * self.colour + self.depth


def camera_from(settings: CameraSettings) -> Camera:
    """Return the part of the profile's camera that the network depends on."""
    fields = ("name", "width", "height", "colour", "depth", "depth_unit_m", "depth_range_m", "normalise")
    return Camera(**{name: getattr(settings, name) for name in fields})


def rgb(counts: jax.Array) -> jax.Array:
    """Return uint8 (N, H, W, 3) as float32 in [-0.5, 0.5]."""
    return counts.astype(jnp.float32) * (1.0 / 255.0) - 0.5


def one_scale(colour: jax.Array) -> jax.Array:
    """Return images (N, H, W, 3), each with mean 0 and standard deviation 0.25 over all its values.

    Exposure and contrast drop out; colours keep their order. An image of almost one value is not stretched without end.
    """
    mean = jnp.mean(colour, axis=(1, 2, 3), keepdims=True)
    apart = colour - mean
    variance = jnp.mean(apart * apart, axis=(1, 2, 3), keepdims=True)
    return apart * (SPREAD / jnp.sqrt(variance + LEAST_SPREAD**2))


def depth(counts: jax.Array, unit_m: float, range_m: tuple[float, float]) -> jax.Array:
    """Return uint16 (N, H, W) as float32 in [0, 1], near to far limit; 0 outside or unmeasured."""
    low, high = range_m
    metres = counts.astype(jnp.float32) * unit_m
    seen = (metres > low) & (metres <= high)
    return jnp.where(seen, metres - low, 0.0) * (1.0 / (high - low))


def image(inputs: Inputs, camera: Camera) -> jax.Array:
    """Return the camera's image (N, H, W, channels) float32, depth last."""
    parts = []
    if camera.colour:
        colour = rgb(inputs[rgb_name(camera.name)])
        parts.append(one_scale(colour) if camera.normalise == "image" else colour)
    if camera.depth:
        far = depth(inputs[depth_name(camera.name)], camera.depth_unit_m, camera.depth_range_m)
        parts.append(far[..., None])
    return jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def views(inputs: Inputs, cameras: tuple[Camera, ...]) -> jax.Array:
    """Return the images of all cameras (N, H, W, channels of all), one after the other along the channels."""
    seen = [image(inputs, camera) for camera in cameras]
    return jnp.concatenate(seen, axis=-1) if len(seen) > 1 else seen[0]


def raw_shapes(cameras: tuple[Camera, ...]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape without batch and dtype of the image inputs, by ONNX input name, in graph order."""
    shapes: dict[str, tuple[tuple[int, ...], str]] = {}
    for camera in cameras:
        if camera.colour:
            shapes[rgb_name(camera.name)] = ((camera.height, camera.width, 3), "uint8")
        if camera.depth:
            shapes[depth_name(camera.name)] = ((camera.height, camera.width), "uint16")
    return shapes
