import jax
import mujoco
import numpy as np
import pytest

from tests.tasks.task_worlds import build, measured_world, nominal


@pytest.mark.parametrize("seed", range(4))
def test_what_was_told_puts_the_objects_where_they_are_in_the_world(seed):
    model, task = build("insertion")
    start = task.reset(jax.random.key(seed), nominal(task))
    qpos = np.array(start.qpos)
    qpos[:6] += np.random.default_rng(seed).uniform(-0.2, 0.2, 6)  # arms somewhere, not mirrored
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    truth = measured_world(model, task, qpos, start.state)
    found = task.image_points(truth, task.image_targets(truth))
    for name in ("socket", "peg"):
        np.testing.assert_allclose(found[name], data.site(f"{name}_grip").xpos, atol=1e-3)
