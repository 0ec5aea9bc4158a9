"""Collecting through the genuine SDKs, disturbed in every way: no view is lost, and the arm never leaves its limits."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")
pytest.importorskip("xarm", reason="the vendor's SDK is an extra")

from s2rctl.core.errors import Interrupted, SafetyStop
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.operations.calibration import rehearsal, steps
from s2rctl.operations.calibration.work import Work, make_board
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from tests.waiting import wait_for

pytestmark = pytest.mark.paced

POSES = 5
WINDOW_S = 0.5
SETS = [
    f"calibration.poses={POSES}", "calibration.joint_speed=1.0", "calibration.settle_s=0.2",
    "calibration.pixel_noise=1",
    "deploy.safety.max_state_age_periods=40", "deploy.safety.device_watchdog_s=2.54",  # a test machine may be busy
]  # fmt: skip


@dataclass
class Witness:
    """Stands behind the wire: asks the emulated device where it is and what it was told, and counts what is too far."""

    emulated: rehearsal.Emulated
    stand: object
    safety: object
    period_s: float
    samples: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    fastest: float = 0.0

    def __post_init__(self) -> None:
        device, self._lock, self._over = self.emulated.device, threading.Lock(), threading.Event()
        look = device.look

        def alone():
            with self._lock:
                return look()

        device.look = alone
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        close = device.close

        def closed() -> None:
            self._over.set()
            self._thread.join(10)
            close()

        device.close = closed

    def _watch(self) -> None:
        stand, spec, past = self.stand, self.stand.specification, []
        model = stand.model
        target = np.array([model.actuator(name).id for name in spec.targets])
        arm = np.array([k for k, joint in enumerate(spec.target_joint) if joint in set(stand.moving.tolist())])
        low, high = np.array(spec.joint_low), np.array(spec.joint_high)
        while not self._over.wait(0.02):
            message = self.emulated.device.look()
            t, told = float(message.values["t"]), message.arrays["ctrl"][target]
            joints = message.arrays["qpos"][stand.qpos_of]
            self.samples += 1
            if ((joints < low - 0.01) | (joints > high + 0.01)).any():
                self._count("joint range")
            if stand.box is not None:
                tool = spec.kinematics.point(stand.tool, joints)
                if (tool < stand.box[0] - 0.005).any() or (tool > stand.box[1] + 0.005).any():
                    self._count("workspace")
            past.append((t, told))
            past = [(at, was) for at, was in past if t - at <= WINDOW_S]
            elapsed = t - past[0][0]
            way = float(np.abs(told[arm] - past[0][1][arm]).max())
            # a command stands for a period, and one more may fall into the window
            if way > self.safety.joint_speed * (elapsed + 2 * self.period_s) + 1e-6:
                self._count("joint speed")
            if elapsed > WINDOW_S / 2:
                self.fastest = max(self.fastest, way / elapsed)

    def _count(self, name: str) -> None:
        self.violations[name] = self.violations.get(name, 0) + 1


@pytest.fixture
def witnesses(monkeypatch) -> list[Witness]:
    """Every emulated robot that a session opens, watched."""
    found: list[Witness] = []

    class Watched(rehearsal.Emulated):
        def __init__(self, profile, stand, lens, clock, seed) -> None:
            super().__init__(profile, stand, lens, clock, seed)
            safety = profile.calibration.safety(profile.deploy.safety)
            found.append(Witness(self, stand, safety, profile.simulation.period_s))

    monkeypatch.setattr(rehearsal, "Emulated", Watched)
    return found


def killed(profile: str, store: Path, work: Work) -> None:
    """Begin to collect in another process, which is killed after its first view."""
    sets = [word for value in SETS for word in ("--set", value)]
    command = [sys.executable, "-m", "s2rctl.cli.main", "calibrate-camera", "collect", "-p", profile, *sets]
    child = subprocess.Popen(
        [*command, "--store", str(store)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, start_new_session=True,
    )  # fmt: skip
    try:
        assert wait_for(lambda: len(work.session.views()) >= 1 or child.poll() is not None, 240)
        assert child.poll() is None
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.mark.parametrize("profile", ["xarm7-reach", pytest.param("aloha", marks=pytest.mark.slow)])
def test_a_rehearsal_collects_and_solves_through_the_vendors_sdk(tmp_path, witnesses, profile) -> None:
    store = Store(tmp_path / "store")
    store.prepare()
    sets = [
        *SETS,
        "calibration.poses=9",
        "calibration.max_position_error_m=0.02",
        "calibration.max_rotation_error_deg=2",
    ]
    work = Work(load_profile(profile, sets).profile, store, NullReporter(), Interrupt(), "rehearse")
    make_board(work)
    found, _ = steps.collect_views(work)
    assert len(found.views) == 9 and [witness.violations for witness in witnesses] == [{}]
    artifact, calibration, _ = steps.solve_views(work)
    assert artifact.manifest.content.kind == "calibration" and calibration.mode == "rehearse"
    error = calibration.rehearsed_error_m
    assert error is not None and error < 0.01
    place = np.sqrt(np.diag(np.array(calibration.covariance))[:3])
    assert error < 5 * np.linalg.norm(place), "as sure as it says it is"


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "fault"), [("xarm7-reach", "collision"), ("aloha", "overload")])
def test_no_view_is_lost_and_no_limit_is_passed(tmp_path, witnesses, profile, fault) -> None:
    store = Store(tmp_path / "store")
    store.prepare()
    loaded = load_profile(profile, SETS).profile
    work = Work(loaded, store, NullReporter(), Interrupt(), "rehearse")
    make_board(work)
    kept: dict[int, object] = {}

    def still_there() -> int:
        """Note what is on disk, and that all that was there before has stayed as it was."""
        now = {view.number: view.reading for view in work.session.views()}
        assert kept.items() <= now.items()
        kept.update(now)
        return len(now)

    killed(profile, store.root, work)
    assert still_there() >= 1

    def lose_camera(live) -> None:
        witnesses[-1].emulated.eye.lost = True

    with pytest.raises(SafetyStop, match="no such device"):
        steps.collect_views(work, show=lose_camera)
    assert still_there() >= 2

    def stop(live) -> None:
        interrupted.interrupt.requested = True

    interrupted = replace(work, interrupt=Interrupt())
    with pytest.raises(Interrupted, match="holds"):
        steps.collect_views(interrupted, show=stop)
    assert still_there() >= 3

    def fail(live) -> None:
        with witnesses[-1]._lock:
            witnesses[-1].emulated.device.inject(fault)

    with pytest.raises(SafetyStop):
        steps.collect_views(work, show=fail)
    assert still_there() >= 4

    found, _ = steps.collect_views(work)
    assert len(found.views) == POSES == still_there() and found.rejected == {}
    assert [witness.violations for witness in witnesses] == [{}] * 4
    assert sum(witness.samples for witness in witnesses) > 100 and max(w.fastest for w in witnesses) > 0.2
