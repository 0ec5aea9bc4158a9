"""What a task is: data and pure functions of one world. Only ``env`` batches them.

Everything here is traced by JAX: no Python branches on values, no mutation, randomness from explicit keys.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

Params = Mapping[str, jax.Array]
"""Randomised quantities of one world by name, e.g. ``box_half_width`` (scalar, m)."""


@dataclass(frozen=True)
class Randomised:
    """One per-world quantity drawn uniformly, and the model fields that follow from it.

    ``fields`` maps "field/element/column" (an MjModel array, the element's name, a column index or empty) to a function
    of the drawn parameters, so that mass, size and inertia stay consistent; a value of shape () or of the row's shape.
    """

    name: str
    low: float
    high: float
    unit: str
    fields: Mapping[str, Callable[[Params], Any]]


class World(NamedTuple):
    """What a task may look at: one world at one control step."""

    signals: Any  # the task's Signals
    ctrl: jax.Array  # (nu,) actuator targets in force
    state: Any  # the task's own state
    params: Params


class Start(NamedTuple):
    """Where an episode begins."""

    qpos: jax.Array  # (nq,)
    qvel: jax.Array  # (nv,)
    ctrl: jax.Array  # (nu,)
    state: Any  # initial task state


class Outcome(NamedTuple):
    """What one control step meant."""

    state: Any  # the task state after the step
    reward: jax.Array  # ()
    terms: Mapping[str, jax.Array]  # each weighted reward term, ()
    done: jax.Array  # () bool, ends the episode (time-out is the environment's)
    success: jax.Array  # () bool, the goal is met at this step
    failure: jax.Array  # () int32 index into Task.failures; 0 is "none"


@dataclass(frozen=True)
class Term:
    """One reward term: ``fn(world) -> ()`` and its weight."""

    fn: Callable[[World], jax.Array]
    weight: float


def combine(terms: Mapping[str, Term], world: World) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the weighted sum of all terms, and each weighted term by name."""
    values = {name: term.weight * term.fn(world) for name, term in terms.items()}
    return sum(values.values(), start=jax.numpy.zeros(())), values


@dataclass(frozen=True)
class Task:
    """A task: all functions see one world.

    ``reset(key, params, model_data) -> Start`` draws the start; ``advance(world, key, rewards) -> Outcome`` judges the
    state after a step; ``target(world, action) -> ctrl`` turns the action in [-1, 1] into actuator targets;
    ``observe(world, key, noise) -> {group: (n,)}`` makes the observation groups (noise 0 gives the clean ones).
    """

    name: str
    scene: str  # row of scene.SCENES
    signals: type
    episode_steps: int
    action_size: int
    rewards: Mapping[str, Term]
    randomised: tuple[Randomised, ...]
    failures: tuple[str, ...]  # taxonomy, index 0 is "none"
    reset: Callable[..., Start]
    advance: Callable[..., Outcome]
    target: Callable[[World, jax.Array], jax.Array]
    observe: Callable[..., dict[str, jax.Array]]
