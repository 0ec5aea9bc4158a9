from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.physics import PHYSICS
from tests.physics import tiny

WORLDS = 3
HEAVY = 2  # this world's bodies are three times as heavy


@pytest.fixture(scope="session")
def model() -> mujoco.MjModel:
    return tiny.build()


@pytest.fixture(scope="session")
def start(model: mujoco.MjModel):
    """Coordinates of ``worlds`` worlds near the scene's default, all different, as physics wants them."""

    def make(worlds: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        qpos = np.tile(model.qpos0, (worlds, 1)).astype(np.float32)
        qpos[:, :2] += rng.uniform(-0.05, 0.05, (worlds, 2))
        qvel = rng.normal(scale=0.1, size=(worlds, model.nv)).astype(np.float32)
        return qpos, qvel, rng.uniform(0, 0.2, (worlds, model.nu)).astype(np.float32)

    return make


@dataclass(frozen=True)
class Built:
    """A backend, its compiled step, and one second in which equal carts run into equal boxes but for the masses."""

    physics: Any
    step: Any
    pushed: list[Any]


@pytest.fixture(scope="session")
def build(model, start):
    """Return backends by name, each built and compiled once: MJX takes half a minute."""
    built: dict[str, Built] = {}

    def make(name: str) -> Built:
        if name not in built:
            fields = {"body_mass": model.body_mass, "body_inertia": model.body_inertia}
            edits = {field: np.repeat(values[None], WORLDS, axis=0) for field, values in fields.items()}
            for values in edits.values():
                values[HEAVY] *= 3
            physics = PHYSICS.load(name)(model, WORLDS, substeps=10, edits=edits, poses=True)
            step = jax.jit(physics.step)
            qpos, qvel, _ = (np.repeat(a[:1], WORLDS, axis=0) for a in start(1))
            ctrl = jnp.full((WORLDS, 1), 0.2, jnp.float32)  # not weakly typed: one compilation
            states = [physics.init(qpos, 0 * qvel, ctrl)]
            for _ in range(20):
                states.append(step(states[-1], ctrl))
            built[name] = Built(physics, step, states)
        return built[name]

    return make
