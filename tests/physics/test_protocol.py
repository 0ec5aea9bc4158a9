"""The contract of physics backends, run over every row of the table."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.physics import PHYSICS

WORLDS, HEAVY = 3, 2  # as in conftest


@pytest.fixture(scope="module", params=sorted(PHYSICS.rows))
def built(request, build):
    if request.param == "warp":
        pytest.importorskip("warp")
    return build(request.param)


def test_memory_is_told(backend):
    memory = backend.memory
    assert memory.bytes > 0
    assert "MB for 3 worlds" in memory.text(WORLDS)
    # Either buffers grow, or there is room for the box on the floor and the pusher against it.
    assert (memory.contacts, memory.rows) == (0, 0) or (memory.contacts >= 5 and memory.rows >= 4 * 5)


@pytest.fixture
def backend(built):
    return built.physics


@pytest.fixture
def step(built):
    return built.step


@pytest.fixture
def pushed(built):
    return built.pushed


def test_shapes_and_types(pushed, model):
    for state in (pushed[0], pushed[-1]):
        shapes = {
            "qpos": (WORLDS, model.nq),
            "qvel": (WORLDS, model.nv),
            "ctrl": (WORLDS, model.nu),
            "time": (WORLDS,),
            "sensors": (WORLDS, model.nsensordata),
        }
        for name, shape in shapes.items():
            value = getattr(state, name)
            assert (value.shape, value.dtype) == (shape, jnp.float32), name
            assert jnp.isfinite(value).all(), name
        assert (state.diverged.shape, state.diverged.dtype) == ((WORLDS,), jnp.bool_)
        assert not state.diverged.any()
        assert state.poses.geom_xpos.shape == (WORLDS, model.ngeom, 3)
        assert state.poses.geom_xmat.shape == (WORLDS, model.ngeom, 3, 3)
        assert state.poses.cam_xpos.shape == (WORLDS, model.ncam, 3)
        assert state.poses.cam_xmat.shape == (WORLDS, model.ncam, 3, 3)
    assert jax.tree.structure(pushed[0]) == jax.tree.structure(pushed[-1])


def test_clock(pushed):
    np.testing.assert_allclose(pushed[0].time, 0)
    np.testing.assert_allclose(pushed[-1].time, 1.0, rtol=1e-5)


def test_position_and_velocity_sensors_are_current(pushed, model):
    for state in (pushed[0], pushed[1], pushed[-1]):
        np.testing.assert_allclose(state.sensors[:, 0], state.qpos[:, 0], atol=1e-6)
        np.testing.assert_allclose(state.sensors[:, 1], state.qvel[:, 0], atol=1e-6)
        np.testing.assert_allclose(state.sensors[:, 2:5], state.qpos[:, 2:5], atol=1e-6)


def test_poses_are_current(pushed, model):
    data = mujoco.MjData(model)
    data.qpos[:] = pushed[-1].qpos[0]
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(pushed[-1].poses.geom_xpos[0], data.geom_xpos, atol=1e-5)
    np.testing.assert_allclose(pushed[-1].poses.geom_xmat[0].reshape(-1, 9), data.geom_xmat, atol=1e-5)
    np.testing.assert_allclose(pushed[-1].poses.cam_xmat[0].reshape(-1, 9), data.cam_xmat, atol=1e-5)


def test_contact_is_felt_and_moves_the_box(pushed):
    assert max(float(state.sensors[0, 6]) for state in pushed) > 0.1
    assert pushed[-1].qpos[0, 2] > 0.005


def test_edits_change_the_motion_of_their_world_only(pushed):
    qpos = np.asarray(pushed[-1].qpos)
    np.testing.assert_array_equal(qpos[0], qpos[1])
    assert np.abs(qpos[HEAVY] - qpos[0]).max() > 1e-3


def test_reset_leaves_other_worlds_untouched(backend, step, pushed, start):
    state, (qpos, qvel, ctrl) = pushed[10], start(WORLDS, seed=5)
    mask = jnp.array([False, True, False])
    after = backend.reset(state, mask, qpos, qvel, ctrl)
    fresh = backend.init(qpos, qvel, ctrl)
    for name in ("qpos", "qvel", "time", "sensors", "ctrl"):
        got, old, new = (np.asarray(getattr(s, name)) for s in (after, state, fresh))
        if name != "ctrl":
            np.testing.assert_array_equal(got[[0, 2]], old[[0, 2]], err_msg=name)
        np.testing.assert_allclose(got[1], new[1], atol=1e-6, err_msg=name)
    # What follows is as if nothing had happened, and as a fresh start.
    later, kept, begun = step(after, state.ctrl), step(state, state.ctrl), step(fresh, state.ctrl)
    np.testing.assert_array_equal(later.qpos[0], kept.qpos[0])
    np.testing.assert_array_equal(later.qpos[2], kept.qpos[2])
    np.testing.assert_allclose(later.qpos[1], begun.qpos[1], atol=1e-6)


def test_diverged_worlds_are_flagged_and_made_safe(backend, step, start):
    qpos, qvel, ctrl = start(WORLDS)
    qvel[1, 0] = 1e9
    state = backend.init(qpos, np.zeros_like(qvel), ctrl)
    broken = backend.reset(state, jnp.array([False, True, False]), qpos, qvel, ctrl)
    after = step(broken, ctrl)
    assert (broken.diverged | after.diverged).tolist() == [False, True, False]
    for leaf in (after.qpos, after.qvel, after.sensors, after.time):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() < 1e3
    again = step(after, ctrl)
    assert not again.diverged.any()


def test_a_control_that_is_not_finite_breaks_one_world_only(backend, step, start):
    qpos, qvel, ctrl = start(WORLDS)
    state = backend.init(qpos, qvel, ctrl)
    spoiled = ctrl.copy()
    spoiled[0] = np.nan
    after, clean = step(state, spoiled), step(state, ctrl)
    assert after.diverged.tolist() == [True, False, False]
    np.testing.assert_array_equal(after.qpos[1:], clean.qpos[1:])
    assert np.isfinite(after.sensors).all()
