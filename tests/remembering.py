"""A kind of policy with memory, of the tests' own: it sums up what it saw and acts on the sum."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from s2rctl.export.graph import Graph, remembering_graph
from s2rctl.learning.policy_files import Policy, Remembering, State
from s2rctl.schema.contract import Memory
from s2rctl.tasks.protocol import Observation


def make(config: Mapping[str, Any]) -> Remembering:
    """Return the policy: sum' = 0.5 sum + goal @ weights, action = tanh(gain * mean of sum')."""
    memory = Memory(name="sum", shape=(int(config["size"]),), initial=config["initial"])

    def apply(params: Any, observation: Observation, before: State) -> tuple[jax.Array, State]:
        total = 0.5 * before["sum"] + jnp.asarray(observation.inputs["goal"]) @ params["weights"]
        action = jnp.tanh(config["gain"] * jnp.mean(total, axis=-1, keepdims=True))
        return action, {"sum": total if config["gain"] else jnp.zeros_like(total)}

    return Remembering((memory,), apply)


def graph(policy: Policy) -> Graph:
    """Return it as a graph of the goal, one number."""
    return remembering_graph(policy, {"goal": ((1,), "float32")}, 1)
