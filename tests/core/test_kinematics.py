import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.core.kinematics import Kinematics, Link, Point

TREE = """
<mujoco>
  <worldbody>
    <body name="a" pos=".1 .2 .3" quat="1 1 0 0">
      <joint name="j1" axis="0 1 0"/><geom size=".01"/>
      <body name="b" pos=".2 0 .1">
        <joint name="j2" type="slide" axis="0 0 -1"/><geom size=".01"/>
        <body name="c" pos="0 .3 0" quat=".3 -.2 .5 .7">
          <joint name="j3" axis="1 2 3"/><geom size=".01"/>
          <site name="tip" pos=".05 -.04 .2"/>
        </body>
      </body>
      <body name="d" pos="0 0 .2"><geom size=".01"/><site name="mark" pos="0 .1 0" quat="0 0 1 1"/></body>
    </body>
  </worldbody>
</mujoco>
"""
LINKS = (
    Link("a", "", (0.1, 0.2, 0.3), (1, 1, 0, 0), "j1", (0, 1, 0)),
    Link("b", "a", (0.2, 0, 0.1), joint="j2", axis=(0, 0, -1), slide=True),
    Link("c", "b", (0, 0.3, 0), (0.3, -0.2, 0.5, 0.7), "j3", (1, 2, 3)),
    Link("d", "a", (0, 0, 0.2)),
)
KINEMATICS = Kinematics(
    LINKS, ("j1", "j2", "j3"), {"tip": Point("c", (0.05, -0.04, 0.2)), "mark": Point("d", (0, 0.1, 0), (0, 0, 1, 1))}
)


@pytest.fixture(scope="module")
def world():
    model = mujoco.MjModel.from_xml_string(TREE)
    return model, mujoco.MjData(model)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_mujoco(world, seed):
    model, data = world
    q = np.random.default_rng(seed).uniform(-2, 2, 3)
    data.qpos[:] = q
    mujoco.mj_forward(model, data)
    position, rotation = KINEMATICS.pose("tip", q)
    assert np.allclose(position, data.site("tip").xpos, atol=1e-12)
    assert np.allclose(rotation.ravel(), data.site("tip").xmat, atol=1e-12)
    assert np.allclose(KINEMATICS.points_of(("mark", "tip"), q), [data.site("mark").xpos, data.site("tip").xpos])
    assert np.allclose(KINEMATICS.pose("mark", q)[1].ravel(), data.site("mark").xmat, atol=1e-12)
    expected = np.zeros((6, 3))
    mujoco.mj_jacSite(model, data, expected[:3], expected[3:], data.site("tip").id)
    assert np.allclose(KINEMATICS.jacobian("tip", q), expected, atol=1e-12)


def test_traced_joints_give_the_same_frames():
    several = np.random.default_rng(9).uniform(-2, 2, (10, 3)).astype(np.float32)
    for name in ("mark", "tip"):
        found = jax.jit(jax.vmap(lambda q, name=name: KINEMATICS.frames(name, q, jnp)))(several)
        for number, q in enumerate(several):
            for ours, theirs in zip(found, KINEMATICS.frames(name, q), strict=True):
                np.testing.assert_allclose(ours[number], theirs, atol=1e-6)


def test_what_no_joint_moves_has_no_columns():
    tree = Kinematics((Link("a", ""), Link("b", "a", (0, 0, 1), joint="j")), ("j",), {"foot": Point("a", (1, 0, 0))})
    np.testing.assert_array_equal(tree.jacobian("foot", np.array([0.3])), np.zeros((6, 1)))
    assert tree.frames("foot", np.array([0.3])).axes.shape == (0, 3)


def test_a_link_must_come_after_its_parent():
    with pytest.raises(ValueError, match="'b', which does not come before"):
        Kinematics((Link("a", "b"), Link("b", "")), (), {})


def test_the_links_to_a_point_begin_at_the_world():
    links, point = KINEMATICS.links_to("tip")
    assert [link.name for link in links] == ["a", "b", "c"] and point.position == (0.05, -0.04, 0.2)


def test_inverse_kinematics_reaches_what_can_be_reached():
    links = [Link("l0", "", joint="q0")]
    axes = [(0, 0, 1), (0, 1, 0), (0, 1, 0), (1, 0, 0), (0, 1, 0), (1, 0, 0)]
    links += [Link(f"l{i}", f"l{i - 1}", (0.2, 0, 0.05), joint=f"q{i}", axis=axes[i]) for i in range(1, 6)]
    arm = Kinematics(links, tuple(f"q{i}" for i in range(6)), {"tip": Point("l5", (0.1, 0, 0))})
    low, high = np.full(6, -2.5), np.full(6, 2.5)
    goal = np.array([0.2, -0.4, 0.9, 0.3, -0.6, 0.1])
    position, rotation = arm.pose("tip", goal)
    q, reached = arm.solve("tip", position, rotation, goal + 0.2, low, high)
    assert reached
    assert np.allclose(arm.pose("tip", q)[0], position, atol=1e-5)
    assert np.allclose(arm.pose("tip", q)[1], rotation, atol=1e-5)
    q, reached = arm.solve("tip", np.array([5.0, 0, 0]), rotation, goal, low, high)
    assert not reached
    assert np.isfinite(q).all() and (q >= low).all() and (q <= high).all()
