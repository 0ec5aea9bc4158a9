"""The morning's look: does the camera still stand where it was calibrated? And the reference in the profile."""

import cv2
import numpy as np
import pytest

from s2rctl.calibration.rehearse import jitter, with_camera
from s2rctl.calibration.silhouette import cast, outline, rays, small
from s2rctl.core.errors import ArtifactError, MissingEnvironmentError, UsageError
from s2rctl.operations.calibration import apply
from s2rctl.operations.calibration.consume import with_mounts
from s2rctl.operations.calibration.guard import judge
from s2rctl.operations.calibration.result import pose_of
from s2rctl.render.film import Film
from s2rctl.schema.calibration import Calibration
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.load import load_profile
from tests.calibration.helpers import bench
from tests.calibration.test_stage import _result

LENS = Intrinsics(width=640, height=480, fx=480, fy=480, cx=345, cy=225)


def calibration(made, camera, **changes) -> Calibration:
    pose = pose_of(made.stand.parent, camera).model_dump()
    values = {"camera": "side", "intrinsics": LENS.model_dump(), "pose": pose, "robot": "xarm7", "mode": "live"}
    return _result(**values | changes)


@pytest.fixture(scope="module")
def side():
    return bench("xarm7-reach", 2)


def photo(made, camera, reading, noise=4.0) -> np.ndarray:
    try:
        with Film(with_camera(made.stand, camera, LENS), "side", 640, 480) as film:
            picture = film.frame(made.stand.qpos(reading)).astype(float)
    except MissingEnvironmentError as error:
        pytest.skip(error.message)
    return np.clip(picture + noise * made.rng.normal(size=picture.shape), 0, 255).astype(np.uint8)


def test_a_camera_that_was_not_moved_passes_and_one_that_was_fails(side) -> None:
    settings = load_profile("xarm7-reach").profile.calibration
    camera, reading = side.truth.camera, side.stand.home
    found = calibration(side, camera)
    still = judge(side.stand, settings, found, reading, photo(side, camera, reading))
    assert still.good and still.text().startswith("PASS")
    assert still.alignment.iou > 0.93 and still.alignment.offset_px < 1.5
    for metres, degrees in ((0.0, 2.0), (0.04, 0.0)):
        step = jitter(np.random.default_rng(1), metres, degrees)
        bumped = judge(side.stand, settings, found, reading, photo(side, camera @ step, reading))
        assert not bumped.good and bumped.text().startswith("FAIL")
    dark = judge(side.stand, settings, found, reading, np.zeros((480, 640, 3), np.uint8))
    assert not dark.good and "too dark" in dark.text()
    away = judge(side.stand, settings, found, reading + 0.15, photo(side, camera, reading))
    assert not away.good, "the arm is not where it says"
    with pytest.raises(UsageError, match="320 x 240"):
        judge(side.stand, settings, found, reading, np.zeros((240, 320, 3), np.uint8))


def test_rays_are_exact_with_distortion_and_an_off_centre_principal_point(side) -> None:
    from s2rctl.calibration.intrinsics import project

    lens = LENS.model_copy(update={"distortion": (0.1, -0.2, 0.003, -0.002, 0.05)})
    rows, columns = np.mgrid[0 : lens.height, 0 : lens.width]
    seen = project(lens, rays(lens)).reshape(lens.height, lens.width, 2)
    assert seen == pytest.approx(np.stack([columns, rows], -1), abs=1e-6)
    half = small(lens, 320)
    point = np.array([0.1, -0.05, 0.8])
    assert (project(half, point) + 0.5) * 2 == pytest.approx(project(lens, point) + 0.5, abs=1e-9)


def test_the_outline_is_the_masks_border() -> None:
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    places, normals = outline(mask)
    assert len(places) > 50
    assert places[:, 0].min() == pytest.approx(29.5, abs=0.3) and places[:, 0].max() == pytest.approx(49.5, abs=0.3)
    assert (np.abs(np.linalg.norm(normals, axis=1) - 1) < 1e-5).all()
    assert ((places - [39.5, 29.5]) * normals).sum(axis=1).min() > 0, "normals point outwards"


def test_cast_rays_see_what_opengl_draws(side) -> None:
    import mujoco

    from s2rctl.core.spatial import transform

    stand, camera = side.stand, side.truth.camera
    data = mujoco.MjData(stand.model)
    data.qpos[:] = stand.qpos(stand.home)
    mujoco.mj_kinematics(stand.model, data)
    world = transform(data.xpos[stand.base], data.xmat[stand.base].reshape(3, 3)) @ camera
    geoms, depth = cast(stand.model, data, world, small(LENS))
    assert depth[geoms >= 0].min() > 0.2
    robot = (
        stand.model.body_rootid[stand.model.geom_bodyid[np.maximum(geoms, 0)]] == stand.model.body_rootid[stand.hand]
    )
    alone = np.where(
        (stand.model.body_rootid[stand.model.geom_bodyid] == stand.model.body_rootid[stand.hand])[:, None],
        [1.0, 1.0, 1.0, 1.0],
        [0.0, 0.0, 0.0, 0.0],
    )
    try:
        with Film(with_camera(stand, camera, small(LENS)), "side", 320, 240) as film:
            drawn = film.frame(stand.qpos(stand.home), geom_rgba=alone).any(axis=-1)
    except MissingEnvironmentError as error:
        pytest.skip(error.message)
    mine = (geoms >= 0) & robot
    assert (mine & ~drawn).sum() < 0.005 * mine.sum()  # OpenGL's border pixels are partly covered
    inner = cv2.erode(drawn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert (inner & ~mine).sum() < 0.005 * mine.sum()


MINE = """# my arm
extends: xarm7-reach
name: my-xarm
vision:   # what the policy sees
    shadows: true   # as in my room
robot: {name: xarm7, address: 10.0.0.2}
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MINE, "    calibration: 0123456789abcdef"),
        (MINE.replace("    shadows", "    calibration: old\n    shadows"), "    calibration: 0123456789abcdef"),
        ("extends: xarm7-reach\nname: my\n", "  calibration: 0123456789abcdef"),
    ],
)
def test_the_reference_is_written_and_the_rest_stays(tmp_path, text, line) -> None:
    after = apply.with_reference(text, "0123456789abcdef" + "0" * 48)
    assert line in after.splitlines() and after.count("calibration:") == 1
    kept = [old for old in text.splitlines() if "calibration" not in old]
    assert [new for new in after.splitlines() if "calibration" not in new and new not in ("", "vision:")] == [
        old for old in kept if old not in ("", "vision:")
    ]
    path = tmp_path / "my.yaml"
    path.write_text(after)
    assert load_profile(str(path)).profile.vision.calibration == "0123456789abcdef"
    assert apply.with_reference(after, "0123456789abcdef" + "0" * 48) == after


def test_a_section_on_one_line_and_a_profile_of_ours_are_left_to_the_person() -> None:
    with pytest.raises(UsageError, match="on one line"):
        apply.with_reference("vision: {shadows: true}\n", "0" * 64)
    with pytest.raises(UsageError, match="comes with s2rctl"):
        apply.source_of("xarm7-reach")


def test_ranges_are_those_of_the_least_sure_camera(side) -> None:
    vision = load_profile("xarm7-reach").profile.vision
    unsure = calibration(side, side.truth.camera, covariance=(4e-6 * np.eye(6)).tolist())
    seen = with_mounts(vision, {"side": ("f" * 64, unsure)})
    assert seen.appearance.camera_position_m == pytest.approx([0.004] * 3)
    assert seen.cameras[0].mount is not None and seen.cameras[0].mount.parent == "link_base"
    assert seen.calibration == ("f" * 64,)
    hopeless = calibration(side, side.truth.camera, covariance=(100.0 * np.eye(6)).tolist())
    with pytest.raises(ArtifactError, match="too uncertain"):
        with_mounts(vision, {"side": ("f" * 64, hopeless)})
