import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.core.spatial import to_matrix
from s2rctl.tasks import rotation

angles = st.floats(-3.1, 3.1)


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=3)
    return vector / np.linalg.norm(vector)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), angle=angles)
def test_matrices_agree_with_mujoco_and_with_their_vectors(seed: int, angle: float) -> None:
    axis = unit(seed)
    quat, wanted = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quat, axis, angle)
    mujoco.mju_quat2Mat(wanted, quat)
    turned = rotation.matrix_about(jnp.asarray(axis), jnp.float32(angle))
    np.testing.assert_allclose(turned, wanted.reshape(3, 3), atol=2e-6)
    np.testing.assert_allclose(rotation.rotation_vector(turned), angle * axis, atol=2e-3)
    assert abs(float(rotation.angle_between(jnp.eye(3), turned)) - abs(angle)) < 2e-3


def test_the_quaternion_about_z_turns_as_the_matrix() -> None:
    turned = to_matrix(rotation.about_z(jnp.float32(0.4)), jnp)
    np.testing.assert_allclose(turned, rotation.matrix_about(jnp.eye(3)[2], jnp.float32(0.4)), atol=1e-6)


def test_rotation_vector_is_finite_at_no_turn_and_at_a_half_turn() -> None:
    assert float(jnp.linalg.norm(rotation.rotation_vector(jnp.eye(3)))) < 1e-6
    assert np.isfinite(np.asarray(rotation.rotation_vector(jnp.diag(jnp.array([-1.0, -1.0, 1.0]))))).all()


def test_random_directions_are_uniform_on_the_sphere() -> None:
    draws = jax.random.uniform(jax.random.key(0), (20000, 2), minval=-1.0)
    directions = np.asarray(jax.vmap(rotation.direction)(draws))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(directions.T @ directions / len(directions), np.eye(3) / 3, atol=0.01)
    # Archimedes: each coordinate is uniform, also its fourth moment is 1/5
    np.testing.assert_allclose((directions**4).mean(0), 0.2, atol=0.01)


def test_disturbance_turns_by_no_more_than_asked() -> None:
    draws = jax.random.uniform(jax.random.key(1), (500, 3), minval=-1.0)
    turned = jax.vmap(lambda row: rotation.disturb(row, jnp.eye(3), 0.1))(draws)
    angle = np.asarray(jax.vmap(lambda matrix: rotation.angle_between(jnp.eye(3), matrix))(turned))
    assert 0.08 < angle.max() < 0.102
