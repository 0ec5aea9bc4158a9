"""Live and shadow runs with a robot that obeys exactly in the driver's place."""

import numpy as np
import pytest

from s2rctl import robots
from s2rctl.control.recording import read_recording
from s2rctl.core.errors import MissingEnvironmentError, SafetyStop, UsageError
from s2rctl.core.exits import ExitCode
from s2rctl.core.tables import Table
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import Frame
from s2rctl.schema.load import load_profile
from s2rctl.stages import live
from tests.driven import DrivenClock
from tests.kinematic_robot import KinematicRobot
from tests.stages.test_deploy import context, reach_card, ready

STEPS = 4
MADE = []


class Driver(KinematicRobot):
    """Where the real driver would be."""

    def __init__(self, robot, safety, period_s):
        super().__init__(ROBOTS.load("xarm7"), live.RealClock())
        self.closed = False
        MADE.append(self)

    def close(self):
        self.closed = True


class Eye:
    name = "side"

    def __init__(self, freeze_after=1e9):
        self.device, self.count, self.closed, self.freeze_after = (
            type("D", (), {"serial": "7", "notes": ()}),
            0,
            False,
            0,
        )
        self.freeze_after = freeze_after
        self.frozen = None

    def latest(self):
        self.count += 1
        if self.count <= self.freeze_after or self.frozen is None:
            self.frozen = Frame(live.RealClock().now(), np.zeros((84, 84, 3), np.uint8))
        return self.frozen

    def close(self):
        self.closed = True


@pytest.fixture
def rig(monkeypatch):
    MADE.clear()
    eyes, clock = [], DrivenClock()
    monkeypatch.setattr(live, "RealClock", lambda: clock)

    def opened(devices, wanted):
        eyes.append(Eye(rig.freeze_after))
        return eyes

    rig.freeze_after = 1e9
    monkeypatch.setattr(robots, "DRIVERS", Table("robot driver", {"xarm7": f"{__name__}:Driver"}))
    monkeypatch.setattr(live, "open_cameras", opened)
    return eyes


def profile_with(*sets):
    fixed = [f"tasks.reach.episode_steps={STEPS}", "deploy.live.pause_s=0", "robot.address=127.0.0.1"]
    return load_profile("xarm7-smoke", [*fixed, *sets]).profile


def test_live_ramps_its_speed_over_episodes(tmp_path, rig):
    profile = profile_with("deploy.live.episodes=3", "deploy.live.ramp=[0.25, 0.5, 1.0]")
    result = live.run_live(ready(tmp_path, profile, action=(0.02, 0.0, 0.0)))
    assert (result.metrics["episodes"], result.metrics["outcomes"]) == (3, "time, time, time")
    for number, speed in enumerate((0.25, 0.5, 1.0)):
        recording = read_recording(result.files[f"episode-{number:03d}.mcap"])
        assert float(recording.header["speed"]) == speed
        assert len(recording.steps) == STEPS / speed  # a slower episode gets as far
        moved = np.diff(recording.column("target")[:, 0])
        assert np.allclose(moved, 0.02 * speed, atol=1e-6)
        assert all(step["sent"] for step in recording.steps)
    timing = result.metrics["timing_ms"]
    assert {"age_robot", "age_side", "inference", "send", "period", "observation_age"} <= set(timing)
    assert result.metrics["rate_hz"] == pytest.approx(20)
    assert MADE[0].closed and rig[0].closed


@pytest.mark.parametrize("spread", [0.1, 0.2])
def test_live_goals_are_those_of_the_task(tmp_path, rig, monkeypatch, spread):
    goals, run_episode = [], live.run_episode

    def watched(parts, settings, interrupt, *, goal, recorder):
        goals.append(goal)
        return run_episode(parts, settings, interrupt, goal=goal, recorder=recorder)

    monkeypatch.setattr(live, "run_episode", watched)
    short = ("deploy.live.episodes=12", "tasks.reach.episode_steps=1")
    live.run_shadow(context(tmp_path, profile_with(f"tasks.reach.goal_range_m={spread}", *short)))
    away = np.abs(np.array(goals) - MADE[0].parking().values)
    assert away.shape == (12, 3) and 0.75 * spread < away.max() <= spread


def test_shadow_runs_at_full_speed_and_sends_nothing(tmp_path, rig):
    profile = profile_with("deploy.live.episodes=1")
    result = live.run_shadow(context(tmp_path, profile))
    assert result.metrics["mode"] == "shadow" and result.metrics["steps"] == STEPS
    assert MADE[0].sent == []
    assert not any(step["sent"] for step in read_recording(result.files["episode-000.mcap"]).steps)


def test_a_stop_ends_the_run_with_exit_6_and_closes_everything(tmp_path, rig, monkeypatch):
    frozen = []
    monkeypatch.setattr(live, "open_cameras", lambda *_: frozen.append(Eye(freeze_after=2)) or frozen)
    profile = profile_with("deploy.live.episodes=3", "deploy.live.ramp=[1.0]", "tasks.reach.episode_steps=40")
    with pytest.raises(SafetyStop, match=r"'side' is \d+ ms old") as caught:
        live.run_live(ready(tmp_path, profile))
    assert caught.value.exit_code == ExitCode.SAFETY
    assert MADE[0].closed and frozen[0].closed
    assert MADE[0].stops


def test_a_policy_that_sees_needs_its_cameras_in_the_profile(tmp_path, monkeypatch):
    monkeypatch.setattr(robots, "DRIVERS", Table("robot driver", {"xarm7": f"{__name__}:Driver"}))
    with pytest.raises(UsageError, match="sees through side") as caught:
        live.run_shadow(context(tmp_path, profile_with()))
    assert "robot.cameras.side.kind" in caught.value.hint
    film = profile_with("robot.cameras.side={kind: uvc, device: /dev/video97, fovy_deg: 60}")
    with pytest.raises(MissingEnvironmentError, match="cannot open the camera 'side'"):
        live.run_shadow(context(tmp_path, film))
    assert reach_card().cameras[0].name == "side"
