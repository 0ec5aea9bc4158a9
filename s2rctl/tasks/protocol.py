"""What a task is: data and pure functions of one world. Only ``env`` batches them.

Everything here is traced by JAX: no Python branches on values, no mutation, randomness from explicit keys.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from s2rctl.schema.robots import ToolLimits

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
    hard_when_high: bool = False  # training may draw high values more often than evaluation does


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


class Observation(NamedTuple):
    """What the networks see of one world (or, with a leading axis, of all worlds)."""

    actor: jax.Array  # (n,) noisy; the environment delays it
    critic: jax.Array  # (m,) noise-free and current; its first n entries are the actor's observation without faults
    inputs: Mapping[str, jax.Array]  # raw tensors of the deployed policy by ONNX input name; only real signals


WAY_UNIT_M = 0.1
"""Unit of the way to an object that images are to tell."""
ENDS_UNIT_M = 0.05
"""Unit of the way between the ends of two held parts that they are to tell."""


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
class Aside:
    """Where an object lies in episodes that hide it from its arm, which then has nothing to do."""

    body: str  # of the object; it has a free joint
    place: tuple[float, float]  # m, world x and y
    actions: tuple[int, int]  # first and one past the last action entry of its arm


@dataclass(frozen=True)
class Task:
    """A task: all functions see one world.

    ``reset(key, params) -> Start`` draws the start; ``target(world, action) -> (ctrl, task state)`` turns the action in
    [-1, 1] into actuator targets; ``advance(world, action) -> Outcome`` judges the state after a step (``world.state``
    is the one ``target`` returned); ``observe(world, key) -> Observation`` adds the task's noise.
    """

    name: str
    scene: str  # row of scene.SCENES
    signals: type
    episode_steps: int
    action_size: int
    action_scale: float  # change of each commanded target per control step at |action| = 1, rad or m
    rewards: Mapping[str, Term]
    randomised: tuple[Randomised, ...]
    failures: tuple[str, ...]  # taxonomy, index 0 is "none"
    gripper_actions: tuple[int, ...]  # action entries that are delayed as gripper commands
    reset: Callable[[jax.Array, Params], Start]
    target: Callable[[World, jax.Array], tuple[jax.Array, Any]]
    advance: Callable[[World, jax.Array], Outcome]
    observe: Callable[[World, jax.Array], Observation]
    acting: Callable[[Any], jax.Array] = lambda state: jax.numpy.bool_(True)
    """Of a task state: whether the learner acts now (False while a pilot policy drives, e.g. before the switch)."""
    remember: Callable[[World, jax.Array], Any] | None = None
    """Return the task state with what is measured now remembered; called before ``observe``, with the same key."""
    in_sight: Callable[[Start], jax.Array] | None = None
    """Return the points (P, 3) m, world, that every policy camera has to see when an episode begins; None: none."""
    image_targets: Callable[[World], jax.Array] | None = None
    """Of a world: what each policy camera's image is to tell when an encoder is pretrained, (cameras, n); the first
    three are the way from the hand's fingertips to its object, in the hand's axes and ``WAY_UNIT_M``. None: nothing."""
    image_points: Callable[[World, jax.Array], Mapping[str, jax.Array]] | None = None
    """Of a world and what images told (cameras, n): where that puts each object (3,) m, world; None: nowhere."""
    ends: tuple[float, float] | None = None
    """Of two parts that are put together, one in each hand: how far the ends that meet are from where the hands grip
    them, m, along each part's x axis. Image targets are then, after the way: the part's x and z axes (6) in the hand's;
    and the way of the second part's end from the first one's (3), in the first one's axes and ``ENDS_UNIT_M``. None:
    there are no such parts."""
    blind: Callable[[World], jax.Array] | None = None
    """Of a world: whether no camera sees what matters now, so that it can only be felt; the task's
    row of experts.BY_TOUCH shows how. None: never."""
    ready: tuple[float, ...] | None = None  # rad, joints of all arms from which hand poses are told; None: none needed
    asides: tuple[Aside, ...] = ()  # objects that training may hide
    acting_steps: int | None = None  # control steps that the learner acts at most; None: up to the whole episode


@dataclass(frozen=True)
class TaskSettings:
    """What a task is built from."""

    model: Any  # mujoco.MjModel of the task's scene: read as data, never stepped
    section: Any  # the profile's section ``tasks.<name>``
    period_s: float = 0.05  # of control
    tool_limits: ToolLimits | None = None  # None: the robot takes joint targets
