"""What the environment hands to learners and evaluators."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from s2rctl.physics.protocol import PhysicsState
from s2rctl.render.protocol import Appearance
from s2rctl.tasks.protocol import Observation, Start

InputHistory = tuple[Mapping[str, jax.Array], ...]
"""Measured inputs of earlier steps, newest first."""


class EnvState(NamedTuple):
    """Everything about B worlds: a pytree that can be carried through scan and checkpointed."""

    physics: PhysicsState
    task: Any  # task state, leaves (B, ...)
    step: jax.Array  # (B,) int32, steps since the episode began
    observation: Observation  # leaves (B, ...): what the policy sees now
    action_history: jax.Array  # (B, H, n) newest first
    actor_history: jax.Array  # (B, H, n) newest first
    appearance: Appearance | None  # this episode's look; None without a renderer
    image: Any  # per-episode image settings (brightness, ...); None without a renderer
    still: jax.Array | None  # (B, n) bool: action entries of arms whose object is hidden; None: nothing is ever hidden
    lag: jax.Array  # (B,) int32: how many steps old the observation is
    input_history: InputHistory
    key: jax.Array  # typed key


class Step(NamedTuple):
    """What one control step of all worlds gave. Where ``done`` the state already belongs to the next episode."""

    reward: jax.Array  # (B,)
    terms: Mapping[str, jax.Array]  # (B,) weighted reward terms
    done: jax.Array  # (B,) bool: episode ended (terminated or timed out)
    truncated: jax.Array  # (B,) bool: ended by time only, so the value function must be bootstrapped
    success: jax.Array  # (B,) bool: the goal was met at this step
    failure: jax.Array  # (B,) int32 index into Task.failures
    diverged: jax.Array  # (B,) bool: physics failed; the world was reset and the step must not be learned from
    acting: jax.Array  # (B,) bool: the learner's action was in force (False while the pilot drove)
    last: Observation  # observation at the end of the step, before any reset; without camera images


class Episode(NamedTuple):
    """What is drawn before an episode begins; leaves (B, ...)."""

    start: Start
    still: jax.Array | None
    look: Any  # Appearance; None without a renderer
    image: Any  # ImageSettings; None without a renderer


class Aim(NamedTuple):
    """What a control step asks of the body; leaves (B, ...)."""

    ctrl: jax.Array  # (B, nu) actuator targets
    task: Any  # task state
    action: jax.Array  # (B, n) in force, in [-1, 1]
    acting: jax.Array  # (B,) bool: it is the learner's
    history: jax.Array  # (B, H, n) newest first


class Moved(NamedTuple):
    """A control step before worlds begin anew and before images."""

    state: EnvState
    step: Step
    restart_key: jax.Array
    image_key: jax.Array
