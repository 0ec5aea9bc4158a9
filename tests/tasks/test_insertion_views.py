from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np

from s2rctl.core.spatial import from_matrix, from_rotation_vector
from s2rctl.tasks import insertion_views
from s2rctl.tasks.protocol import World

RNG = np.random.default_rng(3)


def turned():
    return jnp.asarray(from_matrix(from_rotation_vector(RNG.normal(size=3))), jnp.float32)


def near(place):
    return jnp.asarray(place + RNG.uniform(-0.1, 0.1, 3), jnp.float32)


def world():
    left, right = np.array([-0.2, 0.0, 0.3]), np.array([0.2, 0.0, 0.3])
    signals = {
        "left_fingertip_pos": jnp.concatenate([near(left), near(left)]),
        "right_fingertip_pos": jnp.concatenate([near(right), near(right)]),
        "left_gripper_quat": turned(),
        "right_gripper_quat": turned(),
        "socket_grip_pos": near(left),
        "peg_grip_pos": near(right),
        "socket_quat": turned(),
        "peg_quat": turned(),
        "peg_end_in_socket": jnp.asarray(RNG.uniform(-0.1, 0.1, 3), jnp.float32),
    }
    return World(SimpleNamespace(**signals), jnp.zeros(1), None, {})


def test_what_was_told_puts_the_objects_where_they_are():
    for _ in range(20):
        truth = world()
        found = insertion_views.points(truth, insertion_views.targets(truth))
        np.testing.assert_allclose(found["socket"], truth.signals.socket_grip_pos, atol=1e-6)
        np.testing.assert_allclose(found["peg"], truth.signals.peg_grip_pos, atol=1e-6)
