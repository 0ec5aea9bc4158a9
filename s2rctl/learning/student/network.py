"""The student: camera images and joint readings -> joint-target changes, as a pure function of raw tensors.

It may also tell from each camera's image where that camera's object is, as the simulator knows it, and remember running
means of what it told: one image tells a pose to a few millimetres at best, but an object in the hand stays where it is.
It may remember running means of how far its arms are from their commands, too: an arm always sags, and what comes on
top is what it touches. Or it remembers what it learns to (a GRU, Cho et al. 2014): no camera sees a peg inside its
socket, so what was seen before it went in, and what the joints felt since, have to say where it is; ``mating.py`` says
how that is done by geometry.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from s2rctl.learning.student import confidence, mating
from s2rctl.learning.student.settings import ERRORS, ESTIMATES, RECURRENT, StudentSettings
from s2rctl.learning.vision import encoder as nets
from s2rctl.learning.vision import preprocess
from s2rctl.learning.vision.encoder import Encoder, Head
from s2rctl.learning.vision.preprocess import Inputs
from s2rctl.schema.contract import start

State = Mapping[str, jax.Array]
"""Memory of N worlds by name."""
Params = Any
"""Nested dictionary of arrays: ``encoder/...`` (flax parameters of Encoder), ``head/...`` (of Policy), ``estimate/...``
(of vision.encoder.Head) for a student that tells poses, ``confidence/...`` (likewise) for one that tells how sure it
is, ``together/...`` and ``together_confidence/...`` (likewise) for one that tells ways between parts from all images,
``recurrent/...`` (of Unit) for one that learns to remember."""


class Seen(NamedTuple):
    """What the images of all cameras say, side by side."""

    latents: jax.Array  # (N, cameras * latent)
    told: jax.Array  # (N, cameras * estimates) poses, in the units of the task's image targets
    log_variance: jax.Array  # (N, cameras * estimates) of each of them; (N, 0) for a student that does not know


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
    means = len(settings.filters) * sum(settings.filtered.values())
    mated = mating.feature_size(settings.filters, touch=settings.touch) if settings.ends else 0
    return latents + settings.joints.size + settings.told + means + mated


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
    if settings.confidence:
        params["confidence"] = nets.init(Head(settings.estimates), jax.random.fold_in(first, 2), shape.latent)
    if settings.together:
        every = len(settings.cameras) * shape.latent
        for number, name in enumerate(("together", "together_confidence"), 3):
            params[name] = nets.init(Head(mating.BETWEEN), jax.random.fold_in(first, number), every)
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
        return Seen(latents, latents[:, :0], latents[:, :0])
    each = latents.reshape(-1, len(settings.cameras), settings.encoder.latent)
    told = nets.apply(Head(settings.estimates), params["estimate"], each).reshape(-1, settings.told)
    if not settings.confidence:
        return Seen(latents, told, latents[:, :0])
    sure = nets.apply(Head(settings.estimates), params["confidence"], each).reshape(-1, settings.told)
    if settings.together:
        told, sure = (
            mating.with_between(old, nets.apply(Head(mating.BETWEEN), params[name], latents))
            for old, name in ((told, "together"), (sure, "together_confidence"))
        )
    return Seen(latents, told, sure)


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
        after[name] = _summed(settings.filters, memory[name], _now(settings, name, seen, joints))
        features.append(means(after[name], size).reshape(-1, len(settings.filters) * size))
    if settings.ends:
        mated, sums = _mated(settings, settings.ends, seen, joints, memory, after[ESTIMATES])
        features.append(mated)
        after |= sums
    if settings.recurrent:
        both = jnp.concatenate([memory[RECURRENT], *features], axis=-1)
        after[RECURRENT] = nets.apply(Unit(settings.recurrent), params["recurrent"], both)
        features.append(after[RECURRENT])
    head = Policy(settings.hidden, settings.action_size)
    return jnp.tanh(nets.apply(head, params["head"], jnp.concatenate(features, axis=-1))), after


def _now(settings: StudentSettings, name: str, seen: Seen, joints: jax.Array) -> jax.Array:
    """Return what is summed up in a memory now: weighted values, and the weight of each or of all (N, n + weights)."""
    if name == ESTIMATES and settings.confidence:
        weight = _certainty(seen)
        return jnp.concatenate([weight * seen.told, weight], axis=-1)
    if name == ESTIMATES:
        return _weighing_one(seen.told)
    return _weighing_one(settings.joints.errors(joints) if name == ERRORS else settings.joints.hands(joints))


def _mated(
    settings: StudentSettings,
    ends: tuple[float, float],
    seen: Seen,
    joints: jax.Array,
    memory: State,
    estimates: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return where the parts are to each other, as features (N, n), and the memories of that from then on.

    Images learn from the truth how the parts are, and not from actions through this geometry, which blows up errors of
    angles.
    """
    known, short = settings.joints, settings.filters.index(min(settings.filters))
    sent, real = known.sent_hands(joints), known.hands(joints)
    slack = _summed(settings.filters[short : short + 1], memory[mating.SLACK], _weighing_one(real - sent))
    told, certainty = (each.reshape(-1, 2, mating.TOLD) for each in (seen.told, _certainty(seen)))
    moment = mating.way(ends, told[..., : mating.HELD], known.between(real))
    before = memory[mating.MISMATCH]
    seen_now = mating.mismatch(told, certainty, moment)
    if settings.together:  # told once, and here for either camera
        seen_now *= 0.5
    sums = _summed(settings.filters, before, seen_now)
    sums = jnp.where(mating.inside(moment)[..., None], before, sums)  # where nothing is learned nothing is forgotten
    hands = known.between(sent + means(slack[:, 0], known.hands_size))
    place = mating.way(ends, _held(settings, estimates[:, short]), hands)
    after, moved, commanded = {mating.MISMATCH: sums, mating.SLACK: slack}, place, None
    if settings.touch:  # what moves with the joints alone, however what images tell of the hands may flicker
        steady = _held(settings, estimates[:, settings.filters.index(max(settings.filters))])
        moved, commanded = (mating.way(ends, steady, each) for each in (hands, known.between(sent)))
        after[mating.TOUCH] = mating.touched(memory[mating.TOUCH], moved, commanded)
    after[mating.REACH] = mating.reached(memory[mating.REACH], moved)
    felt = mating.felt(moved, after[mating.REACH], commanded, after.get(mating.TOUCH))
    features = jnp.concatenate([mating.features(settings.filters, place, sums), felt], axis=-1)
    return jax.lax.stop_gradient(features), after


def _held(settings: StudentSettings, estimates: jax.Array) -> jax.Array:
    """Return where each hand holds its part (N, 2, HELD), by one of the sums of what images told."""
    return means(estimates, settings.told).reshape(-1, 2, mating.TOLD)[..., : mating.HELD]


def _certainty(seen: Seen) -> jax.Array:
    """Return the weights (N, told) of what was told, which learn from the truth alone."""
    return jax.lax.stop_gradient(confidence.precision(seen.log_variance))


def _weighing_one(value: jax.Array) -> jax.Array:
    """Return a value (N, n) and its weight of 1, as summands (N, n + 1)."""
    return jnp.concatenate([value, jnp.ones_like(value[:, :1])], axis=-1)


def _summed(filters: Sequence[float], sums: jax.Array, now: jax.Array) -> jax.Array:
    """Return the running sums (N, filters, n) after another summand (N, n)."""
    share = np.asarray(filters, np.float32)[:, None]
    return sums * share + now[:, None] * (1.0 - share)


def means(sums: jax.Array, size: int) -> jax.Array:
    """Return the running means (..., size) by sums (..., size + weights), where one weight may be that of all."""
    return sums[..., :size] / sums[..., size:]


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
