"""Commands as data: what an entry may say, and a robot that takes a tool position and a gripper at once."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import envelope
from s2rctl.control.loop import Rig, Settings, run_episode
from s2rctl.control.mismatch import robot_faults
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.control.safety import Memory, SafetyFilter
from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import ArtifactError, SafetyStop
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.emulation.faults import Faults
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.twin import Twin
from s2rctl.operations.recordings import latency, lerobot
from s2rctl.robots import ROBOTS
from s2rctl.robots.command import CommandSpace, Entry, tool_entries
from s2rctl.robots.poses import home_target, tool_poses
from s2rctl.robots.protocol import State, Target
from s2rctl.schema.contract import Tensor
from s2rctl.schema.deployment import Safety
from s2rctl.schema.load import load_profile
from s2rctl.schema.robots import ToolLimits
from tests.control.rigs import RATE_HZ, contract
from tests.gantry import GRIPPER, JOINTS, SPECIFICATION, build
from tests.kinematic_robot import KinematicRobot

SAFETY = Safety(
    joint_speed=2.0,
    tool_speed=0.4,
    workspace_low=(-0.3, -0.3, 0.3),
    workspace_high=(0.3, 0.3, 0.55),
    tracking_error=0.15,
)
SCALE = (0.02, 0.02, 0.02, 0.004)
HOME = np.array([0.1, 0.0, 0.45, 0.03])


def card(**changes):
    return contract(SPECIFICATION, action_scale=SCALE, **changes)


def guard(safety=SAFETY, specification=SPECIFICATION):
    return SafetyFilter(
        envelope(specification, safety, RATE_HZ), action_mapping(specification, card(), 0.05), specification
    )


def moved(*change):
    return HOME + np.array(change)


def measured(values, velocity=0.0):
    """The state at which a command (4,) is reached: the rails stand below the tool."""
    x, y, z, grip = values
    joints = np.array([x, y, z - 0.4, grip, grip])
    return State(0.0, joints, np.full(5, velocity), tool_poses(SPECIFICATION, np.nan_to_num(joints)))


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "joint"},
        {"kind": "joint", "joint": 0, "tool": 0},
        {"kind": "gripper", "tool": 0},
        {"kind": "tool_translation"},
        {"kind": "tool_translation", "tool": 0, "joint": 1},
        {"kind": "joint", "joint": 0, "low": 1.0, "high": 1.0},
        {"kind": "joint", "joint": 0, "low": np.nan},
        {"kind": "joint", "joint": 0, "rate": 0.0},
    ],
)
def test_an_entry_that_says_nothing_or_two_things_is_refused(fields):
    with pytest.raises(ValueError, match="'wrong'"):
        Entry(name="wrong", unit="m", **fields)


@pytest.mark.parametrize(
    "entries",
    [
        (),
        tool_entries()[:2],
        (*tool_entries(), replace(GRIPPER, name="x")),
        (GRIPPER, replace(GRIPPER, name="again")),
    ],
)
def test_a_command_names_everything_once_and_tools_whole(entries):
    with pytest.raises(ValueError, match="command"):
        CommandSpace(entries)


@pytest.mark.parametrize("robot", [ROBOTS.load(name) for name in ROBOTS.rows] + [SPECIFICATION], ids=lambda s: s.name)
def test_every_robot_is_at_home_where_its_home_command_is(robot):
    joints = robot.joints_from_targets(np.array(robot.home))
    values = robot.space.values(joints, tool_poses(robot, joints))
    home = home_target(robot).values
    np.testing.assert_allclose(values, home, atol=1e-12)
    assert robot.space.takes(home) and not robot.space.takes(home[1:]) and not robot.space.takes(home * np.nan)
    np.testing.assert_array_equal(robot.joints_from_command(home, joints), joints)
    np.testing.assert_array_less(robot.space.low, home)
    assert (home <= robot.space.high).all()


def test_the_two_robots_say_what_their_policies_move():
    aloha, xarm = ROBOTS.load("aloha").command, ROBOTS.load("xarm7").command
    assert [entry.kind for entry in aloha] == (["joint"] * 6 + ["gripper"]) * 2
    assert {(entry.kind, entry.unit) for entry in aloha} == {("joint", "rad"), ("gripper", "m")}
    assert tuple(entry.name for entry in aloha) == ROBOTS.load("aloha").targets
    assert [(entry.name, entry.kind, entry.unit) for entry in xarm] == [(a, "tool_translation", "m") for a in "xyz"]


def test_an_action_moves_tool_and_gripper_and_only_the_tool_is_re_anchored():
    mapping, state = action_mapping(SPECIFICATION, card(), 0.05), measured(HOME)
    np.testing.assert_allclose(mapping.start(state), HOME, atol=1e-12)
    np.testing.assert_allclose(mapping.apply(HOME, np.array([1, 0, -1, -0.5]), state), moved(0.02, 0, -0.02, -0.002))
    np.testing.assert_allclose(mapping.apply(HOME, np.array([0, 0, 0, 100.0]), state)[3], GRIPPER.high)
    pushed = moved(0.2, 0, 0, -0.02)
    np.testing.assert_allclose(mapping.apply(pushed, np.zeros(4), state), [*HOME[:3], HOME[3] - 0.02], atol=1e-12)


def test_an_action_with_a_unit_is_a_displacement_and_its_size_must_fit():
    range_ = {"low": (-0.03,) * 3 + (-0.01,), "high": (0.03,) * 3 + (0.01,)}
    action = Tensor(name="action", dtype="float32", shape=("batch", 4), meaning="m", unit="m", **range_)
    mapping = action_mapping(SPECIFICATION, card(outputs=(action,)), 0.05, speed=0.5)
    np.testing.assert_allclose(mapping.high, range_["high"])
    target = mapping.apply(HOME, np.array([0.02, 0, 0, -0.01]), measured(HOME))
    np.testing.assert_allclose(target, moved(0.01, 0, 0, -0.005))
    short = action.model_copy(update={"high": (0.03,) * 3})
    for wrong in (card(outputs=(short,)), contract(SPECIFICATION, action_scale=(0.02,) * 3)):
        with pytest.raises(ArtifactError, match="3 actions, not 4"):
            action_mapping(SPECIFICATION, wrong, 0.05)


def test_limits_are_each_entry_s_own():
    limits = envelope(SPECIFICATION, SAFETY, RATE_HZ, speed=0.5)
    np.testing.assert_allclose(limits.low, [-0.3, -0.3, 0.3, 0.002])
    np.testing.assert_allclose(limits.high, [0.3, 0.3, 0.55, 0.037])
    np.testing.assert_allclose(limits.rate, [0.01, 0.01, 0.01, 0.0025])
    np.testing.assert_array_equal(limits.margin, 0.0)
    np.testing.assert_array_equal(limits.tracking, 0.15)
    with_rail = replace(SPECIFICATION, command=(Entry("rail_x", "slide", "m", -0.5, 0.5, 2.0, 0), GRIPPER))
    slide = envelope(with_rail, SAFETY.model_copy(update={"joint_speed": 0.1}), RATE_HZ)
    np.testing.assert_allclose(slide.rate, [0.1, 0.005])
    np.testing.assert_array_equal(slide.margin, 0.0)


wild = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-2, 2), st.just(1e30))
places = st.tuples(st.floats(-0.55, 0.55), st.floats(-0.4, 0.4), st.floats(0.15, 0.62), st.floats(-0.01, 0.05))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(wild, min_size=4, max_size=4), places, st.floats(-4, 4), st.floats(-0.3, 0.3)),
        min_size=1,
        max_size=6,
    ),
    places,
)
def test_commands_of_tool_and_gripper_keep_the_envelope_or_stop(steps, first):
    safe = guard()
    limits = safe.envelope
    try:
        memory = safe.start(measured(first))
    except SafetyStop:
        return
    for action, place, velocity, age in steps:
        before = memory
        try:
            memory, verdict = safe.step(memory, np.array(action), measured(place, velocity), {"robot": age})
        except SafetyStop:
            continue
        target, change = verdict.target, verdict.target - before.last
        assert np.isfinite(target).all()
        assert np.linalg.norm(change[:3]) <= limits.tool_step + 1e-12
        assert np.all(np.abs(change) <= limits.rate + 1e-12)
        assert np.all(target >= np.minimum(limits.low, before.last) - 1e-12)
        assert np.all(target <= np.maximum(limits.high, before.last) + 1e-12)
        np.testing.assert_array_equal(memory.tools, target[None, :3])


def test_what_limits_the_tool_leaves_the_gripper_alone_and_the_other_way_round():
    safe = guard()
    memory = safe.start(measured(HOME))
    out = np.array([0.5, 0, 0, -1.0])
    _, fast = guard(SAFETY.model_copy(update={"tool_speed": 0.1})).step(
        memory, np.array([1.0, 0, 0, -1.0]), measured(HOME), {}
    )
    assert fast.interventions == ("tool_speed",)
    np.testing.assert_allclose(fast.target - HOME, [0.005, 0, 0, -0.004], atol=1e-9)
    edge = measured([0.299, 0, 0.45, 0.03])
    _, box = safe.step(safe.start(edge), out, edge, {})
    assert box.interventions == ("workspace",)
    np.testing.assert_allclose(box.target, [0.3, 0, 0.45, 0.026], atol=1e-9)
    running = measured(HOME)
    running.joint_vel[3:] = 9.0  # fingers run fast: no reason to slow the tool down
    _, quick = safe.step(memory, np.array([1.0, 0, 0, -1.0]), running, {})
    assert quick.interventions == ()
    running.joint_vel[0] = 4.0
    _, slowed = safe.step(memory, np.array([1.0, 0, 0, -1.0]), running, {})
    assert slowed.interventions == ("joint_speed",)
    np.testing.assert_allclose(slowed.target - HOME, [0.01, 0, 0, -0.004], atol=1e-9)
    wide = Safety(tool_speed=0.4, joint_margin=0.05, workspace_low=(-1, -1, 0), workspace_high=(1, 1, 1))
    last = measured([0.448, 0, 0.45, 0.03])
    narrow = guard(wide)
    _, held = narrow.step(narrow.start(last), out, last, {})
    assert held.interventions == ("joint_limit",)
    np.testing.assert_allclose(held.target, [0.448, 0, 0.45, 0.026], atol=1e-9)


def test_an_entry_that_lags_is_named():
    safe = guard()
    memory, far = Memory(HOME, HOME[None, :3]), measured(moved(0, 0.2, 0, 0))
    with pytest.raises(SafetyStop, match=r"'y' is more than 0\.15 m off"):
        for _ in range(20):
            after, _ = safe.step(memory, np.zeros(4), far, {})
            memory = Memory(HOME, after.tools, after.tracking_steps)


class Push:
    """A policy that goes along y and closes the gripper."""

    def infer(self, inputs):
        return {"action": np.array([[0.0, 1.0, 0.0, -1.0]], np.float32)}


def rig_of(robot, clock):
    return Rig(robot, [], Push(), ObservationBuilder(card(), SPECIFICATION), guard(), clock)


def test_the_loop_moves_records_and_parks_a_robot_with_tool_and_gripper(tmp_path):
    clock = VirtualClock()
    robot = KinematicRobot(SPECIFICATION, clock)
    recorder = McapRecorder(tmp_path / "x.mcap", {"robot": "gantry"})
    log = run_episode(rig_of(robot, clock), Settings(RATE_HZ, 5, 2), Interrupt(), recorder=recorder)
    assert (log.outcome, log.steps, log.interventions.total()) == ("time", 5, 0)
    np.testing.assert_allclose(robot.read().tool[0, :3], moved(0, 0.1, 0, 0)[:3], atol=1e-5)
    np.testing.assert_allclose(robot.read().joint_pos[3:], HOME[3] - 0.02, atol=1e-9)
    np.testing.assert_allclose(read_recording(tmp_path / "x.mcap").column("target")[-1], robot.sent[-1].values)
    run_episode(rig_of(robot, clock), Settings(RATE_HZ, 2, 2, park=True), Interrupt())
    np.testing.assert_allclose(robot.sent[-1].values, HOME, atol=1e-9)
    np.testing.assert_allclose(robot.read().joint_pos[3:], HOME[3], atol=1e-9)


def test_the_twin_brings_tool_and_gripper_where_they_were_told():
    model, clock = build(), VirtualClock()
    twin = Twin(
        model, SPECIFICATION, clock, (), None, Faults(latency_s=(0.02, 0.02)), ToolLimits(0.65, 5.0), period_s=0.05
    )
    home = SPECIFICATION.joints_from_targets(np.array(SPECIFICATION.home))
    twin.reset(PlantStart(home, np.zeros(model.nv), np.array(SPECIFICATION.home)), 0)
    log = run_episode(rig_of(twin, clock), Settings(RATE_HZ, 5, 2), Interrupt())
    assert (log.outcome, log.steps) == ("time", 5)
    clock.sleep_until(clock.now() + 1.0)
    state = twin.read()
    np.testing.assert_allclose(state.tool[0, :3], moved(0, 0.1, 0, 0)[:3], atol=1e-3)
    np.testing.assert_allclose(state.joint_pos[JOINTS.index("left_finger")], HOME[3] - 0.02, atol=1e-3)
    with pytest.raises(SafetyStop, match="4 finite numbers"):
        twin.send(Target(HOME[:3]))


def test_a_card_is_held_against_the_entries():
    fits = contract(SPECIFICATION)
    assert robot_faults(fits, SPECIFICATION, RATE_HZ) == []
    swapped = fits.outputs[0].model_copy(update={"elements": ("x", "y", "gripper", "z")})
    found = robot_faults(fits.model_copy(update={"outputs": (swapped,)}), SPECIFICATION, RATE_HZ)
    assert found == ["the order of 'action' differs from the robot's (gripper for z)"]


@pytest.mark.parametrize("robot", ["gantry", "xarm7"])
def test_a_policy_that_asks_for_joint_targets_is_refused_where_no_joints_are_commanded(robot):
    """What the loop would hand it is the last command: tool positions under the name of joint targets."""
    specification = SPECIFICATION if robot == "gantry" else ROBOTS.load(robot)
    wanted = Tensor(
        name="joint_target", dtype="float32", shape=("batch", len(specification.targets)), meaning="last command"
    )
    fine = contract(specification)
    found = robot_faults(fine.model_copy(update={"inputs": (*fine.inputs, wanted)}), specification, RATE_HZ)
    assert found == ["it wants 'joint_target', and the robot is not commanded by its joint targets"]


@pytest.mark.parametrize("targets", [np.zeros(7), np.zeros(2)])
def test_recorded_commands_of_another_size_are_neither_exported_nor_fitted(tmp_path, targets):
    path = tmp_path / "other.mcap"
    recorder = McapRecorder(path, {"robot": "xarm7", "rate_hz": "20"})
    for number in range(30):
        step = {"step": number, "ages": {"robot": 0.0}, "joint_pos": np.zeros(7), "target": targets, "sent": True}
        recorder.step(number * 0.05, step, {})
    recorder.close({})
    profile = load_profile("xarm7-smoke").profile
    with pytest.raises(ArtifactError, match="has no commands for the robot"):
        latency.run([path], profile, "xarm7-smoke", tmp_path / "x.yaml", NullReporter())
    pytest.importorskip("pyarrow")
    with pytest.raises(ArtifactError, match="no commands for the robot"):
        lerobot.export([path], tmp_path / "set")
    assert not (tmp_path / "set").exists()
