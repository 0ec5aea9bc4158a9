"""All backends move the robots of the real scenes alike. Compiling one takes up to a minute: not in the default run."""

import jax
import mujoco
import numpy as np
import pytest

from s2rctl.physics.factory import make_physics
from s2rctl.scene import SCENES

STEPS, SUBSTEPS, WORLDS = 10, 10, 4
APART = {"reach": 0.04}
"""Largest difference of a coordinate (m, rad). The xArm's motors are so stiff for the time step that joints stick and
slip numerically; where they stick depends on the last bits."""


def moved(backend: str, model: mujoco.MjModel) -> np.ndarray:
    """Return qpos (T, B, nq) of arms on their way between random targets near home; objects stand on the table."""
    generator = np.random.default_rng(0)
    home = model.key_qpos[0] if model.nkey else model.qpos0
    rest = model.key_ctrl[0] if model.nkey else np.zeros(model.nu)
    masses = np.repeat(model.body_mass[None], WORLDS, axis=0) * np.linspace(0.8, 1.2, WORLDS)[:, None]
    physics = make_physics(backend, model, WORLDS, substeps=SUBSTEPS, edits={"body_mass": masses})
    qpos = np.tile(home, (WORLDS, 1)).astype(np.float32)
    ctrl = rest + generator.uniform(-0.1, 0.1, (STEPS, WORLDS, model.nu)) * (np.abs(rest) > 0.05)
    step = jax.jit(physics.step)
    state = physics.init(qpos, np.zeros((WORLDS, model.nv), np.float32), ctrl[0].astype(np.float32))
    found = []
    for targets in ctrl.astype(np.float32):
        state = step(state, targets)
        found.append(np.asarray(state.qpos))
        assert not np.asarray(state.diverged).any()
    return np.stack(found)


@pytest.mark.slow
@pytest.mark.parametrize("scene", sorted(SCENES.rows))
@pytest.mark.parametrize("backend", ["mjx", "warp"])
def test_backends_agree_over_half_a_second(scene, backend):
    if backend == "warp":
        pytest.importorskip("warp")
    model = SCENES.load(scene)(0.005)
    native, other = moved("native", model), moved(backend, model)
    assert np.abs(native - native[:, :1]).max() > 0.01, "worlds must differ"
    np.testing.assert_allclose(other, native, atol=APART.get(scene, 2e-3))
