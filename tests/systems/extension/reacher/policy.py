"""A kind of policy with memory: it acts on a leaky sum of what it saw.

``python -m reacher.policy STORE`` stores one with random weights and writes its id.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.export.graph import Graph, remembering_graph
from s2rctl.learning.policy_files import Policy, Remembering, State, save_policy
from s2rctl.schema.contract import Memory
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Store
from s2rctl.tasks.protocol import Observation

SIDE, SIZE, ACTIONS = 32, 8, 2
INPUTS = {
    "rgb_eye": ((SIDE, SIDE, 3), "uint8"),
    "joint_pos": ((ACTIONS,), "float32"),
    "joint_target": ((ACTIONS,), "float32"),
}


def make(config: Mapping[str, Any]) -> Remembering:
    memory = Memory(name="seen", shape=(SIZE,), initial=tuple(config["initial"]))

    def apply(params: Any, observation: Observation, before: State) -> tuple[jax.Array, State]:
        inputs = observation.inputs
        image = inputs["rgb_eye"].astype(jnp.float32).reshape(-1, SIDE * SIDE * 3) / 255.0
        joints = jnp.concatenate([inputs["joint_pos"], inputs["joint_target"]], axis=-1)
        seen = 0.8 * before["seen"] + 0.2 * jnp.tanh(image @ params["image"] + joints @ params["joints"])
        return jnp.tanh(seen @ params["action"]), {"seen": seen}

    return Remembering((memory,), apply)


def graph(policy: Policy) -> Graph:
    return remembering_graph(policy, INPUTS, ACTIONS)


def main(store: Path) -> None:
    draw = np.random.default_rng(0).normal
    params = {
        "image": draw(0, 0.1, (SIDE * SIDE * 3, SIZE)).astype(np.float32),
        "joints": draw(0, 1.0, (2 * ACTIONS, SIZE)).astype(np.float32),
        "action": draw(0, 0.3, (SIZE, ACTIONS)).astype(np.float32),
    }
    profile = load_profile(str(Path(__file__).parents[1] / "reacher.yaml")).profile
    with tempfile.TemporaryDirectory() as folder:
        files = save_policy(Path(folder), "seeing-back", {"initial": [0.1] * SIZE}, params)
        stage, resolved = StageRef(name="distill", version=1), profile.model_dump(mode="json")
        made = Store(store).publish("student", "reacher", files, stage=stage, profile=resolved, seed=0)
    sys.stdout.write(made.id)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
