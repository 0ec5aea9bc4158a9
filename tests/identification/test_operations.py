"""Recordings become traces, identifications become values of a profile, and a scene takes these values."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from s2rctl.cli.app import app
from s2rctl.cli.main import main
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.core.errors import ProfileError, UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.operations.identification import apply as applying
from s2rctl.operations.identification.traces import limited, trace_of, traces_of
from s2rctl.operations.identification.work import Work, bench_of, planned, scene_of
from s2rctl.pipeline.key import cache_key
from s2rctl.robots import ROBOTS
from s2rctl.schema.dynamics import Dynamics
from s2rctl.schema.identification import Found, Identification, JointErrors
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from s2rctl.systems import system_named

PERIOD = 0.05
OWN = {"pick": Dynamics(), "insertion": Dynamics()}


def found_of(**changed) -> Identification:
    gain, zero = {"kind": "gain", "unit": "N m/rad"}, {"kind": "zero", "unit": "rad", "nominal": 0.0}
    left, waist = {"joint": "left/elbow"}, {"joint": "left/waist"}
    rows = [
        {**gain, **left, "name": "left/elbow gain", "nominal": 227.0, "value": 200.0, "sigma": 4.0},
        {**gain, **waist, "name": "left/waist gain", "nominal": 43.0, "value": 43.0, "sigma": 21.0, "told": False},
        {**zero, **left, "name": "left/elbow zero", "value": 0.02, "sigma": 0.001},
        {"name": "delay", "kind": "delay", "unit": "s", "nominal": 0.04, "value": 0.05, "sigma": 0.001},
    ]
    parameters = tuple(Found(**({"told": True, "low": 0.0, "high": 0.0} | row)) for row in rows)
    errors = (JointErrors(joint="left/elbow", open_loop_before=0.02, open_loop_after=0.001, one_step_before=0.004,
                          one_step_after=0.001),)  # fmt: skip
    covariance = tuple(tuple(float(i == j) * one.sigma**2 for j in range(4)) for i, one in enumerate(parameters))
    values = dict(
        robot="aloha", mode="rehearse", method="", parameters=parameters,
        covariance=covariance, noise_rad=(0.001,), readings=10,
        seconds=10.0, errors=errors, action_weights=(0.0, 1.0), observation_weights=(0.8, 0.2),
    )  # fmt: skip
    return Identification(**(values | changed))


def write_recording(path: Path, specification, steps: int = 80, delay: int = 1, **changed) -> None:
    """Write a recording of an arm that is where it was told to be, some steps late."""
    header = {"robot": specification.name, "rate_hz": "20", "mode": "rehearse", "setpoint_speed": ""} | changed
    recorder = McapRecorder(path, header, images=False)
    home = specification.joints_from_targets(np.array(specification.home))
    way = 0.1 * np.sin(np.arange(steps) * PERIOD * 3.0)
    for number in range(steps):
        target = np.array(specification.home)
        target[1] += way[number]
        reading = home.copy()
        reading[1] += way[max(number - delay, 0)]
        values = {
            "step": number, "ages": {"robot": 0.01}, "joint_pos": reading, "joint_vel": 0 * reading, "codes": [],
            "target": target, "sent": changed.get("mode") != "shadow", "sent_ms": 2.0,
        }  # fmt: skip
        recorder.step(100.0 + number * PERIOD, values, {})
    recorder.close({"outcome": "time"})


@pytest.fixture(scope="module")
def profile():
    return load_profile("aloha", [], 0).profile


@pytest.fixture(scope="module")
def bench(profile):
    made = bench_of(profile)
    yield made
    made.close()


def work_of(profile, store, *files) -> Work:
    return Work(profile, Store(store), NullReporter(), Interrupt(), "recordings", tuple(files))


def test_a_trace_has_the_times_at_which_things_happened(tmp_path, profile, bench):
    write_recording(tmp_path / "a.mcap", bench.specification)
    trace = trace_of(read_recording(tmp_path / "a.mcap"), bench, profile, "a")
    assert trace.seen[0] == pytest.approx(0.0) and trace.times[0] == pytest.approx(0.012, abs=1e-6)
    np.testing.assert_allclose(np.diff(trace.seen), PERIOD, atol=1e-6)
    assert trace.joints.shape == (80, len(bench.joints)) and "left/gripper" not in bench.joints
    shoulder = bench.joints.index("left/shoulder")
    np.testing.assert_allclose(trace.joints[1:, shoulder], trace.targets[:-1, shoulder], atol=1e-9)


def test_set_points_follow_no_faster_than_the_device_lets_them():
    times, targets = np.array([0.0, 0.1]), np.array([[0.0], [0.05]])
    grid, way = limited(times, targets, 1.0, 0.3)
    assert way[np.searchsorted(grid, 0.125), 0] == pytest.approx(0.025, abs=2e-3)
    assert way[-1, 0] == pytest.approx(0.05) and np.diff(way[:, 0]).max() <= 1e-3 + 1e-12


@pytest.mark.parametrize(
    ("changed", "words"), [({"robot": "xarm7"}, "is from the robot"), ({"mode": "shadow"}, "shadow mode")]
)
def test_recordings_that_say_nothing_of_this_robot_are_refused(tmp_path, profile, bench, changed, words):
    write_recording(tmp_path / "a.mcap", bench.specification, **changed)
    with pytest.raises(UsageError, match=words):
        traces_of(work_of(profile, tmp_path, tmp_path / "a.mcap"), bench)


def test_excitation_keeps_to_the_joints_and_touches_nothing(profile, bench):
    specification = ROBOTS.load("aloha")
    ways, amplitude = planned(profile, bench, specification)
    assert len(ways) == profile.identification.rounds and 0.05 < amplitude <= profile.identification.amplitude_rad
    low, high = (np.array(limit)[bench.columns] for limit in (specification.joint_low, specification.joint_high))
    assert all(np.all((way > low) & (way < high)) for way in ways)


def test_what_is_told_is_written_and_the_rest_is_not():
    text = "extends: aloha\nname: mine\n# keep me\nrobot:\n  name: aloha\n"
    made = applying.written(text, found_of(), OWN, 2.0)
    values = yaml.safe_load(made)
    assert "# keep me" in made
    assert values["robot"]["motion"] == {"left/elbow": {"gain": 200}}
    dynamics = values["tasks"]["pick"]["dynamics"]
    assert dynamics["gain"] == [0.85, 1.15]  # the waist is not told: the profile's own range stays
    assert dynamics["joint_zero"] == [0, 0.022]
    assert values["tasks"]["insertion"]["delays"] == {"joint_action": [0, 1], "observation": [0.8, 0.2]}


def test_what_is_known_by_its_ratio_alone_is_not_drawn_apart():
    """Gain and damping of one joint: each may be 20 % off, their ratio 2 %."""
    rows = [
        {
            "name": f"left/elbow {kind}",
            "kind": kind,
            "joint": "left/elbow",
            "unit": "",
            "nominal": 100.0,
            "value": 100.0,
        }
        for kind in ("damping", "gain")
    ]
    parameters = tuple(Found(sigma=20.0, told=True, low=60.0, high=140.0, **row) for row in rows)
    shared = 0.995 * 400.0
    found = found_of(parameters=parameters, covariance=((400.0, shared), (shared, 400.0)))
    low, high = applying.ranges(found, Dynamics(), 2.0)["gain"]
    assert low >= 0.94 and high <= 1.06


def test_the_profile_with_an_identification_in_it_is_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(applying.written("extends: aloha\nname: mine\n", found_of(), OWN, 2.0))
    profile = load_profile(str(path), [], 0).profile
    model = scene_of(profile)
    actuator = model.actuator("left/elbow").id
    assert model.actuator_gainprm[actuator, 0] == 200.0 and model.actuator_biasprm[actuator, 1] == -200.0
    assert model.actuator_gainprm[model.actuator("right/elbow").id, 0] == 227.0


def test_a_joint_that_no_scene_has_is_refused():
    profile = load_profile("aloha", ["robot.motion={left/elbo: {gain: 50}}"], 0).profile
    with pytest.raises(ProfileError, match="no joint 'left/elbo'"):
        scene_of(profile)


def test_kept_results_still_count_while_nothing_was_identified(profile):
    """A field that came later is part of a key only once it says something."""
    (stage, *_) = system_named("aloha").training
    other = load_profile("aloha", ["robot.motion={left/elbow: {gain: 50}}"], 0).profile
    values = profile.model_dump(mode="json")
    values["robot"].pop("motion")
    from s2rctl.pipeline.key import read_fields

    assert "robot.motion" not in read_fields(stage, profile.model_dump(mode="json"))
    assert cache_key(stage, profile, {}) != cache_key(stage, other, {})


def test_live_recordings_need_consent(tmp_path):
    result = CliRunner().invoke(
        app, ["sysid", "collect", "-p", "aloha", "--mode", "live", "--json", "--store", str(tmp_path)]
    )
    assert "--arm" in json.loads(result.stdout)["error"]["message"]


def test_solving_without_recordings_names_the_command_that_makes_them(tmp_path):
    result = CliRunner().invoke(app, ["sysid", "solve", "-p", "aloha", "--json", "--store", str(tmp_path)])
    assert "sysid collect" in json.loads(result.stdout)["error"]["hint"]


def test_a_robot_that_was_never_identified_is_answered_with_the_commands_that_do_it(tmp_path, capsys):
    assert main(["sysid", "apply", "-p", "aloha-smoke", "--store", str(tmp_path)]) == 4
    error = capsys.readouterr().err
    assert "was never identified" in error and "s2rctl sysid solve -p aloha-smoke" in error
