"""What only the native backend promises: the bits of MuJoCo's own stepping, and no side effects."""

import logging

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mujoco.batch import Batch

from s2rctl.core.errors import RunError
from s2rctl.physics.edits import complete_edits
from s2rctl.physics.native import NativePhysics

WORLDS, STEPS, SUBSTEPS = 7, 12, 10


def controls(model, seed=1):
    return np.random.default_rng(seed).uniform(-0.4, 0.4, (STEPS, WORLDS, model.nu)).astype(np.float32)


def roll(physics, state, ctrls):
    """Step inside jit and scan; return the last state and all sensors."""

    def body(state, ctrl):
        state = physics.step(state, ctrl)
        return state, state.sensors

    return jax.jit(lambda s, u: jax.lax.scan(body, s, u))(state, ctrls)


def raw(model, qpos, qvel, ctrl, ctrls):
    """The same trajectory by Batch itself."""
    batch = Batch(model, WORLDS)
    sensors = batch.bind("sensordata")
    batch.reset(stage=0)
    batch.qpos, batch.qvel, batch.ctrl = qpos, qvel, ctrl
    batch.forward()
    seen = []
    for row in ctrls:
        batch.ctrl = row
        batch.step(nstep=SUBSTEPS, stage=int(mujoco.mjtStage.mjSTAGE_VEL))
        seen.append(sensors.copy())
    return batch.state.copy(), np.array(seen)


def test_bits_of_raw_stepping(model, start):
    qpos, qvel, ctrl = start(WORLDS)
    ctrls = controls(model)
    physics = NativePhysics(model, WORLDS, substeps=SUBSTEPS)
    state, sensors = roll(physics, jax.jit(physics.init)(qpos, qvel, ctrl), ctrls)
    rows, seen = raw(model, qpos, qvel, ctrl, ctrls)
    np.testing.assert_array_equal(np.asarray(state.backend).view(np.float64), rows)
    np.testing.assert_array_equal(sensors, seen.astype(np.float32))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_do_not_depend_on_threads(model, start, threads):
    arguments, ctrls = start(WORLDS), controls(model)
    physics = NativePhysics(model, WORLDS, substeps=SUBSTEPS, threads=threads)
    state, _ = roll(physics, physics.init(*arguments), ctrls)
    rows, _ = raw(model, *arguments, ctrls)
    np.testing.assert_array_equal(np.asarray(state.backend).view(np.float64), rows)


def test_a_plain_loop_gives_the_same_coordinates(model, start):
    qpos, qvel, ctrl = start(WORLDS)
    ctrls = controls(model)
    physics = NativePhysics(model, WORLDS, substeps=SUBSTEPS)
    state, _ = roll(physics, physics.init(qpos, qvel, ctrl), ctrls)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[3], qvel[3], ctrl[3]
    mujoco.mj_forward(model, data)
    for row in ctrls[:, 3]:
        data.ctrl[:] = row
        mujoco.mj_step(model, data, SUBSTEPS)
    np.testing.assert_array_equal(state.qpos[3], data.qpos.astype(np.float32))


def test_steps_are_pure(model, start):
    physics = NativePhysics(model, WORLDS, substeps=SUBSTEPS)
    state = physics.init(*start(WORLDS))
    ctrl = controls(model)[0]
    first = physics.step(state, ctrl)
    for other in controls(model, seed=2):  # other work in between on the same batch
        physics.step(first, other)
    again = physics.step(state, ctrl)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_backends_in_one_program(model, start):
    """Independent callbacks may run at the same time; neither may see the other's rows."""
    one, two = (NativePhysics(model, WORLDS, substeps=SUBSTEPS) for _ in range(2))
    state = one.init(*start(WORLDS))
    u, v = controls(model)[:2]

    @jax.jit
    def both(state):
        return one.step(state, u).qpos, two.step(state, v).qpos, one.step(state, v).qpos

    a, b, c = both(state)
    np.testing.assert_array_equal(b, c)
    np.testing.assert_array_equal(a, one.step(state, u).qpos)


def test_large_arrays_do_not_block(model):
    """Megabytes through the callback, many times, with work of XLA's own in between (callbacks have blocked there)."""
    worlds = 4096
    physics = NativePhysics(model, worlds, substeps=1)
    qpos = np.tile(model.qpos0, (worlds, 1)).astype(np.float32)
    state = physics.init(qpos, np.zeros((worlds, model.nv)), np.zeros((worlds, model.nu)))

    @jax.jit
    def run(state, weights):
        def body(carry, _):
            state, x = carry
            x = jnp.tanh(x @ weights)
            state = physics.step(state, x[:, :1] * 0.1)
            return (state, x), state.qpos.sum()

        return jax.lax.scan(body, (state, jnp.ones((worlds, 64))), None, length=20)

    (last, _), _ = run(state, jnp.eye(64) * 0.5)
    assert not last.diverged.any()


def test_edited_geoms_collide_with_their_own_size(model):
    worlds = 2
    size = np.repeat(model.geom_size[None], worlds, axis=0)
    size[1, model.geom("box").id] = 0.08
    physics = NativePhysics(model, worlds, substeps=SUBSTEPS, edits={"geom_size": size})
    qpos = np.tile(model.qpos0, (worlds, 1))
    qpos[:, 4] = 0.12
    state = physics.init(qpos, np.zeros((worlds, model.nv)), np.zeros((worlds, model.nu)))
    state, _ = roll(physics, state, np.zeros((20, worlds, model.nu), np.float32))
    np.testing.assert_allclose(state.qpos[:, 4], [0.04, 0.08], atol=2e-3)


def test_derived_constants_follow_edits(model):
    mass = np.repeat(model.body_mass[None], 2, axis=0)
    mass[1] *= 2
    fields = complete_edits(model, {"body_mass": mass}, 2)
    np.testing.assert_allclose(fields["body_subtreemass"][1], 2 * model.body_subtreemass)
    np.testing.assert_allclose(fields["body_mass"], mass)
    np.testing.assert_allclose(fields["dof_invweight0"][0], model.dof_invweight0)
    assert (fields["dof_invweight0"][1, 0] < fields["dof_invweight0"][0, 0]).all()


def test_the_model_is_not_changed(model):
    before = model.body_mass.copy(), model.opt.jacobian
    NativePhysics(model, 2, substeps=1, edits={"body_mass": np.repeat(2 * model.body_mass[None], 2, axis=0)})
    np.testing.assert_array_equal(model.body_mass, before[0])
    assert model.opt.jacobian == before[1]


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"body_maas": np.zeros((2, 1))}, "body_mass"),
        ({"body_mass": np.zeros((2, 1))}, "shape"),
        ({"opt.gravity": np.full((2, 3), np.nan)}, "finite"),
    ],
)
def test_wrong_edits_are_explained(model, edits, words):
    with pytest.raises(RunError) as caught:
        NativePhysics(model, 2, substeps=1, edits=edits)
    assert words in caught.value.message + caught.value.hint


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(width=32), min_size=8, max_size=8), st.floats(width=32), st.integers(0, 2))
def test_no_state_or_control_can_poison_or_raise(model, values, control, world):
    physics = NativePhysics(model, 3, substeps=2)
    qpos = np.tile(model.qpos0, (3, 1)).astype(np.float32)
    qvel, ctrl = np.zeros((3, model.nv), np.float32), np.zeros((3, model.nu), np.float32)
    qvel[world], ctrl[world] = values, control
    state = physics.step(physics.init(qpos, qvel, ctrl), ctrl)
    for leaf in (state.qpos, state.qvel, state.sensors):
        assert np.isfinite(leaf).all()
    assert not np.delete(np.asarray(state.diverged), world).any()


def test_divergence_is_silent(model, tmp_path, monkeypatch, capfd, caplog):
    """MuJoCo's own way is a log file in the working directory and lines on the terminal."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    physics = NativePhysics(model, 2, substeps=2)
    qpos = np.tile(model.qpos0, (2, 1))
    state = physics.init(qpos, np.full((2, model.nv), 1e12), np.zeros((2, model.nu)))
    jax.block_until_ready(physics.step(state, np.full((2, model.nu), np.nan)))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
