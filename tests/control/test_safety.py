"""The filter's promise: for ANY input the command is finite, within limits and rate-bounded, or the robot stops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import envelope
from s2rctl.control.safety import Memory, SafetyFilter
from s2rctl.core.errors import SafetyStop
from s2rctl.robots import ROBOTS
from s2rctl.robots.command import tool_entries
from s2rctl.robots.poses import tool_poses
from s2rctl.robots.protocol import State
from s2rctl.schema.deployment import Safety
from tests.control.rigs import RATE_HZ, TINY, contract

TOOL = replace(TINY, command=tool_entries())
SAFETY = Safety(
    joint_speed=1.0,
    tool_speed=0.2,
    workspace_low=(-0.5, -0.5, 0.05),
    workspace_high=(0.5, 0.5, 0.6),
    tracking_error=0.3,
)
wild = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-2, 2), st.just(1e30))
joints = st.tuples(st.floats(-3.05, 3.05), st.floats(-1.55, 1.55), st.floats(-0.01, 0.05), st.floats(-0.01, 0.05))


def make(specification=TINY, safety=SAFETY):
    mapping = action_mapping(specification, contract(specification), 0.05)
    return SafetyFilter(envelope(specification, safety, RATE_HZ), mapping, specification)


def measured(q, velocity=0.0, t=0.0):
    q = np.array(q, float)
    return State(t, q, np.full(len(q), velocity), tool_poses(TINY, np.nan_to_num(q)))


HOME = measured(TINY.joints_from_targets(np.array(TINY.home)))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.lists(wild, min_size=3, max_size=3), joints, st.floats(-0.3, 0.3)), min_size=1, max_size=6),
    joints,
)
def test_joint_commands_keep_the_envelope_or_stop(steps, first):
    guard = make()
    limits = guard.envelope
    low, high = limits.workspace
    try:
        memory = guard.start(measured(first))
    except SafetyStop:
        return
    assert np.all(memory.last >= limits.low) and np.all(memory.last <= limits.high)
    for action, q, age in steps:
        before = memory
        try:
            memory, verdict = guard.step(memory, np.array(action), measured(q), {"robot": age})
        except SafetyStop:
            continue  # the memory is unchanged: the filter is a pure function
        assert -limits.dt <= age <= limits.max_state_age
        target = verdict.target
        assert np.isfinite(target).all()
        assert np.all(np.abs(target - before.last) <= limits.rate + 1e-12)
        inner_low = np.minimum(limits.low + limits.margin, before.last)
        inner_high = np.maximum(limits.high - limits.margin, before.last)
        assert np.all(target >= inner_low - 1e-12) and np.all(target <= inner_high + 1e-12)
        was = TINY.kinematics.point("gripper", TINY.joints_from_targets(before.last))
        now = TINY.kinematics.point("gripper", TINY.joints_from_targets(target))
        assert np.linalg.norm(now - was) <= limits.tool_step * 1.001
        out_was = np.maximum(low - was, 0) + np.maximum(was - high, 0)
        out_now = np.maximum(low - now, 0) + np.maximum(now - high, 0)
        assert np.all(out_now <= out_was + 1e-6)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(wild, min_size=3, max_size=3), joints, st.floats(-8, 8), st.floats(-0.3, 0.3)),
        min_size=1,
        max_size=6,
    ),
    joints,
)
def test_tool_commands_keep_the_envelope_or_stop(steps, first):
    guard = make(TOOL)
    limits = guard.envelope
    try:
        memory = guard.start(measured(first))
    except SafetyStop:
        return
    for action, q, velocity, age in steps:
        before = memory
        try:
            memory, verdict = guard.step(memory, np.array(action), measured(q, velocity), {"robot": age})
        except SafetyStop:
            continue
        assert np.isfinite(verdict.target).all()
        assert np.linalg.norm(verdict.target - before.last) <= limits.tool_step + 1e-12
        assert np.all(verdict.target >= np.minimum(limits.low, before.last) - 1e-12)
        assert np.all(verdict.target <= np.maximum(limits.high, before.last) + 1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stops(bad):
    guard = make()
    memory = guard.start(HOME)
    with pytest.raises(SafetyStop, match="not finite"):
        guard.step(memory, np.array([0, bad, 0]), HOME, {})
    with pytest.raises(SafetyStop, match="joint position or speed that is not finite"):
        guard.step(memory, np.zeros(3), replace(HOME, joint_vel=np.full(4, bad)), {})
    with pytest.raises(SafetyStop, match="tool pose"):
        guard.step(memory, np.zeros(3), replace(HOME, tool=np.full((1, 7), bad)), {})
    with pytest.raises(SafetyStop):
        guard.step(memory, np.zeros(3), HOME, {"camera": bad})


def test_what_cannot_be_trusted_stops_and_says_why():
    guard = make()
    memory = guard.start(HOME)
    with pytest.raises(SafetyStop, match="'wrist' is 200 ms old"):
        guard.step(memory, np.zeros(3), HOME, {"robot": 0.0, "wrist": 0.2})
    with pytest.raises(SafetyStop, match="C31"):
        guard.step(memory, np.zeros(3), replace(HOME, codes=("C31 collision",)), {})
    with pytest.raises(SafetyStop, match="'lift' is measured outside"):
        guard.step(memory, np.zeros(3), measured((0, 1.9, 0.02, 0.02)), {})
    with pytest.raises(SafetyStop, match="shape"):
        guard.step(memory, np.zeros(2), HOME, {})
    with pytest.raises(SafetyStop, match="3 joints, not 4"):
        guard.step(memory, np.zeros(3), replace(HOME, joint_pos=np.zeros(3)), {})


def test_joint_readings_must_be_younger_than_pictures():
    guard = make(safety=Safety(max_age_periods=3.0, max_state_age_periods=1.5))
    memory, period = guard.start(HOME), guard.envelope.dt
    guard.step(memory, np.zeros(3), HOME, {"robot": 1.4 * period, "wrist": 2.9 * period})
    for ages in ({"robot": 1.6 * period}, {"robot": 0.0, "wrist": 3.1 * period}):
        with pytest.raises(SafetyStop, match="ms old"):
            guard.step(memory, np.zeros(3), HOME, ages)


@pytest.mark.parametrize("robot", ["xarm7", "aloha"])
def test_an_ordinary_step_passes_untouched_and_a_spoilt_one_does_not(robot):
    specification = ROBOTS.load(robot)
    guard = make(specification, Safety(workspace_low=(-1, -1, 0), workspace_high=(1, 1, 1)))
    home = np.array(specification.home)
    q = specification.joints_from_targets(home)
    state = State(0.0, q, 0 * q, tool_poses(specification, q))
    memory = guard.start(state)
    mapping = action_mapping(specification, contract(specification), 0.05)
    action = 0.1 * mapping.high
    _, verdict = guard.step(memory, action, state, {"robot": 0.01, "eye": 0.1})
    assert verdict.interventions == ()
    np.testing.assert_array_equal(verdict.target, mapping.apply(memory.last, action, state))
    for old in ({"robot": 1.0}, {"eye": 1.0}, {"robot": -1.0}, {"robot": np.nan}):
        with pytest.raises(SafetyStop, match="ms old"):
            guard.step(memory, action, state, old)
    for bad in (np.nan, np.inf):
        spoilt = action.copy()
        spoilt[1] = bad
        with pytest.raises(SafetyStop, match="not finite"):
            guard.step(memory, spoilt, state, {})
    spoilt = action.copy()
    spoilt[1] = 2.0
    assert "action_range" in guard.step(memory, spoilt, state, {})[1].interventions
    for name in ("joint_pos", "joint_vel", "tool"):
        spoilt = getattr(state, name).copy()
        spoilt.flat[1] = np.nan
        with pytest.raises(SafetyStop, match="not finite"):
            guard.step(memory, action, replace(state, **{name: spoilt}), {})


def test_every_intervention_is_named():
    guard = make()
    memory = guard.start(HOME)
    _, verdict = guard.step(memory, np.array([5.0, 0, 0]), HOME, {})
    assert verdict.interventions == ("action_range",)
    assert np.allclose(verdict.target - memory.last, [0.02, 0, 0])
    slow = make(safety=SAFETY.model_copy(update={"joint_speed": 0.1}))
    _, verdict = slow.step(memory, np.ones(3), HOME, {})
    assert "rate" in verdict.interventions
    assert np.allclose(verdict.target[:2] - memory.last[:2], 0.005)
    edge = guard.start(measured((0, 1.48, 0.02, 0.02)))
    _, verdict = make(safety=Safety(tool_speed=9)).step(
        edge, np.array([0, 1.0, 0]), measured((0, 1.48, 0.02, 0.02)), {}
    )
    assert verdict.interventions == ("joint_limit",)
    crawl = make(safety=SAFETY.model_copy(update={"tool_speed": 0.01}))
    _, verdict = crawl.step(memory, np.array([1.0, 0, 0]), HOME, {})
    assert verdict.interventions == ("tool_speed",)
    box = make(safety=SAFETY.model_copy(update={"workspace_high": (0.5, 0.001, 0.6)}))
    _, verdict = box.step(memory, np.array([1.0, 0, 0.5]), HOME, {})
    assert verdict.interventions == ("workspace",)
    assert np.allclose(verdict.target, memory.last)


def test_an_arm_that_does_not_follow_is_limited_and_then_stopped():
    guard = make(safety=Safety(tracking_error=0.05, tool_speed=9))
    memory = guard.start(HOME)
    seen = []
    with pytest.raises(SafetyStop, match="did not follow"):
        for _ in range(40):
            memory, verdict = guard.step(memory, np.array([1.0, 0, 0]), HOME, {})
            assert abs(verdict.target[0]) <= 0.05 + 1e-9
            seen.append("tracking" in verdict.interventions)
    assert seen == [False, False] + [True] * 10


def test_a_tool_command_never_drives_a_joint_into_its_margin():
    guard = make(TOOL, Safety(tool_speed=0.4, joint_margin=0.02))
    near = measured((0.0, 1.47, 0.02, 0.02))
    memory = guard.start(near)
    _, down = guard.step(memory, np.array([0.0, 0, -1.0]), near, {})
    inward = np.array([0.0, 0, 1.0])
    _, up = guard.step(memory, inward, near, {})
    assert "joint_limit" in down.interventions or np.allclose(down.target, memory.last, atol=0.021)
    assert up.interventions == () and up.target[2] > memory.last[2]


def test_fast_joints_slow_the_tool_down():
    guard = make(TOOL)
    memory = guard.start(HOME)
    _, verdict = guard.step(memory, np.array([-0.2, 0, 0]), replace(HOME, joint_vel=np.full(4, 2.0)), {})
    assert verdict.interventions == ("joint_speed",)
    assert np.allclose(verdict.target - memory.last, [-0.002, 0, 0])


def test_a_pushed_tool_is_re_anchored():
    guard = make(TOOL, Safety(tool_speed=9))
    memory = Memory(HOME.tool[0, :3] + np.array([0.0, 0.2, 0.0]), HOME.tool[:, :3])
    _, verdict = guard.step(memory, np.array([0, 0.5, 0]), HOME, {})
    assert np.allclose(verdict.target, HOME.tool[0, :3] + [0, 0.01, 0])
