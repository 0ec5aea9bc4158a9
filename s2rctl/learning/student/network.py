"""The student: camera images and joint readings -> joint-target changes, as a pure function of raw tensors.

It may also tell from each camera's image where that camera's object is, as the simulator knows it, and remember running
means of what it told: one image tells a pose to a few millimetres at best, but an object in the hand stays where it is.
It may remember running means of how far its arms are from their commands, too: an arm always sags, and what comes on
top is what it touches. Or it remembers what it learns to (a GRU, Cho et al. 2014): no camera sees a peg inside its
socket, so what was seen before it went in, and what the joints felt since, have to say where it is.
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
from s2rctl.schema.contract import Memory, start
from s2rctl.schema.learning import Distill
from s2rctl.schema.learning import Encoder as EncoderProfile
from s2rctl.schema.simulation import CameraSettings

State = Mapping[str, jax.Array]
"""Memory of N worlds by name."""
Params = Any
"""Nested dictionary of arrays: ``encoder/...`` (flax parameters of Encoder), ``head/...`` (of Policy), ``estimate/...``
(of vision.encoder.Head) for a student that tells poses, ``recurrent/...`` (of Unit) for one that learns to remember."""

ESTIMATES = "estimates"
ERRORS = "errors"
HANDS = "hands"
RECURRENT = "recurrent"
"""Names of the memories."""


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
    measured: bool = quantity(False, "", "whether hand poses of the measured joints are told too")
    switched: bool = quantity(..., "", "whether the policy is told when its pilot has handed over")
    action_size: int = quantity(..., "", "joint-target changes", ge=1)
    estimates: int = quantity(0, "", "numbers that each camera's image tells of its object; 0: none", ge=0)
    filters: tuple[float, ...] = quantity((), "", "shares of the past in running means")
    filtered_errors: bool = quantity(False, "", "whether tracking errors are filtered too, not only what is told")
    filtered_hands: bool = quantity(False, "", "whether where the measured hands are to each other is filtered, too")
    recurrent: int = quantity(0, "", "size of the recurrent unit; 0: none", ge=0)

    @property
    def told(self) -> int:
        """How many numbers all cameras tell."""
        return len(self.cameras) * self.estimates

    @property
    def memory(self) -> tuple[Memory, ...]:
        """What it remembers, all 0 at an episode's start.

        Running sums of what was told, and the weight of each: (filters, told + 1); of tracking errors and of the hands,
        likewise. The recurrent unit's state.
        """
        sums = tuple(Memory(name=name, shape=(len(self.filters), size + 1)) for name, size in self.filtered.items())
        return sums + ((Memory(name=RECURRENT, shape=(self.recurrent,)),) if self.recurrent else ())

    @property
    def filtered(self) -> dict[str, int]:
        """How many numbers each memory of running means is about."""
        if not self.filters:
            return {}
        told = {ESTIMATES: self.told} if self.told else {}
        errors = {ERRORS: self.joints.errors_size} if self.filtered_errors else {}
        return told | errors | ({HANDS: self.joints.hands_size} if self.filtered_hands else {})

    @property
    def joints(self) -> Proprioception:
        """The joint features."""
        return proprioception(self.robot, self.ready, self.switched, self.measured)


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
        measured=ready is not None and distill.measured_hands,
        switched=switched,
        action_size=len(ROBOTS.load(robot).command),
        estimates=estimates if distill.estimates else 0,
        filters=distill.filters,
        filtered_errors=distill.filtered_errors,
        filtered_hands=distill.filtered_hands and ready is not None,
        recurrent=distill.recurrent,
    )


def encoder_shape(cameras: tuple[CameraSettings, ...], encoder: EncoderProfile) -> EncoderSettings:
    """Return the shape of the image encoder; all cameras share it and so have one image size."""
    first = camera_from(cameras[0])
    return settings_for(Size(first.height, first.width), first.channels, encoder.latent, fine=encoder.stem == "fine")


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


class Unit(nn.Module):
    """State and features side by side (N, size + n) -> state from then on (N, size): a gated recurrent unit."""

    size: int

    @nn.compact
    def __call__(self, both: jax.Array) -> jax.Array:
        """Apply the unit."""
        after: jax.Array = nn.GRUCell(self.size, name="cell")(both[..., : self.size], both[..., self.size :])[0]
        return after


def feature_size(settings: StudentSettings) -> int:
    """Return the number of features: latents, what is known of the arms, and what was told now and before.

    A recurrent unit's state comes on top.
    """
    latents = len(settings.cameras) * settings.encoder.latent
    return latents + settings.joints.size + settings.told + len(settings.filters) * sum(settings.filtered.values())


def init(key: jax.Array, settings: StudentSettings) -> Params:
    """Return random parameters."""
    first, second = jax.random.split(key)
    shape = settings.encoder
    head = Policy(settings.hidden, settings.action_size)
    params = {
        "encoder": nets.init(Encoder(shape), first, shape.height, shape.width, shape.channels),
        "head": nets.init(head, second, feature_size(settings) + settings.recurrent),
    }
    if settings.estimates:
        params["estimate"] = nets.init(Head(settings.estimates), jax.random.fold_in(first, 1), shape.latent)
    if settings.recurrent:
        both = settings.recurrent + feature_size(settings)
        params["recurrent"] = nets.init(Unit(settings.recurrent), jax.random.fold_in(second, 1), both)
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


def act(
    params: Params, settings: StudentSettings, inputs: Inputs, memory: State
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the action (N, actions) in [-1, 1], tanh of the network's mean, and the memory from then on."""
    action, after, _ = decide(params, settings, inputs, memory)
    return action, after


def decide(
    params: Params, settings: StudentSettings, inputs: Inputs, memory: State
) -> tuple[jax.Array, dict[str, jax.Array], Seen]:
    """Return what ``act`` does, and what was seen."""
    seen = tell(params, settings, latents(params["encoder"], settings, inputs))
    return *act_on(params, settings, seen, settings.joints.features(inputs), memory), seen


def mean(params: Params, settings: StudentSettings, inputs: Inputs) -> jax.Array:
    """Return the action (N, actions) of a student without memory."""
    return act(params, settings, inputs, {})[0]


def act_on(
    params: Params, settings: StudentSettings, seen: Seen, joints: jax.Array, memory: State
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the action from what is seen and joint features (N, n), and the memory after it."""
    features, after = [seen.latents, joints, seen.told], {}
    for name, size in settings.filtered.items():
        sums = after[name] = _filtered(settings, memory[name], _now(settings, name, seen, joints))
        features.append((sums[..., :-1] / sums[..., -1:]).reshape(-1, len(settings.filters) * size))
    if settings.recurrent:
        both = jnp.concatenate([memory[RECURRENT], *features], axis=-1)
        after[RECURRENT] = nets.apply(Unit(settings.recurrent), params["recurrent"], both)
        features.append(after[RECURRENT])
    head = Policy(settings.hidden, settings.action_size)
    return jnp.tanh(nets.apply(head, params["head"], jnp.concatenate(features, axis=-1))), after


def _now(settings: StudentSettings, name: str, seen: Seen, joints: jax.Array) -> jax.Array:
    """Return what is filtered into a memory (N, n), as it is now."""
    if name == ESTIMATES:
        return seen.told
    return settings.joints.errors(joints) if name == ERRORS else settings.joints.hands(joints)


def _filtered(settings: StudentSettings, sums: jax.Array, value: jax.Array) -> jax.Array:
    """Return the running sums (N, filters, n + 1) after another value (N, n)."""
    share = jnp.asarray(settings.filters, jnp.float32)[:, None]
    now = jnp.concatenate([value, jnp.ones_like(value[:, :1])], axis=-1)[:, None]
    return share * sums + (1.0 - share) * now


def emptied(settings: StudentSettings, memory: State, begun: jax.Array) -> dict[str, jax.Array]:
    """Return the memory with that of a new episode where one began (N,) bool."""
    fresh = start(settings.memory, len(begun))
    return {
        name: jnp.where(begun.reshape((-1,) + (1,) * (value.ndim - 1)), fresh[name], value)
        for name, value in memory.items()
    }


def raw_shapes(settings: StudentSettings) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape without batch and dtype of every input, by ONNX input name, in graph order."""
    return preprocess.raw_shapes(settings.cameras) | settings.joints.raw_shapes
