"""MJX against MuJoCo, and what happens without Warp."""

import numpy as np
import pytest

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.exits import ExitCode
from s2rctl.physics import mjx
from s2rctl.physics.mjx import MjxPhysics


def test_native_and_mjx_agree_over_a_second(build):
    native, other = build("native").pushed, build("mjx").pushed
    for name, tolerance in (("qpos", 1e-3), ("qvel", 0.1)):
        one, two = (np.stack([getattr(state, name) for state in states]) for states in (native, other))
        np.testing.assert_allclose(one, two, atol=tolerance, err_msg=name)
    assert native[-1].qpos[0, 2] > 0.005, "the box must have been pushed"
    one, two = (np.stack([state.sensors for state in states]) for states in (native, other))
    touching = one[:, :, 5] > 0
    assert touching.any()
    np.testing.assert_array_equal(touching, two[:, :, 5] > 0)
    np.testing.assert_allclose(one[touching][:, :7], two[touching][:, :7], atol=0.1)


def test_warp_without_warp_says_what_to_install(model, monkeypatch):
    monkeypatch.setattr(mjx, "find_spec", lambda name: None)
    with pytest.raises(MissingEnvironmentError) as caught:
        MjxPhysics(model, 2, substeps=1, impl="warp")
    assert "warp" in caught.value.hint
    assert caught.value.exit_code == ExitCode.ENVIRONMENT
