"""The perception check: its filter, what it compares with, and the loop that it stops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.control.loop import Settings, run_episode
from s2rctl.control.perception import (
    Limits,
    Monitor,
    Track,
    Window,
    filtered,
    limit_of,
    limits_of,
    require,
    running,
    update,
)
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import PerceptionStop, SafetyStop
from s2rctl.core.exits import ExitCode
from s2rctl.core.interrupt import Interrupt
from s2rctl.robots import ROBOTS
from s2rctl.robots.holding import Fingers, fingers_of
from s2rctl.robots.protocol import Frame, State, StopLevel
from s2rctl.schema.contract import Estimate
from s2rctl.schema.deployment import Perception
from tests.control.rigs import TINY
from tests.control.test_loop import SETTINGS, Script, rig

TOOL = np.array([0.4, 0.0, 0.15])
LIMITS = Limits("position", "gripper", 0, limit_m=0.05, frames=7, speed=0.5)
FRAMES = st.integers(1, 12)
ERRORS = st.floats(0, 1).filter(lambda error: abs(error - LIMITS.limit_m) > 1e-9)  # at the limit rounding decides


def reading(t, place=TOOL):
    tool = np.concatenate([place, [1, 0, 0, 0]])[None]
    return State(t, np.zeros(4), np.zeros(4), tool)


def off(y=0.0, x=0.0):
    return TOOL + np.array([x, y, 0.0])


def see(errors, limits=LIMITS, period=0.05):
    """Return the window after images that are off by ``errors`` m each, or the step at which the check stops."""
    window, track = Window(), Track()
    for number, error in enumerate(errors):
        track = track.after(reading(number * period))
        window = update(window, limits, track, [number * period], off(error))
        try:
            require(window, limits)
        except PerceptionStop:
            return number
    return window


@given(st.lists(st.floats(0, LIMITS.limit_m - 1e-6), max_size=60), FRAMES)
def test_errors_below_the_limit_never_stop(errors, frames):
    assert isinstance(see(errors, replace(LIMITS, frames=frames)), Window)


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(LIMITS.limit_m + 1e-6, 1e6), FRAMES)
def test_whatever_was_seen_before_bad_images_stop_after_more_than_half_the_filter(before, bad, frames):
    limits = replace(LIMITS, frames=frames)
    stopped = see([*before, *[bad] * frames], limits)
    assert isinstance(stopped, int)
    assert stopped < len(before) + frames // 2 + 1


@given(st.lists(ERRORS, min_size=1, max_size=40), FRAMES)
def test_at_most_half_of_the_images_may_be_bad(errors, frames):
    limits = replace(LIMITS, frames=frames)
    windows = [errors[max(0, end - frames) : end] for end in range(1, len(errors) + 1)]
    expected = next((i for i, w in enumerate(windows) if sum(e > 0.05 for e in w) > frames // 2), None)
    found = see(errors, limits)
    assert found == expected if expected is not None else isinstance(found, Window)


@given(st.lists(ERRORS, max_size=20), st.sampled_from([np.nan, np.inf, -np.inf]), FRAMES)
def test_an_estimate_that_is_not_finite_stops_at_once(before, nonsense, frames):
    limits = replace(LIMITS, frames=frames, limit_m=2.0)
    assert see([*before, nonsense], limits) == len(before)


@given(st.lists(st.tuples(ERRORS, st.integers(1, 5)), min_size=1, max_size=20), FRAMES)
def test_a_dropped_frame_does_not_advance_the_filter(images, frames):
    limits, once, many = replace(LIMITS, frames=frames), Window(), Window()
    track, t = Track(), 0.0
    for error, repeats in images:
        shown = t = t + 0.05
        track = track.after(reading(t))
        once = update(once, limits, track, [shown], off(error))
        for _ in range(repeats):
            many = update(many, limits, track, [shown], off(error))
            t += 0.05
            track = track.after(reading(t))
    assert once == many
    assert len(once.errors) <= frames


@given(st.lists(ERRORS, max_size=30), FRAMES)
def test_the_filtered_error_is_one_of_the_last_and_running_is_filtered_of_each_beginning(errors, frames):
    assert filtered(errors, frames) in (0.0, *errors[-frames:])
    assert running(errors, frames) == [filtered(errors[: i + 1], frames) for i in range(len(errors))]


def test_an_estimate_is_compared_with_the_tool_at_the_image_s_capture_time():
    track = Track()
    for number in range(5):  # 0.4 m/s
        track = track.after(reading(0.05 * number, off(x=0.02 * number)))
    place, unknown = track.at(0.075, 0)
    assert place == pytest.approx(off(x=0.03)) and unknown == 0.0
    window = update(Window(), LIMITS, track, [0.075], off(x=0.03))
    assert window.errors[0] == pytest.approx(0.0, abs=1e-9)
    late = update(Window(), LIMITS, track, [0.2], off(x=0.03))
    assert late.errors[0] == pytest.approx(0.05)


def test_before_the_first_reading_only_what_motion_cannot_explain_is_an_error():
    track = Track().after(reading(1.0))
    for t in (0.9, 1.1):
        assert update(Window(), LIMITS, track, [t], off(0.04)).errors == (0.0,)
        assert update(Window(), LIMITS, track, [t], off(0.12)).errors[0] == pytest.approx(0.12 - 0.1 * LIMITS.speed)


def test_of_two_cameras_the_image_that_fits_counts_and_one_new_image_is_enough():
    track = Track().after(reading(0.0)).after(reading(0.1, off(0.06)))
    window = update(Window(), LIMITS, track, [0.0, 0.1], off(0.06))
    assert window.errors[0] == pytest.approx(0.0, abs=1e-9)
    assert len(update(window, LIMITS, track, [0.05, 0.1], off(0.06)).errors) == 2


def test_readings_that_are_not_finite_or_older_are_left_to_the_safety_filter():
    track = Track().after(reading(1.0))
    assert track.after(reading(1.1, off(np.nan))) is track
    assert track.after(reading(0.5, off(1.0))) is track
    assert update(Window(), LIMITS, Track(), [0.0], off(1.0)) == Window()


HELD = replace(LIMITS, output="object_wrist", fingers=Fingers(joint=3, entry=0), camera="wrist")
CLOSED = np.zeros(1)


@given(st.lists(ERRORS, min_size=1, max_size=20), FRAMES)
def test_what_a_hand_holds_is_at_its_fingertips_wherever_the_hand_is(errors, frames):
    limits, window = replace(HELD, frames=frames), Window()
    track = Track().after(reading(0.0, off(x=7.0)))
    for number, error in enumerate(errors):
        window = update(window, limits, track, [0.05 * number], np.array([0.0, -error, 0.0]))
    assert window.errors == pytest.approx(errors[-frames:])


def fingers(t, at, speed=0.0):
    return replace(reading(t), joint_pos=np.array([0, 0, 0, at]), joint_vel=np.array([0, 0, 0, speed]))


def told(way):
    return {"object_wrist": np.array([[way, 0.0, 0.0]])}


def test_fingers_that_rest_on_something_tell_of_an_object_that_seems_elsewhere():
    monitor = Monitor([HELD])
    for number in range(20):  # close by, in the hand
        monitor.step(fingers(0.05 * number, 0.01), {"wrist": 0.05 * number}, told(0.005), CLOSED)
    with pytest.raises(PerceptionStop, match=r"object that .gripper. holds seems 8\.0 cm or more from its fingertips"):
        for number in range(20, 30):
            monitor.step(fingers(0.05 * number, 0.01), {"wrist": 0.05 * number}, told(0.08), CLOSED)


@pytest.mark.parametrize(("at", "speed"), [(0.002, 0.0), (0.02, -0.03), (0.0, 0.0)])
def test_open_closed_and_moving_fingers_hold_nothing_so_the_object_may_be_anywhere(at, speed):
    monitor = Monitor([HELD])
    for number in range(20):
        monitor.step(fingers(0.05 * number, at, speed), {"wrist": 0.05 * number}, told(0.3), CLOSED)
    assert monitor.errors()["object_wrist"]["filtered_m"] == 0
    with pytest.raises(PerceptionStop, match="not finite"):
        monitor.step(fingers(1.0, at, speed), {"wrist": 1.0}, told(np.nan), CLOSED)


def test_images_of_the_other_hand_do_not_count_for_this_one():
    monitor = Monitor([HELD])
    for number in range(20):
        captured = {"wrist": 0.0, "other": 0.05 * number}
        monitor.step(fingers(0.05 * number, 0.01), captured, told(0.08), CLOSED)
    assert monitor.errors()["object_wrist"]["filtered_m"] == 0, "one bad image, however often it is looked at"


def test_aloha_has_fingers_on_each_arm_and_the_xarm_has_none():
    aloha, xarm = ROBOTS.load("aloha"), ROBOTS.load("xarm7")
    found = [fingers_of(aloha, tool) for tool in aloha.tools]
    assert [aloha.joints[each.joint] for each in found] == ["left/left_finger", "right/left_finger"]
    assert [aloha.command[each.entry].name for each in found] == ["left/gripper", "right/gripper"]
    assert fingers_of(xarm, "tcp") is None


FIGURES = {"median_m": 0.01, "p95_m": 0.02, "p99_m": 0.03, "filtered_max_m": 0.025, "filter_s": 0.35, "episodes": 64}


def test_the_limit_is_a_multiple_of_the_export_s_own_errors_but_not_less_than_a_centimetre():
    estimate = Estimate(output="position", of="gripper", **FIGURES)
    assert limit_of(estimate, Perception(factor=3)) == pytest.approx(0.06)
    assert limit_of(estimate.model_copy(update={"p95_m": 1e-6}), Perception()) == 0.01
    (limits,) = limits_of((estimate,), Perception(factor=2.5, filter_s=0.35), TINY, 20.0, 0.25)
    assert (limits.arm, limits.frames, limits.speed) == (0, 7, 0.25)
    assert limits.limit_m == pytest.approx(0.05)


class Late:
    """A camera whose images are ``age`` s old, and do not come where ``drop(t)``."""

    name = "eye"

    def __init__(self, clock, age=0.0, drop=lambda t: False):
        self.clock, self.age, self.drop, self.t = clock, age, drop, -1.0

    def latest(self):
        t = self.clock.now() - self.age
        if not self.drop(t):
            self.t = t
        return Frame(self.t, np.zeros((4, 6, 3), np.uint8))

    def close(self):
        pass


class Seer(Script):
    """Estimates the tool at the image's capture time, ``gap(step)`` m off."""

    def __init__(self, *actions, gap):
        super().__init__(*actions)
        self.gap, self.past = gap, []

    def infer(self, inputs):
        self.past.append((self.parts.clock.now(), self.parts.robot.read().tool[0, :3]))
        times = [t for t, _ in self.past]
        camera = self.parts.cameras[0]
        place = np.array([np.interp(camera.t, times, column) for column in np.array([p for _, p in self.past]).T])
        estimate = place + np.array([0.0, 0.0, self.gap(len(self.inputs))])
        return super().infer(inputs) | {"position": estimate[None].astype(np.float32)}


def watched(gap, age=0.0, drop=lambda t: False, limits=(LIMITS,), action=(1.0, 0.0, 0.0)):
    policy, clock = Seer(action, gap=gap), VirtualClock()
    parts = replace(rig(policy, clock, [Late(clock, age, drop)]), perception=limits)
    policy.parts = parts
    return parts


LONG = Settings(rate_hz=20.0, steps=30, max_missed_deadlines=2)


def test_a_failed_check_stops_the_robot_and_says_why():
    parts = watched(lambda step: 0.3 if step >= 10 else 0.01)
    log = run_episode(parts, LONG, Interrupt())
    assert (log.outcome, log.stop, log.steps) == ("safety_stop", "perception", 13)  # the fourth of seven
    assert "estimate of 'gripper' is 30.0 cm" in log.reason and "limit 5.0 cm" in log.reason
    assert parts.robot.stops == [StopLevel.SOFT]
    assert len(parts.robot.sent) == 13
    stop = log.error("look at it")
    assert isinstance(stop, PerceptionStop) and stop.exit_code == ExitCode.SAFETY
    assert "camera" in stop.hint and stop.hint.endswith("look at it")
    assert log.perception["position"]["filtered_max_m"] == pytest.approx(0.3, abs=1e-4)


def test_another_stop_is_of_another_kind():
    log = run_episode(watched(lambda step: 0.0, action=(np.nan, 0, 0)), LONG, Interrupt())
    assert (log.outcome, log.stop) == ("safety_stop", "safety")
    assert type(log.error("")) is SafetyStop


@pytest.mark.parametrize("bad", [(5, 6, 7), (3, 5, 20, 22)])
def test_a_few_bad_images_stop_nothing(bad):
    log = run_episode(watched(lambda step: 1.0 if step in bad else 0.01), LONG, Interrupt())
    assert (log.outcome, log.stop, log.reason) == ("time", "", "")


def test_nonsense_stops_before_anything_is_sent():
    log = run_episode(parts := watched(lambda step: np.nan), LONG, Interrupt())
    assert (log.stop, log.steps) == ("perception", 0)
    assert "not finite" in log.reason and not parts.robot.sent


def test_a_late_image_is_no_error_of_the_policy():
    # 0.4 rad/s at 0.4 m: the tool is 1.6 cm further on than in an image from 0.1 s ago.
    late = watched(lambda step: 0.0, age=0.1, limits=(replace(LIMITS, limit_m=0.01),))
    log = run_episode(late, LONG, Interrupt())
    assert log.outcome == "time"
    assert log.perception["position"]["filtered_max_m"] < 0.002
    assert run_episode(watched(lambda step: 0.1, age=0.1), LONG, Interrupt()).stop == "perception"


def test_missing_frames_stop_by_their_age_and_not_by_estimates_from_the_old_one():
    strict = replace(LIMITS, frames=1)
    parts = watched(lambda step: 0.3 if step >= 4 else 0.0, drop=lambda t: t > 0.16, limits=(strict,))
    log = run_episode(parts, LONG, Interrupt())
    assert (log.outcome, log.stop) == ("safety_stop", "safety")
    assert "'eye'" in log.reason and log.steps > 4
    assert log.perception["position"]["filtered_max_m"] < 1e-6


def test_a_policy_without_figures_in_its_contract_is_not_checked():
    log = run_episode(watched(lambda step: 0.5, limits=()), LONG, Interrupt())
    assert (log.outcome, log.perception) == ("time", {})


def test_the_error_is_recorded_with_each_step_and_the_limit_with_the_outcome(tmp_path):
    parts = watched(lambda step: 0.02 + 0.01 * step, limits=(replace(LIMITS, limit_m=0.055),))
    log = run_episode(parts, SETTINGS, Interrupt(), recorder=McapRecorder(tmp_path / "a.mcap", {"robot": "aloha"}))
    recording = read_recording(tmp_path / "a.mcap")
    seen = [step["perception"]["position"] for step in recording.steps]
    assert [item["error_m"] for item in seen] == pytest.approx([0.02 + 0.01 * n for n in range(7)], abs=1e-6)
    assert [item["filtered_m"] for item in seen] == pytest.approx([0, 0, 0, 0.02, 0.03, 0.04, 0.05], abs=1e-6)
    assert (recording.outcome["stop"], log.steps) == ("perception", 7)
    assert recording.outcome["perception"]["position"]["limit_m"] == 0.055
    blind = McapRecorder(tmp_path / "b.mcap", {"robot": "aloha"})
    run_episode(rig(Script([0, 0, 0])), SETTINGS, Interrupt(), recorder=blind)
    assert "perception" not in read_recording(tmp_path / "b.mcap").steps[0]
