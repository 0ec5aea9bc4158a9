import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.core.errors import RunError
from s2rctl.core.kinematics import jacobian
from s2rctl.scene import SCENES
from s2rctl.tasks import kinematics

ODD = """
<mujoco>
  <worldbody>
    <body name="base" pos=".3 0 .1" quat="1 0 0 1">
      <geom size=".01"/>
      <body name="welded" pos="0 .1 0" quat="1 1 0 0"><geom size=".01"/>
        <body name="lid" pos=".1 0 0" quat="1 0 1 0">
          <joint name="hinge" pos="0 .2 .05" axis="1 2 0" range="-1 1"/><geom size=".01"/>
          <body name="arm" pos="0 .3 0">
            <joint name="elbow" pos="-.1 0 0" axis="0 0 1" range="-2 2"/><geom size=".01"/>
            <site name="tip" pos=".1 .2 .3" quat="1 0 2 0"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <compiler angle="radian"/>
</mujoco>
"""
"""Welds, hinges that are not at the origin of what they turn, and a turned site."""

CHAINS = [("pick", "left/base_link", "left/gripper"), ("reach", "link_base", "tcp"), ("odd", "base", "tip")]


@pytest.mark.parametrize(("scene", "base", "site"), CHAINS)
def test_chain_agrees_with_mujoco(scene: str, base: str, site: str) -> None:
    model = mujoco.MjModel.from_xml_string(ODD) if scene == "odd" else SCENES.load(scene)(0.005)
    data = mujoco.MjData(model)
    chain = kinematics.read_chain(model, base, site)
    rng = np.random.default_rng(0)
    solve = jax.jit(lambda q: (f := chain.frames(q), jacobian(f, f.position, jnp)))
    dofs = [int(model.joint(name).dofadr[0]) for name in chain.joints]
    for _ in range(5):
        q = rng.uniform(chain.low, chain.high).clip(-3, 3)
        data.qpos[[int(model.joint(name).qposadr[0]) for name in chain.joints]] = q
        mujoco.mj_forward(model, data)
        frames, matrix = solve(jnp.asarray(q, jnp.float32))
        turn, origin = data.body(base).xmat.reshape(3, 3), data.body(base).xpos
        np.testing.assert_allclose(frames.position, turn.T @ (data.site(site).xpos - origin), atol=2e-6)
        np.testing.assert_allclose(frames.rotation, turn.T @ data.site(site).xmat.reshape(3, 3), atol=3e-6)
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacSite(model, data, linear, angular, model.site(site).id)
        np.testing.assert_allclose(matrix[:3], turn.T @ linear[:, dofs], atol=5e-6)
        np.testing.assert_allclose(matrix[3:], turn.T @ angular[:, dofs], atol=5e-6)


def test_damped_step_reduces_a_reachable_error() -> None:
    matrix = jnp.asarray(np.random.default_rng(3).normal(size=(3, 6)), jnp.float32)
    error = jnp.array([0.1, -0.2, 0.05])
    left = error - matrix @ kinematics.damped_least_squares(matrix, error, 1e-3)
    assert float(jnp.linalg.norm(left)) < 0.02 * float(jnp.linalg.norm(error))


def test_site_elsewhere_and_sliding_joints_are_refused() -> None:
    model = SCENES.load("pick")(0.005)
    with pytest.raises(RunError, match="is not attached"):
        kinematics.read_chain(model, "left/base_link", "box_grip")
    with pytest.raises(RunError, match="hinge"):
        kinematics.read_chain(model, "left/base_link", "left/left_fingertip")
