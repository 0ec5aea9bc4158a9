"""Fitting the student to labelled samples: the squared L2 distance of the tanh means, and of the poses it tells.

A sample is a short run of steps of one world, (L, ...) in every leaf: of one step for a student whose memory needs no
learning, of all steps of an iteration for one with a recurrent unit, through which the error goes back to the run's
beginning (truncated there: Kapturowski et al. 2019, with the state as it was when the run was collected).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from s2rctl.learning import devices
from s2rctl.learning.optimiser import make_optimiser
from s2rctl.learning.student import confidence
from s2rctl.learning.student import network as student
from s2rctl.learning.student.network import Params, Seen
from s2rctl.learning.student.settings import StudentSettings
from s2rctl.schema.distillation import Distill

Errors = dict[str, jax.Array]


@dataclass(frozen=True)
class Plan:
    """What is fitted, from how many runs at once, and how many optimiser steps the whole distillation takes."""

    settings: StudentSettings
    distill: Distill
    runs: int
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
        fixed = fixed_parts(self.distill.encoder)
        return {name: value for name, value in params.items() if name not in fixed}


def fixed_parts(encoder: str) -> tuple[str, ...]:
    """Return which parts of a student stay as they are, by the profile's ``distill.encoder``."""
    return ("encoder",) if encoder == "frozen" else ()


def length(settings: StudentSettings, distill: Distill) -> int:
    """Return of how many steps a run is made."""
    return distill.steps if settings.recurrent else 1


def minibatches(runs: int, batch: int) -> int:
    """Return how many optimiser steps a pass over the runs takes, ``batch`` of them each."""
    return max(1, runs // batch)


def runs_at_once(settings: StudentSettings, distill: Distill) -> int:
    """Return how many runs make up the profile's batch of samples."""
    return max(1, distill.batch // length(settings, distill))


@partial(jax.jit, static_argnums=0)
def fit(
    plan: Plan, params: Params, optimiser_state: Any, samples: Mapping[str, Any], key: jax.Array
) -> tuple[Params, Any, Errors]:
    """Return parameters and optimiser after all epochs, and the root mean square errors in the first of them.

    Samples are runs (N, L, ...). ``action_error`` is that of an action's entries; ``pose_error``, for a student that
    tells poses, in their units.
    """
    distill, optimiser = plan.distill, plan.optimiser()
    size = min(plan.runs, runs_at_once(plan.settings, distill))
    count = minibatches(plan.runs, size)

    def step(carry: tuple[Params, Any], rows: jax.Array) -> tuple[tuple[Params, Any], Errors]:
        trained, state = carry
        batch = devices.divided(jax.tree.map(lambda leaf: leaf[rows], samples))
        (_, squares), gradient = jax.value_and_grad(partial(_loss, plan), has_aux=True)(trained, batch)
        change, state = optimiser.update(gradient, state, trained)
        return (optax.apply_updates(trained, change), state), squares

    def rows_of(epoch_key: jax.Array) -> jax.Array:
        return jax.random.permutation(epoch_key, plan.runs)[: count * size].reshape(count, size)

    rows = devices.whole(jax.vmap(rows_of)(jax.random.split(key, distill.epochs)).reshape(-1, size))
    (trained, optimiser_state), squares = jax.lax.scan(step, (plan.trained(params), optimiser_state), rows)
    errors = {name: jnp.sqrt(jnp.mean(values[:count])) for name, values in squares.items()}
    return params | trained, optimiser_state, errors


def _loss(plan: Plan, trained: Params, batch: Mapping[str, Any]) -> tuple[jax.Array, Errors]:
    """Return the loss of one batch of runs (N, L, ...), and the mean squares that it is made of."""
    settings, distill = plan.settings, plan.distill
    shape = batch["label"].shape[:2]
    flat = {name: leaf.reshape(-1, *leaf.shape[2:]) for name, leaf in batch.items()}
    frozen = distill.encoder == "frozen"
    latents = flat["seen"] if frozen else student.latents(trained["encoder"], settings, flat)
    seen = student.tell(trained, settings, latents)
    action = acted(settings, trained, jax.tree.map(lambda leaf: leaf.reshape(*shape, -1), seen), batch)
    off = jnp.mean(jnp.sum((action - batch["label"]) ** 2, axis=-1))
    squares = {"action_error": off / settings.action_size}
    if not settings.estimates:
        return off, squares
    squares["pose_error"] = unlikely = jnp.mean((seen.told - flat["told"]) ** 2)
    if settings.confidence:
        unlikely = confidence.unlikely(seen.told, seen.log_variance, flat["told"])
    return off + distill.estimates * unlikely, squares


def acted(settings: StudentSettings, trained: Params, seen: Seen, batch: Mapping[str, Any]) -> jax.Array:
    """Return the actions (N, L, n) of runs that begin with the memory that the student had, and go on with their own.

    ``begun`` (N, L) tells where an episode begins, and with it an empty memory.
    """
    memory = {item.name: batch[f"memory_{item.name}"][:, 0] for item in settings.memory}
    actions = []
    for moment in range(batch["label"].shape[1]):
        if moment:
            memory = student.emptied(settings, memory, batch["begun"][:, moment])
        now = jax.tree.map(lambda leaf, at=moment: leaf[:, at], seen)
        action, memory = student.act_on(trained, settings, now, batch["joints"][:, moment], memory)
        actions.append(action)
    return jnp.stack(actions, axis=1)
