"""The student: camera images and joint readings -> joint-target changes, as a pure function of raw tensors."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from s2rctl.learning.student.proprioception import Proprioception, proprioception
from s2rctl.learning.vision import encoder as nets
from s2rctl.learning.vision import preprocess
from s2rctl.learning.vision.encoder import Encoder, EncoderSettings, Size, settings_for
from s2rctl.learning.vision.preprocess import Camera, Inputs, camera_from
from s2rctl.robots import ROBOTS
from s2rctl.schema.base import Model, quantity
from s2rctl.schema.learning import Distill
from s2rctl.schema.learning import Encoder as EncoderProfile
from s2rctl.schema.simulation import CameraSettings

Params = Any
"""Nested dictionary of arrays: ``encoder/...`` (flax parameters of Encoder) and ``head/...`` (of Policy)."""


class StudentSettings(Model):
    """What the student is made of; the ``config`` of its policy.json."""

    cameras: tuple[Camera, ...] = quantity(..., "", "policy cameras in the order of the latents")
    encoder: EncoderSettings
    hidden: tuple[int, ...] = quantity(..., "", "hidden layers after the encoder")
    robot: str = quantity(..., "", "robot table name: its specification says what the joint inputs are")
    ready: tuple[float, ...] | None = quantity(
        None, "rad", "joints from which hand poses of the commanded joints are told; null: they are no features"
    )
    switched: bool = quantity(..., "", "whether the policy is told when its pilot has handed over")
    action_size: int = quantity(..., "", "joint-target changes", ge=1)

    @property
    def joints(self) -> Proprioception:
        """The joint features."""
        return proprioception(self.robot, self.ready, self.switched)


def student_settings(
    cameras: tuple[CameraSettings, ...],
    encoder: EncoderProfile,
    distill: Distill,
    robot: str,
    *,
    ready: Sequence[float] | None = None,
    switched: bool = False,
) -> StudentSettings:
    """Return the student that a profile describes, for a robot that is commanded by joint targets.

    ``ready`` (rad) is where the task's work with both hands begins: hand poses are told from there, if the profile
    wants them; ``switched``: whether a pilot drives at first.
    """
    read = tuple(camera_from(camera) for camera in cameras)
    return StudentSettings(
        cameras=read,
        encoder=encoder_shape(cameras, encoder),
        hidden=distill.network,
        robot=robot,
        ready=tuple(ready) if ready is not None and distill.hand_poses else None,
        switched=switched,
        action_size=len(ROBOTS.load(robot).command),
    )


def encoder_shape(cameras: tuple[CameraSettings, ...], encoder: EncoderProfile) -> EncoderSettings:
    """Return the shape of the image encoder; all cameras share it and so have one image size."""
    first = camera_from(cameras[0])
    return settings_for(Size(first.height, first.width), first.channels, encoder.latent)


class Policy(nn.Module):
    """Features (N, n) -> mean of the action before tanh (N, actions)."""

    hidden: tuple[int, ...]
    actions: int

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Apply SiLU layers and a linear output that starts near zero, so that an untrained student stands still."""
        for index, size in enumerate(self.hidden):
            features = nn.silu(nn.Dense(size, name=f"hidden_{index}")(features))
        return nn.Dense(self.actions, kernel_init=nn.initializers.normal(1e-2), name="output")(features)


def feature_size(settings: StudentSettings) -> int:
    """Return the number of features: one latent per camera and what is known of the arms."""
    return len(settings.cameras) * settings.encoder.latent + settings.joints.size


def init(key: jax.Array, settings: StudentSettings) -> Params:
    """Return random parameters."""
    first, second = jax.random.split(key)
    shape = settings.encoder
    head = Policy(settings.hidden, settings.action_size)
    return {
        "encoder": nets.init(Encoder(shape), first, shape.height, shape.width, shape.channels),
        "head": nets.init(head, second, feature_size(settings)),
    }


def latents(encoder: Params, settings: StudentSettings, inputs: Inputs) -> jax.Array:
    """Return the latents of all cameras side by side (N, cameras * latent); the cameras share the encoder."""
    encode = Encoder(settings.encoder)
    parts = [nets.apply(encode, encoder, preprocess.image(inputs, camera)) for camera in settings.cameras]
    return jnp.concatenate(parts, axis=-1)


def mean(params: Params, settings: StudentSettings, inputs: Inputs) -> jax.Array:
    """Return the action (N, actions) in [-1, 1]: tanh of the network's mean."""
    seen = latents(params["encoder"], settings, inputs)
    return act_on(params["head"], settings, seen, settings.joints.features(inputs))


def act_on(head: Params, settings: StudentSettings, seen: jax.Array, joints: jax.Array) -> jax.Array:
    """Return the action from latents (N, cameras * latent) and joint features (N, n)."""
    features = jnp.concatenate([seen, joints], axis=-1)
    return jnp.tanh(nets.apply(Policy(settings.hidden, settings.action_size), head, features))


def raw_shapes(settings: StudentSettings) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape without batch and dtype of every input, by ONNX input name, in graph order."""
    return preprocess.raw_shapes(settings.cameras) | settings.joints.raw_shapes
