"""A policy with memory on the robot computer: it counts its inferences, and its action tells how far it has counted."""

import json
from dataclasses import replace

import numpy as np
import pytest
from mcap.reader import make_reader

from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import envelope
from s2rctl.control.loop import RECORDED_MEMORY, Rig, Settings, run_episode
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.policy import Policy
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.control.safety import SafetyFilter
from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import ArtifactError, SafetyStop
from s2rctl.core.interrupt import Interrupt
from s2rctl.operations.recordings.replay import summary
from s2rctl.robots.poses import tool_poses
from s2rctl.robots.protocol import Frame, State
from s2rctl.schema.contract import Memory, Tensor
from s2rctl.schema.deployment import Safety
from tests.control.rigs import RATE_HZ, TINY, contract, write_policy
from tests.kinematic_robot import KinematicRobot

COUNT = Memory(name="count", shape=(2, 3))
SETTINGS = Settings(rate_hz=RATE_HZ, steps=6, max_missed_deadlines=2)


class Camera:
    """Delivers a new frame when the list of its frame times says so."""

    def __init__(self, clock, times, name="eye"):
        self.clock, self.times, self.name = clock, times, name

    def latest(self):
        t = max(t for t in self.times if t <= self.clock.now() + 1e-9)
        return Frame(t, np.zeros((4, 6, 3), np.uint8), None)

    def close(self):
        pass


def card(*cameras, memory=(COUNT,)):
    made = contract(TINY, memory=memory)
    images = [Tensor(name=f"rgb_{name}", dtype="uint8", shape=("batch", 4, 6, 3), meaning=name) for name in cameras]
    return made.model_copy(update={"inputs": (*made.inputs, *images)})


class Told:
    """A policy, and what it was given as memory and as an action said at every inference."""

    def __init__(self, policy):
        self.policy, self.counts, self.actions = policy, [], []

    def infer(self, inputs):
        outputs = self.policy.infer(inputs)
        self.counts.append(float(np.mean(inputs["memory_in/count"])))
        self.actions.append(float(outputs["action"][0, 0]))
        return outputs


def rig(tmp_path, *times, memory=(COUNT,)):
    clock = VirtualClock()
    names = [f"eye{number}" for number in range(len(times))]
    made = card(memory=memory)
    policy = Told(Policy(write_policy(tmp_path / "p.onnx", made, np.zeros(3)), TINY, RATE_HZ))
    seen = card(*names, memory=memory)  # the graph is told of no camera, the builder is
    guard = SafetyFilter(
        envelope(TINY, Safety(tool_speed=1.0, max_age_periods=10), RATE_HZ), action_mapping(TINY, seen, 0.05), TINY
    )
    eyes = [Camera(clock, list(values), name) for name, values in zip(names, times, strict=True)]
    builder = ObservationBuilder(seen, TINY)
    inputs = Blind(policy, names)
    return Rig(KinematicRobot(TINY, clock), eyes, inputs, builder, guard, clock), policy


class Blind:
    """Takes the images away from a policy that has none."""

    def __init__(self, policy, names):
        self.policy, self.names = policy, [f"rgb_{name}" for name in names]

    def infer(self, inputs):
        return self.policy.infer({name: value for name, value in inputs.items() if name not in self.names})


def test_a_policy_offers_the_memory_of_an_episode_that_begins(tmp_path):
    memory = (COUNT, Memory(name="where", shape=(2,), initial=(0.25, -1.0)), Memory(name="gain", shape=(), initial=3))
    policy = Policy(write_policy(tmp_path / "p.onnx", card(memory=memory), np.zeros(3)), TINY, RATE_HZ)
    found = policy.initial()
    assert {name: value.tolist() for name, value in found.items()} == {
        "count": [[[0.0] * 3] * 2],
        "where": [[0.25, -1.0]],
        "gain": [3.0],
    }
    assert all(value.dtype == np.float32 for value in found.values())
    outputs = policy.infer(policy.zeros())
    assert outputs["memory_out/where"].tolist() == [[1.25, 0.0]]
    assert outputs["action"][0, 0] == pytest.approx(0.0 + (0.25 - 1.0) / 2 + 3.0)
    without = Policy(write_policy(tmp_path / "q.onnx", contract(TINY), np.zeros(3)), TINY, RATE_HZ)
    assert without.initial() == {}


def test_memory_is_carried_from_step_to_step_and_begins_anew_with_an_episode(tmp_path):
    parts, policy = rig(tmp_path)
    for _ in range(2):
        assert run_episode(parts, SETTINGS, Interrupt()).outcome == "time"
    assert policy.counts == [0, 1, 2, 3, 4, 5] * 2
    assert policy.actions == [0, 1, 2, 3, 4, 5] * 2


def test_an_episode_begins_with_the_initial_value_of_the_contract(tmp_path):
    parts, policy = rig(tmp_path, memory=(replace_initial(COUNT, -2.0),))
    run_episode(parts, SETTINGS, Interrupt())
    assert policy.counts == [-2, -1, 0, 1, 2, 3]


def replace_initial(memory, value):
    return memory.model_copy(update={"initial": value})


def test_a_step_without_a_new_frame_leaves_the_memory_as_it_was(tmp_path):
    parts, policy = rig(tmp_path, [0.0, 0.05, 0.2, 0.25])  # the frames of 0.1 and 0.15 s are dropped
    log = run_episode(parts, SETTINGS, Interrupt())
    assert log.steps == 6  # the policy was asked at every step
    assert policy.counts == [0, 1, 2, 2, 2, 3]
    assert policy.actions == policy.counts


def test_one_camera_with_a_new_frame_is_enough(tmp_path):
    parts, policy = rig(tmp_path, [0.0, 0.1], [0.0, 0.05])
    run_episode(parts, SETTINGS, Interrupt())
    assert policy.counts == [0, 1, 2, 3, 3, 3]


def test_an_episode_that_begins_with_the_frame_that_the_last_one_ended_with_remembers_it(tmp_path):
    parts, policy = rig(tmp_path, [0.0])
    for _ in range(2):
        run_episode(parts, replace(SETTINGS, steps=3), Interrupt())
    assert policy.counts == [0, 1, 1] * 2


def test_frames_of_cameras_that_the_policy_does_not_see_do_not_count(tmp_path):
    parts, policy = rig(tmp_path, [0.0])
    assert parts.builder.cameras == ("eye0",)
    state = State(0.0, np.zeros(4), np.zeros(4), tool_poses(TINY, np.zeros(4)))
    for number in range(3):
        frames = {"eye0": Frame(0.0, np.zeros((4, 6, 3), np.uint8)), "other": Frame(float(number), np.zeros((1, 1, 3)))}
        inputs = parts.builder.build(state, frames, np.zeros(3), None)
        parts.builder.remember(parts.policy.infer(inputs))
    assert policy.counts == [0, 1, 1]


def test_memory_that_is_not_finite_stops_the_robot(tmp_path):
    parts, policy = rig(tmp_path)

    class Diverging:
        def infer(self, inputs):
            outputs = policy.infer(inputs)
            if len(policy.counts) == 3:
                outputs["memory_out/count"][0, 1, 2] = np.nan
            return outputs

    log = run_episode(replace(parts, policy=Diverging()), SETTINGS, Interrupt())
    assert (log.outcome, log.steps) == ("safety_stop", 2)
    assert "memory 'count' is not finite" in log.reason
    assert len(parts.robot.sent) == 2


def test_memory_among_the_measured_inputs_is_none_that_the_robot_computer_has():
    made = contract(TINY)
    odd = Tensor(name="memory_in/count", dtype="float32", shape=("batch", 1), meaning="")
    with pytest.raises(ArtifactError, match="cannot provide: memory_in/count"):
        ObservationBuilder(made.model_copy(update={"inputs": (*made.inputs, odd)}), TINY)


def test_a_recording_holds_what_the_policy_remembered_and_replay_names_it(tmp_path):
    parts, _ = rig(tmp_path)
    path = tmp_path / "episode.mcap"
    run_episode(parts, SETTINGS, Interrupt(), recorder=McapRecorder(path, {"robot": "aloha"}))
    recording = read_recording(path)
    assert [step["memory"]["count"] for step in recording.steps] == [[[float(n)] * 3] * 2 for n in range(6)]
    assert all(set(step["outputs"]) == {"action"} for step in recording.steps)
    assert summary(recording)["memory"] == ["count"]


@pytest.mark.parametrize("memory", [(), (Memory(name="count", shape=(RECORDED_MEMORY + 1,)),)])
def test_a_recording_of_no_memory_or_of_a_large_one_holds_none(tmp_path, memory):
    parts, policy = rig(tmp_path, memory=memory)
    parts = parts if memory else replace(parts, policy=policy.policy)
    path = tmp_path / "episode.mcap"
    run_episode(parts, SETTINGS, Interrupt(), recorder=McapRecorder(path, {"robot": "aloha"}))
    with path.open("rb") as stream:
        steps = [
            json.loads(m.data) for _, channel, m in make_reader(stream).iter_messages() if channel.topic == "/step"
        ]
    assert len(steps) == 6 and all("memory" not in step for step in steps)
    assert "memory" not in summary(read_recording(path))


def test_the_builder_refuses_memory_that_is_not_finite():
    builder = ObservationBuilder(card(), TINY)
    with pytest.raises(SafetyStop, match="not finite"):
        builder.remember({"memory_out/count": np.full((1, 2, 3), np.inf, np.float32)})
