"""A deployment whose profile names a calibration looks at the camera first, and does not move when it was bumped."""
# ruff: noqa: F811

import time
from dataclasses import replace

import numpy as np
import pytest

from s2rctl.calibration.rehearse import jitter, with_camera
from s2rctl.core.errors import ArtifactError, MissingEnvironmentError, SafetyStop
from s2rctl.operations.calibration.consume import mount, resolved
from s2rctl.operations.calibration.result import pose_of
from s2rctl.render.film import Film
from s2rctl.robots.cameras.stream import Shot
from s2rctl.schema.calibration import randomisation
from s2rctl.schema.manifest import InputRef
from s2rctl.schema.simulation import Appearance
from s2rctl.stages import live
from tests.calibration.helpers import bench
from tests.calibration.test_guard import LENS
from tests.calibration.test_stage import _result
from tests.stages.test_deploy import publish, reach_card, ready
from tests.stages.test_live import MADE, Eye, profile_with, rig  # noqa: F401


@pytest.fixture(scope="module")
def side():
    return bench("xarm7-reach", 2)


@pytest.fixture(scope="module")
def photo(side):
    def take(camera):
        try:
            with Film(with_camera(side.stand, camera, LENS), "side", LENS.width, LENS.height) as film:
                return film.frame(side.stand.qpos(side.stand.home))
        except MissingEnvironmentError as error:
            pytest.skip(error.message)

    return take


def calibrated(tmp_path, side, profile, **changes):
    """A live context whose profile names a published calibration."""
    pose = pose_of(side.stand.parent, side.truth.camera).model_dump()
    values = {"intrinsics": LENS.model_dump(), "pose": pose, "mode": "live", "made_at": time.time()}
    found = _result(**values | changes)
    job = ready(tmp_path, profile)
    (tmp_path / "calibration.json").write_text(found.model_dump_json())
    artifact = publish(job.store, profile, "calibration", "xarm7", {"calibration.json": tmp_path / "calibration.json"})
    vision = profile.vision.model_copy(update={"calibration": artifact.id})
    named = profile.model_copy(update={"vision": vision})
    assert resolved(named, job.store).vision.cameras[0].mount.calibration == artifact.id
    return evaluated(job, named, tmp_path)


def mount_of(identity, side):
    """The mount that a calibration of this bench's camera gives."""
    pose = pose_of(side.stand.parent, side.truth.camera)
    found = _result(intrinsics=LENS.model_dump(), pose=pose.model_dump())
    return mount(identity, found, randomisation(found, Appearance()))


def evaluated(job, profile, folder):
    """The job with another profile, in whose worlds its policy passed."""
    onnx, figures = job.inputs["onnx"], {"gate_passed": True, "wilson_low": 0.9}
    files = {"evaluation.json": folder / "evaluation.json"}
    made = publish(job.store, profile, "evaluation", "e", files, [InputRef(role="onnx", id=onnx.id)], figures)
    return replace(job, profile=profile, inputs={**job.inputs, "evaluation": made})


def looking(monkeypatch, picture):
    """Cameras whose full picture is this one."""
    eyes = []

    def opened(devices, wanted):
        eyes.append(Eye())
        eyes[0].shot = lambda: Shot(0.0, picture)
        return eyes

    monkeypatch.setattr(live, "open_cameras", opened)


def test_a_camera_in_its_place_lets_the_arm_move(tmp_path, rig, side, photo, monkeypatch) -> None:
    looking(monkeypatch, photo(side.truth.camera))
    job = calibrated(
        tmp_path,
        side,
        profile_with("evaluate.gate.success_low=0.5", "deploy.live.episodes=1", "deploy.live.ramp=[1.0]"),
    )
    assert live.run_live(job).metrics["episodes"] == 1
    assert MADE[0].sent


@pytest.mark.parametrize(
    ("bump", "changes", "words"),
    [
        (jitter(np.random.default_rng(1), 0.0, 2.0), {}, "FAIL: the camera was moved"),
        (None, {}, "FAIL: only 0%"),
        (np.eye(4), {"made_at": time.time() - 1e7}, "h old"),
        (np.eye(4), {"mode": "rehearse"}, "rehearsal"),
        (np.eye(4), {"camera_serial": "8"}, "of the camera 8, this is 7"),
        (np.eye(4), {"robot_serial": "XI1"}, "of the robot XI1, this is 0"),
    ],
)
def test_nothing_moves_after_a_bump_or_with_another_device(
    tmp_path,
    rig,
    side,
    photo,
    monkeypatch,
    bump,
    changes,
    words,
) -> None:
    dark = np.zeros((LENS.height, LENS.width, 3), np.uint8)
    looking(monkeypatch, dark if bump is None else photo(side.truth.camera @ bump))
    job = calibrated(tmp_path, side, profile_with("evaluate.gate.success_low=0.5", "deploy.live.episodes=1"), **changes)
    with pytest.raises(SafetyStop, match=words):
        live.run_live(job)
    assert MADE[0].sent == [] and MADE[0].closed


def test_a_calibration_that_is_gone_is_told(tmp_path, rig, side, monkeypatch) -> None:
    job = calibrated(tmp_path, side, profile_with("evaluate.gate.success_low=0.5", "deploy.live.episodes=1"))
    vision = job.profile.vision.model_copy(update={"calibration": "f" * 16})
    with pytest.raises(ArtifactError):
        live.run_live(evaluated(job, job.profile.model_copy(update={"vision": vision}), tmp_path))
    assert MADE[0].sent == []


@pytest.mark.parametrize("ranges", [((0.003, 0.003, 0.003), 3.0), ((0.02, 0.02, 0.02), 0.5), ((0.0, 0.0, 0.0), 0.0)])
@pytest.mark.parametrize("run", [live.run_live, live.run_shadow])
def test_a_policy_that_needs_a_measured_camera_refuses_one_that_was_only_placed(tmp_path, rig, side, run, ranges):
    card = reach_card()
    narrow = card.cameras[0].model_copy(update={"position_range_m": ranges[0], "rotation_range_deg": ranges[1]})
    profile = profile_with("evaluate.gate.success_low=0.5", "deploy.live.episodes=1", "deploy.live.ramp=[1.0]")
    job = ready(tmp_path, profile, card=card.model_copy(update={"cameras": (narrow,)}))
    with pytest.raises(SafetyStop, match="nobody has measured where it is") as caught:
        run(job)
    assert "calibrate-camera" in caught.value.hint
    assert not MADE  # nobody has even been connected
    camera = profile.vision.cameras[0].model_copy(update={"mount": mount_of("0" * 64, side)})
    measured = profile.model_copy(update={"vision": profile.vision.model_copy(update={"cameras": (camera,)})})
    assert run(evaluated(job, measured, tmp_path)).metrics["episodes"] == 1
