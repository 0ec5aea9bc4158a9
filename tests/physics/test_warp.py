"""What Warp does when its buffers are too small, and what happens without it."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import MissingEnvironmentError, RunError
from s2rctl.core.exits import ExitCode
from s2rctl.physics.factory import make_physics
from s2rctl.scene import libraries


def test_warp_without_warp_says_what_to_install(model, monkeypatch):
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(MissingEnvironmentError) as caught:
        make_physics("warp", model, 2, substeps=1)
    assert "s2rctl[warp]" in caught.value.hint
    assert caught.value.exit_code == ExitCode.ENVIRONMENT


def test_a_scene_that_begins_with_more_contacts_than_there_is_room_for_is_refused(model):
    pytest.importorskip("warp")
    with pytest.raises(RunError) as caught:
        make_physics("warp", model, 2, substeps=1, contacts=3)
    assert "simulation.contacts=8" in caught.value.hint


def test_a_world_that_needs_more_room_counts_as_diverged_and_is_told_of(model, start, caplog, capfd):
    """Room for the box's four contacts with the floor, not for the pusher's with the box as well."""
    pytest.importorskip("warp")
    worlds = 3
    physics = make_physics("warp", model, worlds, substeps=10, contacts=4)
    qpos, qvel, ctrl = start(worlds)
    crowded = qpos.copy()
    # In all worlds the pusher starts inside the box; contacts have one buffer for all worlds.
    crowded[:, 0] = 0.15
    with caplog.at_level(logging.WARNING, "s2rctl.physics"):
        state = physics.init(crowded, 0 * qvel, ctrl)
        step = jax.jit(physics.step)
        state = step(state, jnp.asarray(ctrl))
        jax.effects_barrier()
    assert state.diverged.all()
    assert np.isfinite(state.qpos).all()
    assert "simulation.contacts=8" in caplog.text
    assert capfd.readouterr().out == "", "standard output is for data"


def test_worlds_with_room_enough_are_never_called_diverged(build):
    pytest.importorskip("warp")
    assert not any(state.diverged.any() for state in build("warp").pushed)
