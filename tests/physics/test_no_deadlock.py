"""A callback must never wait for the threads that it keeps busy."""

import os
import subprocess
import sys

import pytest

from tests.waiting import HANG_S

# One core: JAX's pool has one thread. Arguments above 100 KiB, and a control that is still being computed when the
# step is dispatched, so that the step runs on the pool.
SCRIPT = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, mujoco
assert (jnp.zeros(3) + 1).sum() == 3  # the client starts with one thread
from s2rctl.physics.native import NativePhysics
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><body><joint name='j' damping='1'/><geom size='.1'/></body></worldbody>"
    "<actuator><motor joint='j'/></actuator></mujoco>")
physics = NativePhysics(model, 16384, substeps=1)
zeros = jnp.zeros((16384, 1))
state = physics.init(zeros, zeros, zeros)
mix = lambda i, x: jnp.tanh(x @ jnp.ones((64, 64)))
slow = jax.jit(lambda a: jax.lax.fori_loop(0, 30, mix, jnp.tile(a, 64))[:, :1])
step = jax.jit(lambda state, ctrl: physics.step(state, slow(ctrl)))
for _ in range(8):
    state = step(state, slow(state.qpos))
print(float(jax.block_until_ready(state).time[0]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_stepping_on_one_core_does_not_wait_for_itself() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(8 * 0.002)
