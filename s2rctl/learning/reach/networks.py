"""Networks of the reach policy: image -> position -> displacement, and a critic that sees the state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from s2rctl.learning.reach.variants import variant_of
from s2rctl.learning.vision import encoder as nets
from s2rctl.learning.vision import preprocess
from s2rctl.learning.vision.encoder import Encoder, EncoderSettings, Head, Size, settings_for
from s2rctl.learning.vision.preprocess import Camera, Inputs, camera_from
from s2rctl.schema.base import Model, quantity
from s2rctl.schema.learning import Encoder as EncoderProfile
from s2rctl.schema.reach import Reach
from s2rctl.schema.simulation import CameraSettings
from s2rctl.schema.tensors import GOAL

Params = Any
"""Nested dictionary of arrays."""


class ReachSettings(Model):
    """What the reach policy is made of; the ``config`` of its policy.json."""

    cameras: tuple[Camera, ...] = quantity(..., "", "policy cameras in the order of the views")
    encoder: EncoderSettings
    hidden: tuple[int, ...] = quantity(..., "", "hidden layers of actor and critic")
    action_scale_m: float = quantity(..., "m", "displacement per step at |action| = 1", gt=0)
    centre_m: tuple[float, float, float] = quantity(..., "m", "middle of the workspace: positions are read from here")
    spread_m: float = quantity(..., "m", "standard deviation of positions in the workspace", gt=0)


MOTION_M = 0.03
"""What the command is ahead of the tool, by order of magnitude."""


class Decision(NamedTuple):
    """What the actor says."""

    action: jax.Array  # (N, 3) in [-1, 1]
    position: jax.Array  # (N, 3) predicted tool position, m, robot base frame


def reach_settings(
    cameras: tuple[CameraSettings, ...],
    extractor: EncoderProfile,
    reach: Reach,
    action_scale_m: float,
    centre_m: tuple[float, float, float],
    spread_m: float,
) -> ReachSettings:
    """Return the policy that a profile describes, for a workspace around ``centre_m``."""
    return ReachSettings(
        cameras=tuple(camera_from(camera) for camera in cameras),
        encoder=extractor_settings(cameras, extractor, reach),
        hidden=reach.hidden,
        action_scale_m=action_scale_m,
        centre_m=centre_m,
        spread_m=spread_m,
    )


def extractor_settings(cameras: tuple[CameraSettings, ...], extractor: EncoderProfile, reach: Reach) -> EncoderSettings:
    """Return the shape of the feature extractor; all cameras have the first one's size and channels."""
    first = camera_from(cameras[0])
    size, style = Size(first.height, first.width), variant_of(reach).style
    return settings_for(size, first.channels, extractor.latent, len(cameras), style, fine=extractor.stem == "fine")


class Layers(nn.Module):
    """Features (N, n) -> (N, outputs): ReLU layers and a linear output."""

    hidden: tuple[int, ...]
    outputs: int
    output_scale: float

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Apply the layers."""
        for index, size in enumerate(self.hidden):
            features = nn.relu(nn.Dense(size, name=f"hidden_{index}")(features))
        last = nn.initializers.normal(self.output_scale)
        return nn.Dense(self.outputs, kernel_init=last, name="output")(features)


def init_actor(key: jax.Array, settings: ReachSettings) -> Params:
    """Return random actor parameters: ``extractor``, ``position`` and ``policy``."""
    first, second, third = jax.random.split(key, 3)
    shape = settings.encoder
    return {
        "extractor": nets.init(Encoder(shape), first, shape.height, shape.width, shape.channels),
        "position": nets.init(Head(3), second, shape.latent),
        "policy": nets.init(Layers(settings.hidden, 3, 1e-2), third, 6),
    }


def init_critic(key: jax.Array, settings: ReachSettings, critics: int = 1) -> Params:
    """Return random parameters of one or more critics."""
    keys = jax.random.split(key, critics)
    return {f"q{number}": nets.init(Layers(settings.hidden, 1, 1e-2), keys[number], 15) for number in range(critics)}


def normalise(position: jax.Array, settings: ReachSettings) -> jax.Array:
    """Return positions (N, 3) in m as numbers of order one."""
    return (position - jnp.asarray(settings.centre_m, jnp.float32)) * (1.0 / settings.spread_m)


def locate(actor: Params, settings: ReachSettings, inputs: Inputs) -> jax.Array:
    """Return the tool position (N, 3) seen in the image, normalised."""
    latent = nets.apply(Encoder(settings.encoder), actor["extractor"], preprocess.views(inputs, settings.cameras))
    return nets.apply(Head(3), actor["position"], latent)


def steer(policy: Params, settings: ReachSettings, seen: jax.Array, goal: jax.Array) -> jax.Array:
    """Return the action (N, 3) in [-1, 1] for normalised positions (N, 3) and goals (N, 3)."""
    features = jnp.concatenate([seen, goal], axis=-1)
    return jnp.tanh(nets.apply(Layers(settings.hidden, 3, 1e-2), policy, features))


def decide(actor: Params, settings: ReachSettings, inputs: Inputs) -> Decision:
    """Return action and predicted position for the raw tensors that ``raw_shapes`` names, goal (N, 3) m."""
    seen = locate(actor, settings, inputs)
    action = steer(actor["policy"], settings, seen, normalise(inputs[GOAL], settings))
    return Decision(action, seen * settings.spread_m + jnp.asarray(settings.centre_m, jnp.float32))


class Truth(NamedTuple):
    """What the critic knows and no camera shows."""

    position: jax.Array  # (N, 3) m, the tool
    motion: jax.Array  # (N, 6) m: how far the command is ahead of the tool, and how far it goes in a control step


def values(critic: Params, settings: ReachSettings, truth: Truth, goal: jax.Array, action: jax.Array) -> jax.Array:
    """Return each critic's Q (K, N) of the action (N, 3) in the true state for the goal (N, 3) m."""
    motion = truth.motion * (1.0 / MOTION_M)
    features = jnp.concatenate([normalise(truth.position, settings), normalise(goal, settings), motion, action], -1)
    layers = Layers(settings.hidden, 1, 1e-2)
    return jnp.stack([nets.apply(layers, critic[name], features)[:, 0] for name in sorted(critic)])


def raw_shapes(settings: ReachSettings) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape without batch and dtype of every input, by ONNX input name, in graph order."""
    return preprocess.raw_shapes(settings.cameras) | {GOAL: ((3,), "float32")}
