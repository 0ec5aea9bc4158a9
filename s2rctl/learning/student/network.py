"""The student: camera images and joint readings -> joint-target changes, as a pure function of raw tensors.

It may also tell from each camera's image where that camera's object is, as the simulator knows it, and remember running
means of what it told: one image tells a pose to a few millimetres at best, but an object in the hand stays where it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from s2rctl.learning.student.proprioception import Proprioception, proprioception
from s2rctl.learning.vision import encoder as nets
from s2rctl.learning.vision import preprocess
from s2rctl.learning.vision.encoder import Encoder, EncoderSettings, Head, Size, settings_for
from s2rctl.learning.vision.preprocess import Camera, Inputs, camera_from
from s2rctl.robots import ROBOTS
from s2rctl.schema.base import Model, quantity
from s2rctl.schema.contract import Memory
from s2rctl.schema.learning import Distill
from s2rctl.schema.learning import Encoder as EncoderProfile
from s2rctl.schema.simulation import CameraSettings

State = Mapping[str, jax.Array]
"""Memory of N worlds by name."""
Params = Any
"""Nested dictionary of arrays: ``encoder/...`` (flax parameters of Encoder), ``head/...`` (of Policy) and, for a
student that tells poses, ``estimate/...`` (of vision.encoder.Head)."""

ESTIMATES = "estimates"
"""Name of the memory."""


class Seen(NamedTuple):
    """What the images of all cameras say, side by side."""

    latents: jax.Array  # (N, cameras * latent)
    told: jax.Array  # (N, cameras * estimates) poses, in the units of the task's image targets


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
    estimates: int = quantity(0, "", "numbers that each camera's image tells of its object; 0: none", ge=0)
    filters: tuple[float, ...] = quantity((), "", "shares of the past in running means of what is told")

    @property
    def told(self) -> int:
        """How many numbers all cameras tell."""
        return len(self.cameras) * self.estimates

    @property
    def memory(self) -> tuple[Memory, ...]:
        """Running sums of what was told, and the weight of each: (filters, told + 1), all 0 at an episode's start."""
        return (Memory(name=ESTIMATES, shape=(len(self.filters), self.told + 1)),) if self.filters else ()

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
    estimates: int = 0,
) -> StudentSettings:
    """Return the student that a profile describes, for a robot that is commanded by joint targets.

    ``ready`` (rad) is where the task's work with both hands begins: hand poses are told from there, if the profile
    wants them; ``switched``: whether a pilot drives at first; ``estimates``: how many numbers the task asks of each
    camera's image, which the student tells if the profile wants it.
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
        estimates=estimates if distill.estimates else 0,
        filters=distill.filters if estimates else (),
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
    """Return the number of features: latents, what is known of the arms, and what was told now and before."""
    latents = len(settings.cameras) * settings.encoder.latent
    return latents + settings.joints.size + settings.told * (1 + len(settings.filters))


def init(key: jax.Array, settings: StudentSettings) -> Params:
    """Return random parameters."""
    first, second = jax.random.split(key)
    shape = settings.encoder
    head = Policy(settings.hidden, settings.action_size)
    params = {
        "encoder": nets.init(Encoder(shape), first, shape.height, shape.width, shape.channels),
        "head": nets.init(head, second, feature_size(settings)),
    }
    if settings.estimates:
        params["estimate"] = nets.init(Head(settings.estimates), jax.random.fold_in(first, 1), shape.latent)
    return params


def latents(encoder: Params, settings: StudentSettings, inputs: Inputs) -> jax.Array:
    """Return the latents of all cameras side by side (N, cameras * latent); the cameras share the encoder."""
    encode = Encoder(settings.encoder)
    parts = [nets.apply(encode, encoder, preprocess.image(inputs, camera)) for camera in settings.cameras]
    return jnp.concatenate(parts, axis=-1)


def tell(params: Params, settings: StudentSettings, latents: jax.Array) -> Seen:
    """Return what latents (N, cameras * latent) say; nothing is told by a student without estimates."""
    if not settings.estimates:
        return Seen(latents, latents[:, :0])
    each = latents.reshape(-1, len(settings.cameras), settings.encoder.latent)
    told = nets.apply(Head(settings.estimates), params["estimate"], each)
    return Seen(latents, told.reshape(-1, settings.told))


def remember(settings: StudentSettings, memory: State, told: jax.Array) -> dict[str, jax.Array]:
    """Return the memory after something was told (N, told); {} for a student without memory."""
    if not settings.filters:
        return {}
    share = jnp.asarray(settings.filters, jnp.float32)[:, None]
    now = jnp.concatenate([told, jnp.ones_like(told[:, :1])], axis=-1)[:, None]
    return {ESTIMATES: share * memory[ESTIMATES] + (1.0 - share) * now}


def act(
    params: Params, settings: StudentSettings, inputs: Inputs, memory: State
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the action (N, actions) in [-1, 1], tanh of the network's mean, and the memory from then on."""
    seen = tell(params, settings, latents(params["encoder"], settings, inputs))
    after = remember(settings, memory, seen.told)
    return act_on(params["head"], settings, seen, settings.joints.features(inputs), after), after


def mean(params: Params, settings: StudentSettings, inputs: Inputs) -> jax.Array:
    """Return the action (N, actions) of a student without memory."""
    return act(params, settings, inputs, {})[0]


def act_on(
    head: Params, settings: StudentSettings, seen: Seen, joints: jax.Array, memory: Mapping[str, jax.Array]
) -> jax.Array:
    """Return the action from what is seen, joint features (N, n), and the memory that what is told is part of."""
    features = [seen.latents, joints, seen.told]
    if settings.filters:
        sums = memory[ESTIMATES]
        features.append((sums[..., :-1] / sums[..., -1:]).reshape(-1, len(settings.filters) * settings.told))
    return jnp.tanh(nets.apply(Policy(settings.hidden, settings.action_size), head, jnp.concatenate(features, axis=-1)))


def raw_shapes(settings: StudentSettings) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape without batch and dtype of every input, by ONNX input name, in graph order."""
    return preprocess.raw_shapes(settings.cameras) | settings.joints.raw_shapes
