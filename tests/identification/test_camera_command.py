"""``sysid camera``: from files to an artifact, and from it into a profile."""

import json
from pathlib import Path

import pytest
import yaml

from s2rctl.cli.main import main
from s2rctl.control.recorder import McapRecorder
from s2rctl.operations.identification import camera_apply
from s2rctl.robots.protocol import Frame
from s2rctl.schema.camera_faults import CameraFaults, CameraFigure, CameraIdentification
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from tests.identification import still

CAMERA = "wrist_cam_left"


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    return still.write_folder(folder, still.colour_frames(40), still.depth_frames(40), CAMERA)


@pytest.fixture
def profile(tmp_path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: aloha\nname: mine\n# keep me\n")
    return path


def run(capsys, *arguments: str) -> tuple[int, dict]:
    code = main(["sysid", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_frames_tell_is_published_and_written_into_the_profile(tmp_path, capsys, frames, profile):
    store = str(tmp_path / "store")
    code, answer = run(capsys, "camera", "-p", str(profile), "--from", str(frames), "--store", store)
    assert code == 0, answer
    assert list(answer["data"]["cameras"]) == [CAMERA]
    assert "vignette" in answer["data"]["cameras"][CAMERA]["not_told"]
    artifact = Store(Path(store)).resolve("identification/aloha-cameras:mine")
    assert artifact.id == answer["data"]["artifact"]
    page = artifact.path("report.html").read_text()
    assert CAMERA in page and "depth_fattening_px" in page
    code, answer = run(capsys, "apply", "-p", str(profile), "--ref", artifact.id, "--yes", "--store", store)
    assert code == 0 and answer["data"]["changed"]
    assert "# keep me" in profile.read_text()
    vision = load_profile(str(profile), [], 0).profile.vision
    assert vision.appearance.pixel_noise == pytest.approx(still.NOISE, rel=0.05)
    assert vision.depth_noise.disparity_constant == pytest.approx(still.CONSTANT_MM, rel=1e-3)
    assert still.LOSS < vision.depth_noise.loss < 1.5 * still.LOSS  # the upper end of its interval
    code, answer = run(capsys, "apply", "-p", str(profile), "--ref", artifact.id, "--yes", "--store", store)
    assert code == 0 and not answer["data"]["changed"]


def test_a_recording_of_ours_shows_all_its_cameras(tmp_path, capsys):
    path = tmp_path / "still.mcap"
    recorder = McapRecorder(path, {"robot": "aloha"})
    colours, depths = still.colour_frames(40), still.depth_frames(40)
    for number, (rgb, depth) in enumerate(zip(colours, depths, strict=True)):
        t = 10.0 + 0.05 * number
        values = {"step": number, "ages": {}, "codes": [], "interventions": [], "joint_pos": [0.0]}
        recorder.step(t, values, {name: Frame(t, rgb, depth) for name in (CAMERA, "wrist_cam_right")})
    recorder.close({"outcome": "time"})
    code, answer = run(
        capsys, "camera", "-p", "aloha", "--from", str(path), "--only", "colour", "--store", str(tmp_path / "s")
    )
    assert code == 0, answer
    assert set(answer["data"]["cameras"]) == {CAMERA, "wrist_cam_right"}
    assert answer["data"]["cameras"][CAMERA]["depth_frames"] == 0


@pytest.mark.parametrize(
    ("rgb", "depth", "words", "hint"),
    [
        (True, False, "there is no depth of wrist_cam_left", "--only colour"),
        (False, True, "there is no colour of wrist_cam_left", "--only depth"),
    ],
)
def test_missing_pictures_are_named(tmp_path, capsys, rgb, depth, words, hint):
    folder = still.write_folder(
        tmp_path / "f", still.colour_frames(3) if rgb else None, still.depth_frames(3) if depth else None
    )
    code, answer = run(
        capsys, "camera", "-p", "aloha", "--from", str(folder), "--camera", CAMERA, "--store", str(tmp_path / "s")
    )
    assert code == 2 and words in answer["error"]["message"] and hint in answer["error"]["hint"]


def test_frames_of_another_size_are_refused(tmp_path, capsys):
    folder = still.write_folder(tmp_path / "f", still.colour_frames(3)[:, :20], still.depth_frames(3), CAMERA)
    code, answer = run(capsys, "camera", "-p", "aloha", "--from", str(folder), "--store", str(tmp_path / "s"))
    assert code == 2 and "is 32 x 20, the policy's wrist_cam_left is 32 x 32" in answer["error"]["message"]


def test_files_without_a_camera_s_name_need_one(tmp_path, capsys):
    folder = still.write_folder(tmp_path / "f", still.colour_frames(3), None)
    code, answer = run(capsys, "camera", "-p", "aloha", "--from", str(folder), "--store", str(tmp_path / "s"))
    assert code == 2 and "--camera" in answer["error"]["hint"]


def test_depth_as_an_8_bit_picture_is_refused(tmp_path, capsys):
    folder = still.write_folder(tmp_path / "f", None, (still.depth_frames(3) // 64).astype("uint8"), CAMERA)
    code, answer = run(capsys, "camera", "-p", "aloha", "--from", str(folder), "--store", str(tmp_path / "s"))
    assert code == 2 and "16-bit" in answer["error"]["message"]


def of_cameras(*cameras: dict[str, tuple[float, float, float]], left: tuple[str, ...] = ()) -> CameraIdentification:
    made = tuple(
        CameraFaults(
            camera=name, width=32, height=32, colour_frames=200, depth_frames=200,
            figures=tuple(
                CameraFigure(name=key, value=value, low=low, high=high, told=key not in left)
                for key, (value, low, high) in figures.items()
            ),
        )
        for name, figures in zip((CAMERA, "wrist_cam_right"), cameras, strict=False)
    )  # fmt: skip
    return CameraIdentification(robot="aloha", cameras=made)


def test_the_worst_of_all_cameras_is_written():
    vision = load_profile("aloha", [], 0).profile.vision
    found = of_cameras(
        {"loss": (0.01, 0.009, 0.011), "edge_gradient": (0.05, 0.04, 0.06), "scratches": (4, 3, 5)},
        {"loss": (0.02, 0.018, 0.022), "edge_gradient": (0.03, 0.02, 0.04), "scratches": (9, 8, 10)},
    )
    values = {key: yaml.safe_load(text) for key, text in camera_apply.values(found, vision).items()}
    assert values == {
        "vision.depth_noise.loss": 0.022,
        "vision.depth_noise.edge_gradient": 0.02,
        "vision.depth_noise.scratches": 10,
        "vision.appearance.image.depth_faults": [pytest.approx(0.009 / 0.022, abs=1e-3), 1],
    }


def test_brightness_is_made_wide_enough_and_never_narrower():
    found = of_cameras({"brightness": (0.1, 0.09, 0.12)})
    key = "vision.appearance.brightness"
    wide = load_profile("aloha", [], 0).profile.vision
    narrow = load_profile("aloha", ["vision.appearance.brightness=[0.95,1.05]"], 0).profile.vision
    assert key not in camera_apply.values(found, wide)
    assert yaml.safe_load(camera_apply.values(found, narrow)[key]) == [0.88, 1.12]


def test_what_is_not_told_is_left_alone():
    vision = load_profile("aloha-robust", [], 0).profile.vision
    found = of_cameras({"loss": (0.01, 0.008, 0.012), "disparity_sigma": (1.0, 0.0, 2.0)}, left=("disparity_sigma",))
    values = camera_apply.values(found, vision)
    assert "vision.depth_noise.disparity_sigma" not in values
    assert yaml.safe_load(values["vision.appearance.image.depth_faults"]) == [0, 1]


def test_cameras_of_another_robot_are_refused(tmp_path, capsys, frames, profile):
    store = str(tmp_path / "store")
    assert run(capsys, "camera", "-p", str(profile), "--from", str(frames), "--store", store)[0] == 0
    other = tmp_path / "other.yaml"
    other.write_text("extends: xarm7-reach\nname: other\n")
    ref = "identification/aloha-cameras:latest"
    code, answer = run(capsys, "apply", "-p", str(other), "--ref", ref, "--yes", "--store", store)
    assert code == 4 and "of the robot 'aloha'" in answer["error"]["message"]
    code, answer = run(capsys, "check", "-p", str(profile), "--ref", ref, "--store", store)
    assert code == 4 and "cameras, not of motion" in answer["error"]["message"]
