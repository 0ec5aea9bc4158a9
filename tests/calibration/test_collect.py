"""Views from an arm: driven through the safety filter, stopped in the middle, and gone on with."""

import numpy as np
import pytest

from s2rctl.calibration.rehearse import Printer
from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import Interrupted, RunError, SafetyStop, UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.core.spatial import inverse
from s2rctl.operations.calibration.arm import Driven, Guided, Still
from s2rctl.operations.calibration.collect import collect
from s2rctl.operations.calibration.session import Session
from s2rctl.operations.calibration.work import Work, board_of, make_board
from s2rctl.robots.cameras.stream import Shot
from s2rctl.robots.protocol import State, StopLevel
from s2rctl.robots.xarm7.specification import IN_JOINTS
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from tests.calibration.helpers import bench
from tests.kinematic_robot import KinematicRobot

PERIOD = 0.05
PROFILE = load_profile("xarm7-reach", ["calibration.poses=6", "calibration.pixel_noise=1"]).profile
SETTINGS = PROFILE.calibration
SAFETY = SETTINGS.safety(PROFILE.deploy.safety)


@pytest.fixture(scope="module")
def made():
    return bench("xarm7-reach", 5)


class Eye:
    """Sees the board on the arm as it stands; ``fails_after`` pictures it is gone."""

    serial = "77"

    def __init__(self, made, robot, clock, fails_after=10_000, blind=False) -> None:
        self.lens = made.plan.lens
        self.made, self.robot, self.clock, self.left, self.blind = made, robot, clock, fails_after, blind
        self.printer = Printer(SETTINGS, self.lens)
        self.grey = np.full((self.lens.height, self.lens.width, 3), 90, np.uint8)
        self.seen: tuple[bytes, Shot] | None = None
        self.closed = False

    def shot(self) -> Shot:
        joints = self.robot.read().joint_pos
        if self.seen is None or self.seen[0] != joints.tobytes():
            if self.left == 0:
                raise SafetyStop("the camera 'side' failed: no such device", "check its cable")
            truth, stand = self.made.truth, self.made.stand
            board = inverse(truth.camera) @ stand.chain.motion(joints) @ truth.board
            picture = self.grey if self.blind else self.printer.photograph(self.grey, board, self.made.rng)
            self.seen = (joints.tobytes(), Shot(self.clock.now(), picture))
        return Shot(self.clock.now() + 1e-6, self.seen[1].rgb)

    def took(self) -> None:
        self.left -= 1

    def close(self) -> None:
        self.closed = True


class Arm(KinematicRobot):
    """Notes what it was told; can be stopped by a person after some commands."""

    def __init__(self, clock, interrupt=None, stop_after=10**9) -> None:
        super().__init__(IN_JOINTS, clock)
        self.interrupt, self.stop_after = interrupt, stop_after

    def send(self, target) -> None:
        super().send(target)
        if len(self.sent) >= self.stop_after and self.interrupt is not None:
            self.interrupt.requested = True


def driven(made, interrupt=None, stop_after=10**9, **eye):
    clock = VirtualClock()
    interrupt = interrupt or Interrupt()
    robot = Arm(clock, interrupt, stop_after)
    seen = Eye(made, robot, clock, **eye)
    source = Driven(robot, seen, SAFETY, clock, interrupt, period_s=PERIOD, settle_s=0.2)
    return robot, seen, source


def go(made, session, source):
    rng = np.random.default_rng(len(session.views()))
    return collect(session, source, made.stand, SETTINGS, made.plan.lens, NullReporter(), rng)


def test_the_arm_is_driven_through_all_poses_within_every_limit(tmp_path, made) -> None:
    robot, _, source = driven(made)
    found = go(made, Session(tmp_path), source)
    assert len(found.views) == 6 and len(Session(tmp_path).views()) == 6
    assert source.interventions == {}, "the filter had nothing to limit"
    path = np.array([target.values for target in robot.sent])
    assert np.abs(np.diff(path, axis=0)).max() <= SAFETY.joint_speed * PERIOD + 1e-9
    low, high = np.array(IN_JOINTS.joint_low), np.array(IN_JOINTS.joint_high)
    assert (path > low + SAFETY.joint_margin).all() and (path < high - SAFETY.joint_margin).all()
    tools = np.array([IN_JOINTS.kinematics.point("tcp", joints) for joints in path])
    assert (tools > np.array(SAFETY.workspace_low)).all() and (tools < np.array(SAFETY.workspace_high)).all()
    assert all(made.stand.safe(joints, SETTINGS.board) for joints in path[:: max(1, len(path) // 40)])
    read = [stored.values for stored in Session(tmp_path).views()]
    assert all(np.abs(a - b).max() > 0.05 for number, a in enumerate(read) for b in read[:number])


def test_what_was_taken_survives_a_lost_camera_and_a_person_who_stops(tmp_path, made) -> None:
    session = Session(tmp_path)
    robot, eye, source = driven(made)
    take, count = source.take, []

    def losing(wanted):
        if len(count) == 2:
            eye.left, eye.seen = 0, None
        count.append(1)
        return take(wanted)

    source.take = losing  # type: ignore[method-assign]
    with pytest.raises(SafetyStop, match="no such device"):
        go(made, session, source)
    assert robot.stops == [StopLevel.SOFT]
    first = [(view.number, view.reading) for view in session.views()]
    assert len(first) == 2
    sent = len(robot.sent)

    robot, _, source = driven(made, stop_after=sent // 2)
    with pytest.raises(Interrupted, match="the arm holds"):
        go(made, session, source)
    assert robot.stops == [StopLevel.SOFT]
    assert len(robot.sent) <= sent // 2 + 1, "nothing is sent after the person has asked to stop"

    _, _, source = driven(made)
    found = go(made, session, source)
    assert len(found.views) == 6
    assert [(view.number, view.reading) for view in session.views()][:2] == first


def test_a_second_ctrl_c_stops_hard(made) -> None:
    robot, _, source = driven(made)

    def pressed(target):
        raise KeyboardInterrupt

    robot.send = pressed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        source.take(made.readings(1)[0])
    assert robot.stops == [StopLevel.HARD]


def test_an_arm_that_reports_an_error_is_not_driven(made) -> None:
    robot, _, source = driven(made)
    read = robot.read
    robot.read = lambda: State(**{**read().__dict__, "codes": ("C31 collision",)})  # type: ignore[method-assign]
    with pytest.raises(SafetyStop, match="C31 collision"):
        source.take(made.readings(1)[0])
    assert robot.sent == []


def test_views_of_no_use_end_the_collection_with_the_reason(tmp_path, made) -> None:
    _, _, source = driven(made, blind=True)
    with pytest.raises(RunError, match="were unusable; the last one: the board is not in sight"):
        go(made, Session(tmp_path), source)
    assert Session(tmp_path).views() == []


def test_a_person_moves_the_arm_and_nothing_is_sent(made) -> None:
    clock = VirtualClock()
    robot = Arm(clock)
    eye, said = Eye(made, robot, clock), []
    source = Guided(robot, eye, clock, Interrupt(), said.append, settle_s=0.2)
    poses = made.readings(2)
    for pose in poses:
        robot._joints = pose.copy()
        taken = source.take(made.stand.home)
        assert taken is not None and taken.joints == pytest.approx(pose)
    assert "joint" in said[0] and "°" in said[0]
    assert robot.sent == [] and robot.stops == []
    source.close()
    assert eye.closed


def test_rest_is_told_from_places_not_from_speeds() -> None:
    still, zero = Still(0.3), np.zeros(3)
    times = np.arange(0, 3, 0.05)
    creeping = [still.add(State(t, zero + 0.03 * t, zero, np.zeros((1, 7)))) for t in times]
    assert not any(creeping)
    resting = [still.add(State(3 + t, zero + 0.1, zero, np.zeros((1, 7)))) for t in times]
    assert resting.index(True) in (6, 7)
    assert still.mean() == pytest.approx(zero + 0.1) and still.since >= 3


def test_a_rehearsal_goes_on_with_its_own_seed_alone(tmp_path) -> None:
    def work(seed: int) -> Work:
        profile = load_profile("xarm7-reach", [], seed=seed).profile
        return Work(profile, Store(tmp_path), NullReporter(), Interrupt(), "rehearse")

    make_board(work(3))
    assert board_of(work(3)) == PROFILE.calibration.board
    with pytest.raises(UsageError, match="has 3 as its seed, the profile 4") as caught:
        board_of(work(4))
    assert "--fresh" in caught.value.hint
