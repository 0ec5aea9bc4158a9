"""Scripted expert of the reach task: straight to the goal."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from s2rctl.tasks.protocol import TaskSettings, World


def make(settings: TaskSettings) -> Callable[[World], jax.Array]:
    """Return the expert for the reach scene's model and the profile's action scale."""
    scale = settings.section.action_scale

    def act(world: World) -> jax.Array:
        # From the commanded position, which the action displaces, corrected by half of what gravity and lag leave over.
        way = world.state.goal - 0.5 * (world.state.command + world.signals.tcp_pos)
        return jnp.clip(way / scale, -1.0, 1.0)

    return act
