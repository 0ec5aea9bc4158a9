"""Asymmetric DDPG: the actor sees an image, the critic the state (Pinto et al. 2017, Lillicrap et al. 2015).

With predicted position ŝ, extractor f, policy π and targets Q_T, π_T that follow by Polyak averaging:

    critic     L_c = E (Q(s, g, a) - r - γ Q_T(s', g, π_T(o', g)))²
    policy     L_a = -E Q(s, g, π(ŝ, g)) + action_l2 · E |π|²
    extractor  L_f = L_a + bottleneck · MSE(s, ŝ)

With two critics (Fujimoto et al. 2018) the smaller of both targets counts, and the policy follows the first critic.

Policy and extractor are one network, so one gradient serves L_a and L_f. ŝ and s are compared in units of the
workspace's spread, so that the weight of the bottleneck does not depend on metres.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from s2rctl.learning import devices
from s2rctl.learning.reach.networks import (
    Params,
    ReachSettings,
    Truth,
    init_actor,
    init_critic,
    locate,
    normalise,
    raw_shapes,
    steer,
    values,
)
from s2rctl.learning.reach.variants import variant_of
from s2rctl.schema.reach import Reach

Batch = Mapping[str, jax.Array]
"""Transitions (N, ...): the raw images by input name, position, motion, goal, action, reward, terminated, valid; and of
what followed ``next_position``, ``next_motion`` and the images as ``next_<name>``. With a frozen extractor what it saw,
``seen`` and ``next_seen`` (N, 3), stands for the images."""

SEEN = "seen"


class Learner(NamedTuple):
    """Everything that learns: a pytree."""

    actor: Params
    critic: Params
    target_actor: Params
    target_critic: Params
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState


def _optimisers(reach: Reach) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    updates = max(1, int(reach.steps // reach.worlds * reach.updates_per_step))

    def falling(rate: float) -> optax.Schedule:
        return optax.cosine_decay_schedule(rate, updates, alpha=reach.final_rate)

    actor = optax.adam(falling(reach.actor_learning_rate))
    if variant_of(reach).initialised and reach.extractor_rate < 1:
        eyes = optax.adam(falling(reach.extractor_rate * reach.actor_learning_rate))
        actor = optax.multi_transform({"eyes": eyes, "hand": actor}, _parts)
    return actor, optax.adam(falling(reach.critic_learning_rate))


def _parts(actor: Params) -> dict[str, str]:
    """Return which of the actor's parts are the initialised ones."""
    return {name: "hand" if name == "policy" else "eyes" for name in actor}


def init(key: jax.Array, settings: ReachSettings, reach: Reach, extractor: Params | None = None) -> Learner:
    """Return a fresh learner; ``extractor`` replaces the actor's random ``extractor`` and ``position`` parameters."""
    first, second = jax.random.split(key)
    actor, critic = init_actor(first, settings), init_critic(second, settings, variant_of(reach).critics)
    if extractor is not None:
        actor = actor | {"extractor": extractor["encoder"], "position": extractor["head"]}
    for_actor, for_critic = _optimisers(reach)
    # The targets are copies: a buffer that is donated must not appear twice in the state.
    target_actor, target_critic = jax.tree.map(jnp.copy, (actor, critic))
    return Learner(actor, critic, target_actor, target_critic, for_actor.init(actor), for_critic.init(critic))


def inputs_of(settings: ReachSettings, batch: Batch, prefix: str = "") -> dict[str, jax.Array]:
    """Return the policy's raw inputs; ``prefix`` is "next_" for those that follow."""
    return {"goal": batch["goal"]} | {name: batch[prefix + name] for name in raw_shapes(settings) if name != "goal"}


def _seen(actor: Params, settings: ReachSettings, batch: Batch, prefix: str = "") -> jax.Array:
    """Return the tool position (N, 3) that the actor sees, normalised: as kept, if it cannot change any more."""
    kept = batch.get(prefix + SEEN)
    return locate(actor, settings, inputs_of(settings, batch, prefix)) if kept is None else kept


def _weighted(values: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def critic_loss(critic: Params, learner: Learner, settings: ReachSettings, reach: Reach, batch: Batch) -> jax.Array:
    """Return L_c over valid transitions, summed over critics; a terminated one is not bootstrapped."""
    seen, goal = _seen(learner.target_actor, settings, batch, "next_"), normalise(batch["goal"], settings)
    following = steer(learner.target_actor["policy"], settings, seen, goal)
    after = Truth(batch["next_position"], batch["next_motion"])
    future = values(learner.target_critic, settings, after, batch["goal"], following).min(axis=0)
    target = batch["reward"] + reach.discount * (1.0 - batch["terminated"]) * future
    now = Truth(batch["position"], batch["motion"])
    predicted = values(critic, settings, now, batch["goal"], batch["action"])
    return _weighted(jnp.sum((predicted - jax.lax.stop_gradient(target)) ** 2, axis=0), batch["valid"])


def actor_loss(
    actor: Params, critic: Params, settings: ReachSettings, reach: Reach, batch: Batch
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return L_f (which contains L_a), and its parts."""
    seen = _seen(actor, settings, batch)
    action = steer(actor["policy"], settings, seen, normalise(batch["goal"], settings))
    truth = Truth(batch["position"], batch["motion"])
    worth = _weighted(values(critic, settings, truth, batch["goal"], action)[0], batch["valid"])
    effort = jnp.mean(action**2)
    miss = jnp.mean((seen - normalise(batch["position"], settings)) ** 2)
    bottleneck = reach.bottleneck if variant_of(reach).bottleneck else 0.0
    parts = {"q": worth, "position_error_mm": 1e3 * settings.spread_m * jnp.sqrt(3.0 * miss)}
    return -worth + reach.action_l2 * effort + bottleneck * miss, parts


def update(
    learner: Learner, settings: ReachSettings, reach: Reach, batch: Batch
) -> tuple[Learner, dict[str, jax.Array]]:
    """Return the learner after one gradient step on critic and actor and one Polyak step of the targets."""
    for_actor, for_critic = _optimisers(reach)
    batch = devices.divided(batch)
    loss, gradient = jax.value_and_grad(critic_loss)(learner.critic, learner, settings, reach, batch)
    change, critic_state = for_critic.update(gradient, learner.critic_optimiser)
    critic = optax.apply_updates(learner.critic, change)
    (total, parts), gradient = jax.value_and_grad(actor_loss, has_aux=True)(
        learner.actor, critic, settings, reach, batch
    )
    change, actor_state = for_actor.update(gradient, learner.actor_optimiser)
    actor = optax.apply_updates(learner.actor, change)
    step = 1.0 - reach.polyak
    updated = Learner(
        actor=actor,
        critic=critic,
        target_actor=optax.incremental_update(actor, learner.target_actor, step),
        target_critic=optax.incremental_update(critic, learner.target_critic, step),
        actor_optimiser=actor_state,
        critic_optimiser=critic_state,
    )
    return updated, {"critic_loss": loss, "actor_loss": total, **parts}


def explore(key: jax.Array, action: jax.Array, noise: jax.Array, random_share: jax.Array) -> jax.Array:
    """Return actions (N, 3) in [-1, 1] with Gaussian ``noise`` (standard deviation), and a share of them uniform."""
    shake, pick, draw = jax.random.split(key, 3)
    noisy = jnp.clip(action + noise * jax.random.normal(shake, action.shape), -1.0, 1.0)
    free = jax.random.uniform(draw, action.shape, minval=-1.0, maxval=1.0)
    random = jax.random.uniform(pick, (action.shape[0], 1)) < random_share
    return jnp.where(random, free, noisy)
