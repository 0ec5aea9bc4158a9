"""Training on several devices gives what training on one gives."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from s2rctl.learning import devices
from tests.waiting import HANG_S

TOP = Path(__file__).parents[2]


def trained(count: int, folder: Path) -> dict[str, np.ndarray]:
    path = folder / f"{count}.npz"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    paths = os.pathsep.join([str(TOP), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "tests.learning.several_devices", str(count), str(path)],
        capture_output=True, text=True, timeout=4 * HANG_S, check=False, cwd=TOP,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(path) as found:
        return dict(found)


def test_four_devices_learn_what_one_learns(tmp_path):
    one, four = trained(1, tmp_path), trained(4, tmp_path)
    assert one.keys() == four.keys()
    assert len(one) > 40
    for name, values in one.items():
        # The order of summation rounds, and Adam's division makes of it up to a step's share.
        np.testing.assert_allclose(four[name], values, rtol=2e-3, atol=2e-4, err_msg=name)


def test_on_one_device_nothing_is_moved_or_marked():
    assert len(jax.devices()) == 1
    tree = {"a": np.arange(3), "b": jax.numpy.ones(2)}
    for place in (devices.everywhere, devices.here, devices.spread):
        assert place(tree) is tree
    program = jax.make_jaxpr(lambda rows: devices.whole(devices.divided(rows)))(np.ones((4, 2), np.float32))
    assert program.eqns == [], "the program of one device has no marks of several"


@pytest.mark.parametrize("rows", [7, 8])
def test_rows_that_cannot_be_divided_are_whole_on_each_device(monkeypatch, rows):
    from jax.sharding import AbstractMesh

    monkeypatch.setattr(devices, "mesh", lambda: AbstractMesh((4,), ("rows",)))
    spec = devices._sharding(devices.mesh(), np.ones((rows, 2)), 0).spec
    assert (spec == jax.sharding.PartitionSpec("rows")) == (rows == 8)
