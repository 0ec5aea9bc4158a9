import json
from functools import cache

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from s2rctl.calibration import overlay
from s2rctl.core.errors import ArtifactError, GateError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.pipeline.graph import graph_of, stage_named
from s2rctl.schema.calibration import Calibration, randomisation
from s2rctl.schema.load import load_profile
from s2rctl.schema.simulation import Appearance
from s2rctl.stages.calibrate_camera import run
from s2rctl.stages.protocol import Context


def _context(folder, profile: str, *sets: str) -> Context:
    chosen = load_profile(profile, ["calibration.poses=8", *sets], seed=1).profile
    return Context(
        stage=stage_named(graph_of(chosen.system), "calibrate-camera"),
        profile=chosen,
        inputs={},
        store=None,  # type: ignore[arg-type]
        run_folder=folder,
        reporter=NullReporter(),
        interrupt=Interrupt(),
    )


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """What the rehearsal of a profile gives, done once."""
    return cache(lambda profile: run(_context(tmp_path_factory.mktemp(profile), profile)))


@pytest.mark.parametrize(
    ("profile", "mounting", "parent"),
    [("xarm7-reach", "eye-to-hand", "link_base"), ("aloha", "eye-in-hand", "left/gripper_base")],
)
def test_rehearsal_finds_the_camera(rehearsed, profile: str, mounting: str, parent: str) -> None:
    result = rehearsed(profile)
    assert result.metrics["position_error_mm"] < 0.6 and result.metrics["rotation_error_deg"] < 0.05
    assert result.metrics["silhouette_iou"] > 0.98
    found = Calibration.model_validate_json(result.files["calibration.json"].read_text())
    assert (found.mounting, found.pose.parent, found.poses) == (mounting, parent, 8)
    opencv, mujoco = np.array(found.pose.quaternion_opencv), np.array(found.pose.quaternion_mujoco)
    assert abs(opencv @ mujoco) < 1e-9, "the conventions differ by half a turn about x"
    for name in ("overlay.png", "residuals.png", "views.png", "board.png"):
        assert cv2.imread(str(result.files[name])).std() > 10
    ranges = randomisation(found, Appearance(colour=0.5))
    assert ranges.colour == 0.5
    assert 0 < max(ranges.camera_position_m) < 0.002 and 0 < ranges.camera_rotation_deg < 0.2


def _result(**changes) -> Calibration:
    sides = {"width": 640, "height": 480, "fx": 600.0, "fy": 600.0, "cx": 319.5, "cy": 239.5}
    axes = {"quaternion_opencv": (1, 0, 0, 0), "quaternion_mujoco": (0, 1, 0, 0)}
    figures = dict.fromkeys(("train_px", "held_out_px", "held_out_position_m", "held_out_rotation_deg"), 0.1)
    values = {
        **{"camera": "side", "robot": "xarm7", "mode": "rehearse", "mounting": "eye-to-hand", "method": "m"},
        **{"board": {}, "intrinsics": sides, "pose": {"parent": "link_base", "position_m": (1, 0, 1), **axes}},
        **{"covariance": (1e-6 * np.eye(6)).tolist(), "spread_position_m": 0.001, "spread_rotation_deg": 0.01},
        **{"poses": 3, "residuals": (), **figures},
    }
    return Calibration.model_validate({**values, **changes})


@pytest.mark.parametrize("covariance", [[[1.0]], [[1e-6] * 3] * 6, [[1e-6] * 6] * 7])
def test_a_covariance_is_six_by_six(covariance) -> None:
    with pytest.raises(ValidationError, match="covariance"):
        _result(covariance=covariance)


def test_a_calibration_that_is_too_unsure_is_no_range_for_training() -> None:
    assert randomisation(_result(), Appearance()).camera_position_m == pytest.approx([0.002] * 3)
    for variance in (100.0, 1e308):
        with pytest.raises(ArtifactError, match="too uncertain") as caught:
            randomisation(_result(covariance=(variance * np.eye(6)).tolist()), Appearance())
        assert "calibrate again" in caught.value.hint


def test_noisy_joints_do_not_pass_the_gate(tmp_path) -> None:
    with pytest.raises(GateError, match=r"position.s 95 % half axis is") as caught:
        run(_context(tmp_path, "xarm7-reach", "calibration.joint_noise_deg=0.5"))
    assert "calibration.poses" in caught.value.hint
    assert (tmp_path / "overlay.png").is_file(), "what failed can be looked at"


def test_the_same_seed_gives_the_same_result(tmp_path, rehearsed) -> None:
    results = (rehearsed("xarm7-reach"), run(_context(tmp_path, "xarm7-reach")))
    one, again = (json.loads(result.files["calibration.json"].read_text()) for result in results)
    assert one == again


def test_overlap_of_silhouettes() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:6, 2:6] = True
    assert overlay.silhouette_iou(mask, mask) == 1
    assert overlay.silhouette_iou(mask, np.roll(mask, 2, axis=1)) == pytest.approx(8 / 24)
    assert overlay.silhouette_iou(mask, ~mask) == 0
