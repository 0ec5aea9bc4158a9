import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.core import spatial

angles = st.floats(-3.1, 3.1)
quaternions = (
    st.lists(st.floats(-1, 1), min_size=4, max_size=4)
    .map(np.array)
    .filter(lambda q: np.linalg.norm(q) > 1e-2)
    .map(spatial.normalised)
)


@given(quaternions)
def test_matrix_and_back_is_the_same_rotation(q):
    expected = np.zeros(9)
    mujoco.mju_quat2Mat(expected, q)
    matrix = spatial.to_matrix(q)
    assert np.allclose(matrix, expected.reshape(3, 3))
    assert np.allclose(spatial.to_matrix(3.0 * q), matrix)
    assert abs(abs(spatial.from_matrix(matrix) @ q) - 1) < 1e-9


def test_traced_quaternions_have_the_same_matrices_and_a_null_one_none():
    several = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    several[0] = 0.0
    found = jax.jit(jax.vmap(lambda q: spatial.to_matrix(q, jnp)))(several)
    np.testing.assert_allclose(found, [spatial.to_matrix(q) for q in several], atol=1e-6)
    np.testing.assert_array_equal(found[0], np.eye(3))


def test_right_angles_are_exact():
    np.testing.assert_array_equal(spatial.to_matrix((1, 1, 0, 0)), [[1, 0, 0], [0, 0, -1], [0, 1, 0]])


@given(quaternions)
def test_rotation_vectors_round_trip(q):
    matrix = spatial.to_matrix(q)
    assert np.allclose(spatial.from_rotation_vector(spatial.rotation_vector(matrix)), matrix, atol=1e-6)


@given(angles, st.floats(-1.5, 1.5), angles)
def test_roll_pitch_yaw_round_trip(roll, pitch, yaw):
    matrix = spatial.from_rpy(roll, pitch, yaw)
    assert np.allclose(spatial.to_rpy(matrix), [roll, pitch, yaw], atol=1e-6)
    assert np.allclose(spatial.from_rpy(*spatial.to_rpy(matrix)), matrix, atol=1e-9)


def test_gimbal_lock_still_gives_the_rotation():
    matrix = spatial.from_rpy(0.4, np.pi / 2, -0.3)
    assert np.allclose(spatial.from_rpy(*spatial.to_rpy(matrix)), matrix, atol=1e-6)


@given(quaternions, st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_inverse_transform(q, position):
    matrix = spatial.transform(position, spatial.to_matrix(q))
    assert np.allclose(spatial.inverse(matrix) @ matrix, np.eye(4))


def test_a_zero_quaternion_is_refused():
    with pytest.raises(ValueError, match="length zero"):
        spatial.normalised([0, 0, 0, 0])
