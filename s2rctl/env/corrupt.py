"""Latency: histories of what was commanded and seen, and draws from the delay distributions."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.dynamics import Lateness
from s2rctl.schema.simulation import Delays
from s2rctl.schema.tensors import GOAL, JOINT_TARGET

KNOWN = frozenset({JOINT_TARGET, GOAL})
"""Inputs that the control computer itself decides: no sensor stands between, so they are never late."""


def draw_delay(key: jax.Array, weights: tuple[float, ...], worlds: int) -> jax.Array:
    """Return (B,) int32 delays in control steps; delay i has probability ``weights[i] / sum(weights)``."""
    if len(weights) == 1:
        return jnp.zeros((worlds,), jnp.int32)
    cumulative = np.cumsum(np.asarray(weights, np.float64)) / np.sum(weights)
    draws = jax.random.uniform(key, (worlds, 1))
    return jnp.sum(draws >= jnp.asarray(cumulative[:-1], jnp.float32), axis=-1).astype(jnp.int32)


def action_history_length(delays: Delays, late: Lateness | None = None) -> int:
    """Return how many actions must be remembered."""
    return max(len(delays.joint_action), len(delays.gripper_action)) + (0 if late is None else late.steps)


def push(history: jax.Array, newest: jax.Array) -> jax.Array:
    """Return the history (B, H, n), newest first, after ``newest`` (B, n) came in."""
    return jnp.concatenate([newest[:, None], history[:, :-1]], axis=1)


def recall(history: jax.Array, delay: jax.Array) -> jax.Array:
    """Return the entries (B, n) that are ``delay`` (B,) steps old."""
    return jnp.take_along_axis(history, delay[:, None, None], axis=1)[:, 0]


def delayed_action(
    key: jax.Array, history: jax.Array, delays: Delays, grippers: tuple[int, ...], late: Lateness | None = None
) -> jax.Array:
    """Return the action (B, n) that reaches the robot now.

    One delay is drawn per world and step for all joints, a second one for the entries ``grippers``: they hang on
    another bus and lag differently. ``late`` adds to both, by one draw.
    """
    if history.shape[1] == 1:
        return history[:, 0]
    joint_key, gripper_key = jax.random.split(key)
    worlds, _, size = history.shape
    more = 0 if late is None else _later(jax.random.fold_in(key, 2), late)
    joints = recall(history, draw_delay(joint_key, delays.joint_action, worlds) + more)
    if not grippers:
        return joints
    fingers = recall(history, draw_delay(gripper_key, delays.gripper_action, worlds) + more)
    is_gripper = np.isin(np.arange(size), np.asarray(grippers))
    return jnp.where(is_gripper, fingers, joints)


def _later(key: jax.Array, late: Lateness) -> jax.Array:
    """Return (B,) int32 whole control steps: a part of one comes with that probability."""
    draws = jax.random.uniform(key, (2, len(late.latency)))
    steps = jnp.asarray(late.latency, jnp.float32) + jnp.asarray(late.jitter, jnp.float32) * draws[0]
    whole = jnp.floor(steps)
    return (whole + (draws[1] < steps - whole)).astype(jnp.int32)


def measured(inputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Return the inputs that come from sensors."""
    return {name: value for name, value in inputs.items() if name not in KNOWN}


def delayed_inputs(
    inputs: Mapping[str, jax.Array], history: Sequence[Mapping[str, jax.Array]], lag: jax.Array
) -> dict[str, jax.Array]:
    """Return the inputs (B, ...) with what is measured ``lag`` (B,) steps old; ``history`` is newest first."""

    def pick(name: str, now: jax.Array) -> jax.Array:
        for age, earlier in enumerate(history, start=1):
            if name in earlier:
                now = jnp.where((lag == age).reshape(-1, *(1,) * (now.ndim - 1)), earlier[name], now)
        return now

    return {name: pick(name, value) for name, value in inputs.items()}
