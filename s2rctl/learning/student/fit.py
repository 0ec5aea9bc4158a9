"""Fitting the student to labelled samples: the squared L2 distance of the tanh means, and of the poses it tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from s2rctl.learning.optimiser import make_optimiser
from s2rctl.learning.student import network as student
from s2rctl.learning.student.network import Params, StudentSettings
from s2rctl.schema.learning import Distill

Errors = dict[str, jax.Array]


@dataclass(frozen=True)
class Plan:
    """What is fitted, from how many samples at once, and how many optimiser steps the whole distillation takes."""

    settings: StudentSettings
    distill: Distill
    samples: int
    total: int

    def optimiser(self) -> optax.GradientTransformation:
        """Return the optimiser; its rate falls, so that late iterations average over more states."""
        distill = self.distill
        return make_optimiser(
            distill.optimiser,
            distill.learning_rate,
            self.total,
            final=distill.final_rate,
            weight_decay=distill.weight_decay,
        )

    def trained(self, params: Params) -> Params:
        """Return the parameters that are fitted."""
        fixed = ("encoder",) if self.distill.encoder == "frozen" else ()
        return {name: value for name, value in params.items() if name not in fixed}


def minibatches(samples: int, batch: int) -> int:
    """Return how many optimiser steps a pass over the samples takes."""
    return max(1, samples // batch)


@partial(jax.jit, static_argnums=0)
def fit(
    plan: Plan, params: Params, optimiser_state: Any, samples: Mapping[str, Any], key: jax.Array
) -> tuple[Params, Any, Errors]:
    """Return parameters and optimiser after all epochs, and the root mean square errors in the first of them.

    ``action_error`` is that of an action's entries; ``pose_error``, for a student that tells poses, in their units.
    """
    distill, optimiser = plan.distill, plan.optimiser()
    count = minibatches(plan.samples, distill.batch)
    size = min(plan.samples, distill.batch)

    def step(carry: tuple[Params, Any], rows: jax.Array) -> tuple[tuple[Params, Any], Errors]:
        trained, state = carry
        batch = jax.tree.map(lambda leaf: leaf[rows], samples)
        (_, squares), gradient = jax.value_and_grad(partial(_loss, plan), has_aux=True)(trained, batch)
        change, state = optimiser.update(gradient, state, trained)
        return (optax.apply_updates(trained, change), state), squares

    def rows_of(epoch_key: jax.Array) -> jax.Array:
        return jax.random.permutation(epoch_key, plan.samples)[: count * size].reshape(count, size)

    rows = jax.vmap(rows_of)(jax.random.split(key, distill.epochs)).reshape(-1, size)
    (trained, optimiser_state), squares = jax.lax.scan(step, (plan.trained(params), optimiser_state), rows)
    errors = {name: jnp.sqrt(jnp.mean(values[:count])) for name, values in squares.items()}
    return params | trained, optimiser_state, errors


def _loss(plan: Plan, trained: Params, batch: Mapping[str, Any]) -> tuple[jax.Array, Errors]:
    """Return the loss of one batch, and the mean squares that it is made of."""
    settings, distill = plan.settings, plan.distill
    frozen = distill.encoder == "frozen"
    latents = batch["seen"] if frozen else student.latents(trained["encoder"], settings, batch)
    seen = student.tell(trained, settings, latents)
    memory = {item.name: batch[f"memory_{item.name}"] for item in settings.memory}
    after = student.remember(settings, memory, seen.told)
    action = student.act_on(trained["head"], settings, seen, batch["joints"], after)
    off = jnp.mean(jnp.sum((action - batch["label"]) ** 2, axis=-1))
    squares = {"action_error": off / settings.action_size}
    if not settings.estimates:
        return off, squares
    squares["pose_error"] = jnp.mean((seen.told - batch["told"]) ** 2)
    return off + distill.estimates * squares["pose_error"], squares
