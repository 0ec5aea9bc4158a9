"""MJX, in JAX and on Warp, against MuJoCo."""

import numpy as np
import pytest


@pytest.mark.parametrize("name", ["mjx", "warp"])
def test_native_and_others_agree_over_a_second(build, name):
    if name == "warp":
        pytest.importorskip("warp")
    native, other = build("native").pushed, build(name).pushed
    for field, tolerance in (("qpos", 1e-3), ("qvel", 0.1)):
        one, two = (np.stack([getattr(state, field) for state in states]) for states in (native, other))
        np.testing.assert_allclose(one, two, atol=tolerance, err_msg=field)
    assert native[-1].qpos[0, 2] > 0.005, "the box must have been pushed"
    one, two = (np.stack([state.sensors for state in states]) for states in (native, other))
    touching = one[:, :, 5] > 0
    assert touching.any()
    np.testing.assert_array_equal(touching, two[:, :, 5] > 0)
    np.testing.assert_allclose(one[touching][:, :7], two[touching][:, :7], atol=0.1)
