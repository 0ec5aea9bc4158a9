"""Worlds for the tasks' tests: random signals and what MuJoCo measures."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.scene import SCENES
from s2rctl.scene.signals import SignalReader, quantities
from s2rctl.schema.robots import ToolLimits
from s2rctl.schema.tasks import HandlingTask, ReachTask
from s2rctl.tasks import TASKS
from s2rctl.tasks.protocol import Task, TaskSettings, World, combine

SECTIONS = {"pick": HandlingTask, "insertion": HandlingTask, "reach": ReachTask}


def settings_for(model: mujoco.MjModel, name: str, **section: Any) -> TaskSettings:
    """Settings with the schema's own values, changed by ``section``; an xArm's controller where one is asked for."""
    chosen = SECTIONS[name](**{"episode_steps": 160, **section})
    return TaskSettings(model, chosen, tool_limits=ToolLimits(0.6, 5.0) if name == "reach" else None)


def build(name: str, **settings: Any) -> tuple[mujoco.MjModel, Task]:
    model = SCENES.load(name)(0.005)
    return model, TASKS.load(name)(settings_for(model, name, **settings))


def nominal(task: Task) -> dict[str, jax.Array]:
    return {q.name: jnp.float32((q.low + q.high) / 2) for q in task.randomised}


@functools.cache
def _reset(task_reset: Any) -> Any:
    return jax.jit(task_reset)


def random_world(task: Task, seed: int, spread: float = 0.5) -> World:
    """A world with arbitrary numbers in all signals, at the start of an episode."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, quantity in quantities(task.signals).items():
        values[name] = jnp.asarray(rng.normal(0, spread, quantity.shape), jnp.float32)
    start = _reset(task.reset)(jax.random.key(seed), nominal(task))
    return World(task.signals(**values), start.ctrl, start.state, nominal(task))


def measured_world(model: mujoco.MjModel, task: Task, qpos: np.ndarray, state: Any, steps: int = 0) -> World:
    """What the sensors say at ``qpos``, after some physics steps with the joints held."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    data.ctrl[:] = model.key("home").ctrl
    mujoco.mj_forward(model, data)
    for _ in range(steps):
        mujoco.mj_step(model, data)
    signals = SignalReader(model, task.signals).read(jnp.asarray(data.sensordata, jnp.float32))
    return World(signals, jnp.asarray(data.ctrl, jnp.float32), state, nominal(task))


def silent_terms(task: Task, worlds: Sequence[World]) -> set[str]:
    """Names of the reward terms that have a weight and still change the total in none of the worlds."""
    silent = set()
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *worlds)
    totals, terms = jax.jit(jax.vmap(lambda world: combine(task.rewards, world)))(stacked)
    assert np.isfinite(np.asarray(totals)).all()
    for name, term in task.rewards.items():
        assert np.isfinite(np.asarray(terms[name])).all(), f"{name} is not finite"
        if term.weight != 0 and not np.any(np.abs(np.asarray(terms[name])) > 1e-6):
            silent.add(name)
    return silent
