"""Rehearsals in which the genuine SDK speaks to an emulated device in another process."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")
pytest.importorskip("xarm", reason="the vendor's SDK is an extra")

from s2rctl.control.recording import read_steps
from s2rctl.core.errors import SafetyStop
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.emulation.faults import Faults
from s2rctl.operations.rehearsal import wire
from s2rctl.pipeline.graph import graph_of, stage_named
from s2rctl.robots import ROBOTS
from s2rctl.schema.contract import Contract, Tensor
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import StageRef
from s2rctl.stages import deploy
from s2rctl.stages.protocol import Context
from s2rctl.store.store import Store
from tests.control.rigs import scale_of, write_policy
from tests.waiting import wait_for

STAGE = stage_named(graph_of("aloha"), "rehearse")

pytestmark = pytest.mark.paced

LOOP_SETTINGS = deploy.loop_settings
STEPS = 12
PROFILES = {"aloha": "aloha-smoke", "xarm7": "xarm7-smoke"}
LENIENT = [  # real time, on a test machine that may be busy: limits of time may only catch a hang
    "deploy.safety.max_age_periods=200",
    "deploy.safety.max_state_age_periods=20",
    "deploy.safety.max_missed_deadlines=1000",
    "deploy.safety.device_watchdog_s=2.54",
]


def settings(robot):
    length = "tasks.insertion.episode_steps" if robot == "aloha" else "tasks.reach.episode_steps"
    return [*LENIENT, f"{length}={STEPS}", "deploy.rehearsal.episodes=2", "deploy.rehearsal.through=driver"]


def card(robot):
    specification = ROBOTS.load(robot)
    joints, targets = specification.joints, specification.targets

    def tensor(name, size, elements=(), **more):
        return Tensor(name=name, dtype="float32", shape=("batch", size), meaning=name, elements=elements, **more)

    action = (
        tensor("action", 14, targets)
        if robot == "aloha"
        else tensor("action", 3, unit="m", low=(-0.03,) * 3, high=(0.03,) * 3)
    )
    return Contract(
        policy="test",
        robot=robot,
        rate_hz=20.0,
        inputs=(tensor("joint_pos", len(joints), joints),),
        outputs=(action,),
        action_meaning="test",
        action_scale=scale_of(specification),
    )


def context(tmp_path, robot, action, sets=()):
    profile = load_profile(PROFILES[robot], [*settings(robot), *sets]).profile
    store = Store(tmp_path / "store")
    path = write_policy(tmp_path / "policy.onnx", card(robot), np.array(action))
    onnx = store.publish(
        "onnx",
        "test",
        {"policy.onnx": path},
        stage=StageRef(name="test", version=1),
        profile=profile.model_dump(mode="json"),
        seed=0,
        contract=card(robot),
    )
    run = tmp_path / "run"
    run.mkdir()
    return Context(STAGE, profile, {"onnx": onnx}, store, run, NullReporter(), Interrupt())


@pytest.fixture(scope="module")
def rehearsals():
    """Compile one rig per robot for all tests of this file."""
    made, make = {}, wire.make_rehearsal

    def made_for(robot):
        if robot not in made:
            made[robot] = make(load_profile(PROFILES[robot], settings(robot)).profile, Faults())
        return made[robot]

    yield made_for
    for one in made.values():
        one.close()


class Borrowed:
    """A rig that a rehearsal does not close for good."""

    def __init__(self, rehearsal):
        self._rehearsal = rehearsal

    def __getattr__(self, name):
        return getattr(self._rehearsal, name)

    def close(self):
        self._rehearsal.robot.close()


@pytest.fixture(autouse=True)
def shared(monkeypatch, rehearsals):
    monkeypatch.setattr(deploy, "_film", lambda *_: {})
    patient = partial(replace, watchdog_periods=400)
    monkeypatch.setattr(deploy, "loop_settings", lambda *options: patient(LOOP_SETTINGS(*options)))
    monkeypatch.setattr(wire, "make_rehearsal", lambda profile, faults: Borrowed(rehearsals(profile.robot.name)))


ALOHA = pytest.param("aloha", marks=pytest.mark.slow)  # its cameras and judge take long to compile
ROBOTS_ON_WIRE = [ALOHA, "xarm7"]


@pytest.mark.parametrize("robot", ROBOTS_ON_WIRE)
def test_a_rehearsal_goes_through_the_genuine_sdk_and_is_certified(tmp_path, robot):
    action = np.zeros(14) if robot == "aloha" else np.array([0.0, 0.01, 0.0])
    if robot == "aloha":
        action[[0, 7]] = 1.0  # both waists, 0.02 rad per step
    job = context(tmp_path, robot, action)
    result = deploy.run_rehearsal(job)
    figures = result.metrics
    assert (figures["through"], figures["clock"], figures["safety_stops"]) == ("driver", "real", 0)
    assert figures["steps"] == 2 * STEPS
    assert json.loads(result.files["certificate.json"].read_text())["through"] == "driver"
    for number in range(2):
        steps = read_steps(result.files[f"episode-{number:03d}.mcap"])
        column = "joint_pos" if robot == "aloha" else "tool"
        moved = np.array(steps[-1][column]).reshape(-1) - np.array(steps[0][column]).reshape(-1)
        if robot == "aloha":
            assert 0.08 < moved[0] < 0.26 and 0.08 < moved[8] < 0.26
        else:
            assert 0.04 < moved[1] < 0.13


@pytest.mark.parametrize("robot", ROBOTS_ON_WIRE)
def test_a_policy_that_goes_mad_stops_each_episode_and_the_next_one_begins(tmp_path, robot):
    job = context(tmp_path, robot, np.full(14 if robot == "aloha" else 3, np.nan))
    with pytest.raises(SafetyStop, match=r"2 of 2 rehearsed episodes ended in a safety stop: .*not finite"):
        deploy.run_rehearsal(job)


@pytest.mark.parametrize("robot", ROBOTS_ON_WIRE)
def test_a_device_error_ends_the_episode_and_is_gone_in_the_next(rehearsals, robot):
    rehearsal, text = rehearsals(robot), {"aloha": "overload", "xarm7": "C31"}[robot]
    rehearsal._faults = Faults(error_at_s=0.3)
    for seed in (1, 2):
        rehearsal.begin(seed)
        assert rehearsal.robot.read().codes == ()
        assert all(camera.latest().rgb.any() for camera in rehearsal.cameras)
        assert wait_for(lambda: rehearsal.look() and rehearsal.robot.read().codes)
        assert text in rehearsal.robot.read().codes[0]
    rehearsal._faults = Faults()
