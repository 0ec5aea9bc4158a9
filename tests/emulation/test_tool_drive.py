import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.core.lines import PlannerState, follow
from s2rctl.emulation.tool_drive import ToolDrive
from s2rctl.robots import ROBOTS
from s2rctl.schema.robots import ToolLimits

SPEED, ACCELERATION, DT = 0.6, 5.0, 0.005


def travel(goal, seconds, going=None, xp=np):
    going = going or PlannerState(xp.zeros(3), xp.zeros(3))
    way = []
    for _ in range(round(seconds / DT)):
        going = follow(xp, going, goal, SPEED, ACCELERATION, DT)
        way.append(going)
    return way


def test_a_long_way_takes_as_long_as_its_trapezoid_of_speed():
    # d / v + v / a: the ramps cost v / 2a each; less the last millimetre, braking
    way = travel(np.array([0.3, 0.0, 0.0]), 1.0)
    first = next(n for n, going in enumerate(way) if abs(going.position[0] - 0.3) < 1e-3)
    assert first * DT == pytest.approx(0.3 / SPEED + SPEED / ACCELERATION - np.sqrt(2e-3 / ACCELERATION), abs=0.03)
    assert max(going.velocity[0] for going in way) == pytest.approx(SPEED, rel=0.01)
    assert max(going.position[0] for going in way) < 0.3 + 0.002


@given(st.lists(st.tuples(*[st.floats(-0.3, 0.3)] * 3), min_size=1, max_size=5))
def test_no_sequence_of_targets_breaks_the_limits(goals):
    going = PlannerState(np.zeros(3), np.zeros(3))
    for goal in goals:
        for after in travel(np.array(goal), 0.15, going):
            assert np.linalg.norm(after.velocity) <= SPEED * (1 + 1e-9)
            assert np.linalg.norm(after.velocity - going.velocity) <= ACCELERATION * DT * (1 + 1e-9)
            going = after
    end = travel(np.array(goals[-1]), 2.0, going)[-1]
    assert np.linalg.norm(end.position - goals[-1]) < 1e-3


def test_training_and_the_emulated_controller_go_the_same_way():
    step = jax.jit(lambda going, goal: follow(jnp, going, goal, SPEED, ACCELERATION, DT))
    ours = theirs = PlannerState(np.zeros(3), np.zeros(3))
    rng = np.random.default_rng(0)
    for n in range(200):
        if n % 10 == 0:
            goal = rng.uniform(-0.2, 0.2, 3)
        ours, theirs = follow(np, ours, goal, SPEED, ACCELERATION, DT), step(theirs, goal)
        np.testing.assert_allclose(ours.position, theirs.position, atol=1e-4)


def test_joint_targets_bring_the_tool_there_and_late_targets_do_not_overtake():
    spec = ROBOTS.load("xarm7")
    drive = ToolDrive(spec, ToolLimits(SPEED, ACCELERATION))
    home = spec.joints_from_targets(np.array(spec.home))
    tool = spec.kinematics.point("tcp", home)
    aside = tool + np.array([0.0, 0.05, 0.0])
    assert drive.tick(0.0, DT) is None
    drive.aim(tool + np.array([0.05, 0.0, 0.0]), 0.10)
    drive.aim(aside, 0.05)
    assert drive.tick(0.09, DT) is None
    for n in range(200):
        joints = drive.tick(0.11 + n * DT, DT)
    np.testing.assert_allclose(spec.kinematics.point("tcp", joints), aside, atol=1e-4)
    drive.reset(home)
    assert drive.tick(5.0, DT) is None
