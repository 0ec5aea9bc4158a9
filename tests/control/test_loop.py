from dataclasses import replace

import numpy as np
import pytest
from mcap.reader import make_reader

from s2rctl.control.action import action_mapping
from s2rctl.control.checksum import whole_metadata
from s2rctl.control.envelope import envelope
from s2rctl.control.loop import Rig, Settings, run_episode
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_steps
from s2rctl.control.safety import SafetyFilter
from s2rctl.control.trust import TrustLimits
from s2rctl.core.clock import RealClock, VirtualClock
from s2rctl.core.errors import ArtifactError
from s2rctl.core.interrupt import Interrupt
from s2rctl.robots.protocol import Frame, StopLevel
from s2rctl.schema.contract import Tensor
from s2rctl.schema.deployment import Safety
from tests.control.rigs import RATE_HZ, TINY, contract
from tests.driven import DrivenClock
from tests.kinematic_robot import KinematicRobot


class Script:
    """A policy that plays given actions, the last one for ever."""

    def __init__(self, *actions, hook=lambda step: None):
        self.actions, self.hook, self.inputs = actions, hook, []

    def infer(self, inputs):
        self.hook(len(self.inputs))
        self.inputs.append(inputs)
        return {"action": np.array([self.actions[min(len(self.inputs), len(self.actions)) - 1]], np.float32)}


class Camera:
    name = "eye"

    def __init__(self, clock, freeze_at=np.inf):
        self.clock, self.freeze_at = clock, freeze_at

    def latest(self):
        t = min(self.clock.now(), self.freeze_at)
        return Frame(t, np.full((4, 6, 3), 7, np.uint8), np.full((4, 6), 1234, np.uint16))

    def close(self):
        pass


def rig(policy, clock=None, cameras=(), specification=TINY, safety=None, card=None):
    clock = clock or VirtualClock()
    safety = safety or Safety(tool_speed=1.0)
    guard = SafetyFilter(
        envelope(specification, safety, RATE_HZ),
        action_mapping(specification, card or contract(specification), 0.05),
        specification,
    )
    card = card or contract(specification)
    return Rig(
        KinematicRobot(specification, clock),
        list(cameras),
        policy,
        ObservationBuilder(card, specification),
        guard,
        clock,
    )


SETTINGS = Settings(rate_hz=20.0, steps=10, max_missed_deadlines=2)


def test_a_virtual_clock_runs_in_lockstep_and_moves_the_robot():
    parts = rig(Script([1.0, 0.0, 0.0]))
    log = run_episode(parts, SETTINGS, Interrupt())
    assert (log.outcome, log.steps, log.missed) == ("time", 10, 0)
    assert parts.clock.now() == pytest.approx(0.5)
    assert parts.robot.read().joint_pos[0] == pytest.approx(0.2, abs=1e-6)
    assert log.timings.summary()["period"]["p50"] == pytest.approx(50.0)
    assert log.timings.rate_hz() == pytest.approx(20.0)
    assert parts.robot.stops == []


def test_the_goal_of_an_episode_ends_it():
    log = run_episode(
        rig(Script([1.0, 0, 0])), SETTINGS, Interrupt(), finished=lambda action, verdict: verdict.target[0] > 0.05
    )
    assert (log.outcome, log.steps) == ("finished", 3)


def test_a_bad_action_stops_softly_and_is_in_the_log():
    parts = rig(Script([0.5, 0, 0], [np.nan, 0, 0]))
    log = run_episode(parts, SETTINGS, Interrupt())
    assert (log.outcome, log.steps) == ("safety_stop", 1)
    assert "not finite" in log.reason
    assert parts.robot.stops == [StopLevel.SOFT]
    assert len(parts.robot.sent) == 1


def test_a_frozen_camera_stops_within_three_periods():
    clock = VirtualClock()
    parts = rig(Script([0.1, 0, 0]), clock, [Camera(clock, freeze_at=0.2)], card=camera_card())
    log = run_episode(parts, SETTINGS, Interrupt(), goal=np.zeros(3))
    assert log.outcome == "safety_stop"
    assert "'eye'" in log.reason
    assert clock.now() - 0.2 <= 3 * 0.05 + 1e-9


def test_interrupt_parks_from_the_last_command():
    flag = Interrupt()

    def ask(step):
        flag.requested = step == 4

    parts = rig(Script([1.0, 1.0, -1.0], hook=ask))
    log = run_episode(parts, SETTINGS, flag)
    assert (log.outcome, log.steps) == ("interrupted", 5)
    sent = np.stack([target.values for target in parts.robot.sent])
    assert np.allclose(sent[-1], TINY.home)
    jumps = np.abs(np.diff(sent, axis=0))
    assert np.all(jumps <= parts.filter.envelope.rate + 1e-9)
    assert np.all(jumps[5:] <= 0.5 * parts.filter.envelope.rate + 1e-9)


def test_a_second_interrupt_stops_hard():
    def kill(step):
        if step == 2:
            raise KeyboardInterrupt

    parts = rig(Script([1.0, 0, 0], hook=kill))
    with pytest.raises(KeyboardInterrupt):
        run_episode(parts, SETTINGS, Interrupt())
    assert parts.robot.stops == [StopLevel.HARD]


class Seer(Script):
    """Also says where it sees the tool: ``gap`` m beside where the robot has it."""

    gap, robot = 0.0, None

    def infer(self, inputs):
        seen = self.robot.read().tool[0, :3] + [self.gap, 0.0, 0.0]
        return super().infer(inputs) | {"position": seen[None].astype(np.float32)}


def trusting(gap, limits):
    policy = Seer([1.0, 0.0, 0.0])
    parts = replace(rig(policy), trust=limits)
    policy.gap, policy.robot = gap, parts.robot
    return parts


LIMITS = TrustLimits(slow_m=0.05, stop_m=0.1, patience=5)


@pytest.mark.parametrize(("gap", "share"), [(0.02, 1.0), (0.075, 0.5)])
def test_motion_slows_down_with_the_gap_between_the_seen_and_the_measured_tool(gap, share):
    parts = trusting(gap, LIMITS)
    log = run_episode(parts, SETTINGS, Interrupt())
    assert (log.outcome, log.steps) == ("time", 10)
    assert parts.robot.read().joint_pos[0] == pytest.approx(share * 0.2, rel=1e-3)
    assert log.interventions["position_gap"] == (10 if share < 1 else 0)


def test_a_policy_that_does_not_know_where_its_tool_is_moves_nothing_and_is_stopped():
    parts = trusting(0.3, LIMITS)
    log = run_episode(parts, SETTINGS, Interrupt())
    assert (log.outcome, log.steps) == ("safety_stop", LIMITS.patience - 1)
    assert "tool estimate is 20 cm" in log.reason
    assert parts.robot.read().joint_pos[0] == pytest.approx(TINY.home[0])


def test_without_limits_what_the_policy_sees_is_not_compared():
    parts = trusting(0.3, None)
    assert run_episode(parts, SETTINGS, Interrupt()).outcome == "time"
    assert parts.robot.read().joint_pos[0] == pytest.approx(0.2, abs=1e-6)


def test_an_unexpected_error_stops_the_robot_and_is_not_hidden():
    def fail(step):
        if step == 1:
            raise ZeroDivisionError("policy")

    parts = rig(Script([1.0, 0, 0], hook=fail))
    with pytest.raises(ZeroDivisionError):
        run_episode(parts, SETTINGS, Interrupt())
    assert parts.robot.stops == [StopLevel.SOFT]


def test_shadow_sends_nothing():
    parts = rig(Script([1.0, 0, 0]))
    log = run_episode(parts, Settings(20.0, 10, 2, send=False), Interrupt())
    assert log.steps == 10
    assert parts.robot.sent == []


def working(clock, seconds):
    """Return a loop that works ``seconds(step)`` in a step, and the list of when its steps begin."""
    begun = []

    def work(step):
        begun.append(clock.now())
        clock.sleep_until(clock.now() + seconds(step))

    return rig(Script([0.1, 0, 0], hook=work), clock), begun


def test_missed_deadlines_in_a_row_stop():
    parts, _ = working(VirtualClock(), lambda step: 0.012)
    log = run_episode(parts, Settings(100.0, 50, 3), Interrupt())
    assert log.outcome == "safety_stop"
    assert "missed in a row" in log.reason
    assert log.steps == log.missed == 4


def test_lost_steps_are_not_made_up():
    parts, begun = working(VirtualClock(), lambda step: 0.035 if step == 1 else 0.0)
    log = run_episode(parts, Settings(100.0, 6, 3), Interrupt())
    assert (log.outcome, log.missed) == ("time", 1)
    assert np.allclose(begun, [0.0, 0.01, 0.045, 0.05, 0.06, 0.07])


@pytest.mark.parametrize("make", [VirtualClock, DrivenClock])
def test_steps_begin_at_absolute_deadlines_however_long_the_work_takes(make):
    parts, begun = working(make(), lambda step: (0.0, 0.015, 0.005, 0.01)[step % 4])
    log = run_episode(parts, Settings(50.0, 25, 1), Interrupt())
    assert (log.outcome, log.missed) == ("time", 0)
    assert np.allclose(begun, begun[0] + np.arange(25) / 50.0)
    assert log.timings.rate_hz() == pytest.approx(50.0)


def test_each_step_is_judged_once_and_sent_alike_by_either_clock():
    actions = np.random.default_rng(0).uniform(-1, 1, (10, 3)) * [1, 1, 0.1]
    sent = []
    for clock in (VirtualClock(), RealClock()):
        parts = rig(Script(*actions), clock)
        targets, send, step, calls = [], parts.robot.send, parts.filter.step, []
        parts.robot.send = lambda target, keep=targets, send=send: (keep.append(target.values), send(target))
        parts.filter.step = lambda *asked, keep=calls, step=step: (keep.append(asked), step(*asked))[1]
        log = run_episode(parts, replace(SETTINGS, rate_hz=50.0), Interrupt())
        assert log.steps == len(targets) == 10
        assert len(calls) == 10
        sent.append(targets)
    np.testing.assert_array_equal(*sent)


def test_a_loop_that_falls_silent_is_stopped_by_the_watchdog():
    clock, silent_s = DrivenClock(), []

    def hang(step):
        if step == 3:
            clock.has_users(1)
            silent_s.append(clock.until(lambda: parts.robot.stops, 2.0))

    parts = rig(Script([0.1, 0, 0], hook=hang), clock)
    log = run_episode(parts, Settings(50.0, 50, 1000), Interrupt())
    assert parts.robot.stops[0] == StopLevel.SOFT
    assert 4 / 50.0 < silent_s[0] <= 5 / 50.0 + 0.005  # four periods, looked at four times as often
    assert (log.outcome, log.reason.split(":")[0]) == ("safety_stop", "the watchdog stopped the robot")


def camera_card():
    def tensor(name, dtype, *shape):
        return Tensor(name=name, dtype=dtype, shape=("batch", *shape), meaning=name)

    return contract(
        TINY,
        inputs=(
            tensor("joint_pos", "float32", 4),
            tensor("joint_target", "float32", 3),
            tensor("switched", "float32", 1),
            tensor("goal", "float32", 3),
            tensor("rgb_eye", "uint8", 4, 6, 3),
            tensor("depth_eye", "uint16", 4, 6),
        ),
    )


class Waking(KinematicRobot):
    """Its first measurements are old, as after a pause of all threads."""

    def __init__(self, specification, clock, old_reads):
        super().__init__(specification, clock)
        self.old_reads = old_reads

    def read(self):
        state = super().read()
        self.old_reads -= 1
        return replace(state, t=state.t - 1.0) if self.old_reads >= 0 else state


@pytest.mark.parametrize(("old_reads", "outcome", "steps"), [(20, "time", 5), (10**6, "safety_stop", 0)])
def test_the_loop_begins_when_its_sources_are_young_but_does_not_wait_for_ever(old_reads, outcome, steps):
    clock = DrivenClock()
    parts = replace(rig(Script([0.1, 0, 0]), clock), robot=Waking(TINY, clock, old_reads))
    log = run_episode(parts, Settings(20.0, 5, 10), Interrupt())
    assert (log.outcome, log.steps) == (outcome, steps)
    assert clock.now() < 2.0


def test_inputs_are_named_typed_and_complete():
    clock = VirtualClock()
    policy = Script([1.0, 1.0, 0.0])
    parts = rig(policy, clock, [Camera(clock)], card=camera_card())
    run_episode(parts, SETTINGS, Interrupt(), goal=np.array([0.1, 0.2, 0.3]))
    first, second = policy.inputs[0], policy.inputs[1]
    assert set(first) == {"joint_pos", "joint_target", "switched", "goal", "rgb_eye", "depth_eye"}
    assert (first["rgb_eye"].dtype, first["depth_eye"].dtype) == (np.uint8, np.uint16)
    assert first["goal"].dtype == np.float32
    assert np.allclose(second["joint_target"] - first["joint_target"], [[0.02, 0.02, 0]], atol=1e-6)


def test_a_missing_goal_and_an_unknown_input_are_named():
    clock = VirtualClock()
    parts = rig(Script([0.0, 0, 0]), clock, [Camera(clock)], card=camera_card())
    with pytest.raises(ArtifactError, match="'goal'"):
        run_episode(parts, SETTINGS, Interrupt())
    card = contract(TINY, inputs=(Tensor(name="box_pos", dtype="float32", shape=("batch", 3), meaning="box"),))
    with pytest.raises(ArtifactError, match="box_pos"):
        ObservationBuilder(card, TINY)


def test_the_switch_latches(tmp_path):
    card = contract(TINY, inputs=(Tensor(name="switched", dtype="float32", shape=("batch", 1), meaning="flag"),))
    policy = Script(*[[0, -1.0, 0]] * 8, *[[0, 1.0, 0]] * 10)
    parts = rig(policy, card=card)
    run_episode(parts, Settings(20.0, 15, 2), Interrupt())
    flags = [int(inputs["switched"][0, 0]) for inputs in policy.inputs]
    assert flags[0] == 0 and flags[-1] == 1
    assert flags == sorted(flags)
    parts.builder.reset()
    assert not parts.builder.switch.switched


def test_recordings_hold_every_step_and_survive_truncation(tmp_path):
    clock = VirtualClock()
    path = tmp_path / "episode.mcap"
    parts = rig(Script([0.3, 0, 0], [np.inf, 0, 0]), clock, [Camera(clock)])
    recorder = McapRecorder(path, {"onnx": "abc"})
    run_episode(parts, SETTINGS, Interrupt(), recorder=recorder)
    recorder = McapRecorder(tmp_path / "long.mcap", {"onnx": "abc"})
    run_episode(rig(Script([0.3, 0, 0]), clock, [Camera(clock)]), SETTINGS, Interrupt(), recorder=recorder)
    with path.open("rb") as file:
        reader = make_reader(file)
        topics = [channel.topic for _, channel, _ in reader.iter_messages()]
        outcome = {item.name: item.metadata for item in reader.iter_metadata()}
    assert topics.count("/step") == 1
    assert {"/rgb_eye", "/depth_eye"} <= set(topics)
    assert whole_metadata("s2rctl", outcome["s2rctl"]) == {"onnx": "abc"}
    assert outcome["s2rctl.outcome"]["outcome"] == "safety_stop"
    cut = tmp_path / "cut.mcap"
    whole = (tmp_path / "long.mcap").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert [step["step"] for step in read_steps(tmp_path / "long.mcap")] == list(range(10))
    assert 3 <= len(read_steps(cut)) <= 6
