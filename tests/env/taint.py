"""A check for every task: no privileged quantity reaches a deployed policy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco

from s2rctl.scene.signals import SignalReader, quantities
from s2rctl.tasks.protocol import Task, World


def tainted_inputs(task: Task, model: mujoco.MjModel, seed: int = 0) -> dict[str, bool]:
    """Fill all signals that no real robot has with NaN; return by input name whether the policy's input is not finite.

    The state is one start of the task (nominal quantities), seen through its real signals.
    """
    params = {q.name: jnp.float32(0.5 * (q.low + q.high)) for q in task.randomised}
    reset_key, observe_key = jax.random.split(jax.random.key(seed))
    start = task.reset(reset_key, params)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = start.qpos, start.qvel, start.ctrl
    mujoco.mj_forward(model, data)
    signals = SignalReader(model, task.signals).read(jnp.asarray(data.sensordata, jnp.float32))
    private = {name: jnp.full_like(getattr(signals, name), jnp.nan) for name in private_signals(task)}
    world = World(replace(signals, **private), start.ctrl, start.state, params)
    inputs = task.observe(world, observe_key).inputs
    return {name: not bool(jnp.isfinite(values).all()) for name, values in inputs.items()}


def private_signals(task: Task) -> list[str]:
    """Return the names of the signals that only the simulator knows."""
    return [name for name, quantity in quantities(task.signals).items() if not quantity.real]
