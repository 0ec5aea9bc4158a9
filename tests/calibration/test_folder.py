"""A calibration from a folder that was recorded elsewhere, and everything that can be wrong with such a folder."""

import csv
import shutil
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from s2rctl.calibration.rehearse import Printer
from s2rctl.core.errors import ArtifactError, GateError, RunError, UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.core.spatial import from_matrix, inverse
from s2rctl.operations.calibration import steps
from s2rctl.operations.calibration.consume import resolved
from s2rctl.operations.calibration.deploying import require_aligned
from s2rctl.operations.calibration.guard import load
from s2rctl.operations.calibration.live import PICTURE, Board
from s2rctl.operations.calibration.sources import POSE_COLUMNS
from s2rctl.operations.calibration.work import Work, make_board
from s2rctl.robots.protocol import Identity
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from tests.calibration.helpers import bench

POSES = 8


@pytest.fixture(scope="module")
def made():
    return bench("aloha", 11)


@pytest.fixture(scope="module")
def recorded(made, tmp_path_factory):
    """Pictures, and two tables for them: joints, and poses of the hand."""
    folder = tmp_path_factory.mktemp("recorded")
    settings = load_profile("aloha", []).profile.calibration.model_copy(update={"pixel_noise": 2.0})
    printer, lens = Printer(settings, made.plan.lens), made.plan.lens
    grey = np.full((lens.height, lens.width, 3), 100, np.uint8)
    joints, poses = [], []
    for number, reading in enumerate(made.readings(POSES)):
        motion = made.stand.chain.motion(reading)
        board = inverse(made.truth.camera) @ motion @ made.truth.board
        cv2.imwrite(str(folder / f"{number}.png"), printer.photograph(grey, board, made.rng)[..., ::-1])
        joints.append({"image": f"{number}.png", **dict(zip(made.stand.specification.joints, reading, strict=True))})
        hand = inverse(motion)
        values = (*hand[:3, 3], *from_matrix(hand[:3, :3]))
        poses.append({"image": f"{number}.png", **dict(zip(POSE_COLUMNS, values, strict=True))})
    return folder, joints, poses


def work(tmp_path, recorded, rows, *sets, name="aloha"):
    """The work on a copy of the folder with these rows in its table."""
    folder = tmp_path / "in"
    shutil.copytree(recorded[0], folder)
    with (folder / "poses.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    lens = bench("aloha", 11).plan.lens
    fixed = [
        f"calibration.poses={POSES}",
        "robot.cameras.wrist_cam_left={kind: realsense, intrinsics: "
        f"{{width: {lens.width}, height: {lens.height}, fx: {lens.fx}, fy: {lens.fy}, cx: {lens.cx}, cy: {lens.cy}}}}}",
    ]
    profile = load_profile(name, [*fixed, *sets]).profile
    return Work(profile, Store(tmp_path / "store"), NullReporter(), Interrupt(), "folder", folder)


def run(job):
    steps.collect_views(job)
    return steps.solve_views(job)


def changed(rows, change):
    return [change(dict(row)) for row in rows]


def error_mm(found, made) -> float:
    return 1000 * float(np.linalg.norm(np.array(found.pose.position_m) - made.truth.camera[:3, 3]))


def test_joints_and_poses_give_the_camera_and_training_takes_it(tmp_path, made, recorded) -> None:
    job = work(tmp_path, recorded, recorded[1])
    artifact, found, values = run(job)
    assert error_mm(found, made) < 0.5 and values["poses"] == POSES
    assert (found.mode, found.camera, found.kinematics) == ("live", "wrist_cam_left", "nominal")
    assert found.verdict.startswith("Good") and found.age_s(time.time()) < 60
    assert {"calibration.json", "residuals.png", "views.png", "coverage.png", "ellipsoid.png", "board.pdf"} <= set(
        artifact.files
    )
    page = artifact.path("report.html").read_text()
    assert found.verdict in page and page.count("data:image/png") == 4 and "http" not in page
    for name in ("residuals.png", "coverage.png", "ellipsoid.png"):
        assert cv2.imread(str(artifact.path(name))).std() > 5

    # training: the camera's place and what of it is unsure
    profile = load_profile("aloha", [f"vision.calibration={artifact.id[:12]}"]).profile
    seen = resolved(profile, job.store)
    left, right = seen.vision.cameras
    assert left.mount is not None and left.mount.calibration == artifact.id and right.mount is None
    assert seen.vision.appearance == profile.vision.appearance, "one camera is not calibrated: its range stays"
    from s2rctl.env.build import make_images, make_model

    moved, as_drawn = make_model(seen, "insertion"), make_model(profile, "insertion")
    make_images(seen, "insertion", moved)
    camera = moved.camera("wrist_cam_left").id
    assert moved.cam_pos[camera] == pytest.approx(found.pose.position_m, abs=1e-9)
    assert np.abs(moved.cam_quat[camera] @ np.array(found.pose.quaternion_mujoco)) == pytest.approx(1, abs=1e-9)
    assert not np.allclose(moved.cam_pos[camera], as_drawn.cam_pos[camera], atol=1e-4)
    alone = profile.model_copy(update={"vision": profile.vision.model_copy(update={"cameras": (left,)})})
    ranges = resolved(alone, job.store).vision.appearance
    assert 0 < max(ranges.camera_position_m) < 0.002 and ranges.camera_rotation_deg < 0.5

    # deployment: identity, age
    joints, photo = made.stand.home, np.zeros((480, 640, 3), np.uint8)
    here = Identity("Aloha", "", "1")
    old = found.model_copy(update={"made_at": time.time() - 1e6})
    for other, words in (
        (old, "h old"),
        (found.model_copy(update={"made_at": 0.0}), "unknown age"),
        (found.model_copy(update={"mode": "rehearse"}), "rehearsal"),
        (found.model_copy(update={"camera_serial": "123"}), "of the camera 123"),
        (found.model_copy(update={"robot_serial": "A"}), "of the robot A"),
        (found, "FAIL|hardly in sight"),
    ):
        with pytest.raises(Exception, match=words) as caught:
            require_aligned(profile, other, replace(here, serial="B"), "456", joints, photo)
        assert int(caught.value.exit_code) == 6

    # another profile's robot or camera
    with pytest.raises(ArtifactError, match="the robot 'aloha'"):
        resolved(load_profile("xarm7-reach", [f"vision.calibration={artifact.id}"]).profile, job.store)
    assert load(artifact) == found


def test_poses_of_the_hand_do_as_well(tmp_path, made, recorded) -> None:
    _, found, _ = run(work(tmp_path, recorded, recorded[2]))
    assert error_mm(found, made) < 0.5


def test_run_again_nothing_is_taken_twice(tmp_path, recorded) -> None:
    job = work(tmp_path, recorded, recorded[1])
    first, _ = steps.collect_views(job, show=Board(job.session.folder))
    assert cv2.imread(str(job.session.folder / PICTURE)).shape[0] >= 480, "what a person sees meanwhile"
    cut = job.session.folder / "views" / "008.png"
    shutil.copy(job.session.folder / "views" / "000.png", cut)  # a view whose numbers were never written
    again, _ = steps.collect_views(job)
    assert len(first.views) == len(again.views) == POSES
    assert len(job.session.views()) == POSES


def _swap(row):
    w, x, y, z = (row[c] for c in ("qw", "qx", "qy", "qz"))
    return row | {"qw": x, "qx": y, "qy": z, "qz": w}


def _scaled(row, factor):
    return row | {c: float(row[c]) * factor for c in ("x", "y", "z")}


JOINTS, HAND = 1, 2
FOLDERS = [
    (JOINTS, lambda r: {k: (np.rad2deg(v) if k != "image" else v) for k, v in r.items()}, UsageError, "its range is"),
    (HAND, lambda r: _scaled(r, 1000), UsageError, "m away"),
    (HAND, lambda r: r | {"qw": 3.0}, UsageError, "length 3"),
    (HAND, _swap, RunError, "x y z w"),
    (HAND, lambda r: {k: v for k, v in r.items() if k != "qz"}, UsageError, "has the columns"),
    (HAND, lambda r: r | {"x": "near"}, UsageError, "x is not a number"),
    (JOINTS, lambda r: r | {"image": "7.png" if r["image"] == "6.png" else r["image"]}, RunError, "contradict|usable"),
    (JOINTS, lambda r: r | {"image": f"a{r['image']}"}, ArtifactError, "a0.png is missing"),
    (JOINTS, lambda r: r | {"image": f"../{r['image']}"}, UsageError, "outside the folder"),
]


@pytest.mark.parametrize(("table", "change", "error", "words"), FOLDERS)
def test_wrong_tables_are_told_never_solved(tmp_path, recorded, table, change, error, words) -> None:
    job = work(tmp_path, recorded, changed(recorded[table], change))
    if words.startswith("contradict"):
        # two views of one picture: the second is a repetition, and is not used
        found, _ = steps.collect_views(job)
        assert any("as in an earlier" in reason for reason in found.rejected.values())
        return
    with pytest.raises(error, match=words):
        run(job)


def _mirror(path):
    cv2.imwrite(str(path), np.ascontiguousarray(cv2.imread(str(path))[:, ::-1]))


def _shrink(path):
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (320, 240)))


def _blur(path):
    cv2.imwrite(str(path), cv2.GaussianBlur(cv2.imread(str(path)), (0, 0), 2.5))


def _break(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (_mirror, UsageError, "mirrored"),
        (_shrink, UsageError, "is 320 x 240"),
        (_blur, RunError, "usable poses are too few"),
        (_break, ArtifactError, "not a picture, or is damaged"),
    ],
)
def test_wrong_pictures_are_told_never_solved(tmp_path, recorded, spoil, error, words) -> None:
    job = work(tmp_path, recorded, recorded[1])
    for path in job.folder.glob("*.png"):
        spoil(path)
    with pytest.raises(error, match=words):
        run(job)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["calibration.board.square_m=0.033", "calibration.board.marker_m=0.0242"], r"board is 0\.9\d+ ± \S+ times"),
        (["calibration.board.columns=5", "calibration.board.rows=7"], "7 columns and 5 rows"),
    ],
)
def test_a_wrong_board_is_told(tmp_path, recorded, sets, words) -> None:
    with pytest.raises((RunError, UsageError), match=words):
        run(work(tmp_path, recorded, recorded[1], *sets))


def test_three_views_of_one_pose_are_one_view(tmp_path, recorded) -> None:
    rows = [recorded[1][0]] * 3 + recorded[1][1:3]
    job = work(tmp_path, recorded, rows)
    with pytest.raises(RunError, match="3 usable poses are too few"):
        run(job)


def test_a_robot_of_another_kind_has_other_columns(tmp_path, recorded) -> None:
    job = work(tmp_path, recorded, recorded[1])
    other = replace(job, profile=load_profile("xarm7-reach").profile)
    with pytest.raises(UsageError, match="has the columns") as caught:
        steps.collect_views(other)
    assert "joint1" in caught.value.hint


def test_what_is_measured_on_the_print_counts(tmp_path, recorded) -> None:
    job = work(tmp_path, recorded, recorded[1])
    with pytest.raises(UsageError, match=r"is 0\.933 times") as caught:
        make_board(job, 0.028)
    assert "100 %" in caught.value.hint
    make_board(job, 0.0303)
    with pytest.raises(GateError, match="not good enough") as caught_gate:
        run(job)  # a board that is said to be 1 % larger than it is
    assert "half axis" in caught_gate.value.message
