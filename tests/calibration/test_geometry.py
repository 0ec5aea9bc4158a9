import cv2
import mujoco
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from s2rctl.calibration.board import BoardDetector, Detection, board_image, make_board, write_board
from s2rctl.calibration.intrinsics import (
    FLIP,
    calibrate_intrinsics,
    fovy_deg,
    from_fovy,
    matrix,
    project,
)
from s2rctl.core.errors import MissingEnvironmentError, RunError
from s2rctl.core.spatial import from_rotation_vector, transform
from s2rctl.schema.calibration import Intrinsics
from s2rctl.schema.deployment import Board

BOARD = Board()
CAMERA = Intrinsics(width=640, height=480, fx=615, fy=610, cx=330.0, cy=225.0)
LENS = CAMERA.model_copy(update={"distortion": (0.1, -0.2, 0.003, -0.002, 0.05)})
SEEDS = st.integers(0, 10_000)


def _pose(rng: np.random.Generator, metres: float, radians: float) -> np.ndarray:
    return transform(rng.uniform(-metres, metres, 3), from_rotation_vector(rng.uniform(-radians, radians, 3)))


def _views(seed: int, count: int = 12, pixel_noise: float = 0.02) -> list[Detection]:
    """Views of an ideal camera 0.7 m before a board that tilts in all directions."""
    rng = np.random.default_rng(seed)
    corners = np.asarray(make_board(BOARD).getChessboardCorners(), float)
    views = []
    for _ in range(count):
        place = (*rng.uniform(-0.12, 0.05, 2), rng.uniform(0.5, 0.9))
        seen = transform(place, from_rotation_vector(rng.uniform(-0.5, 0.5, 3)))
        pixels = project(CAMERA, corners @ seen[:3, :3].T + seen[:3, 3])
        views.append(Detection(np.arange(len(corners)), pixels + pixel_noise * rng.normal(size=pixels.shape), corners))
    return views


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_projection_is_opencvs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform((-0.3, -0.3, 0.5), (0.3, 0.3, 2.0), (20, 3))
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix(LENS), np.array(LENS.distortion))
    assert project(LENS, points) == pytest.approx(expected.reshape(-1, 2), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_a_pixel_and_its_depth_give_the_point_back(seed: int) -> None:
    points = np.random.default_rng(seed).uniform((-0.3, -0.3, 0.5), (0.3, 0.3, 2.0), (20, 3))
    pixels = project(CAMERA, points)
    rays = np.linalg.solve(matrix(CAMERA), np.c_[pixels, np.ones(20)].T).T
    assert rays * points[:, 2:] == pytest.approx(points, abs=1e-9)


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_intrinsics_come_back(seed: int) -> None:
    views = _views(seed)
    found, error = calibrate_intrinsics(views, 640, 480)
    assert error < 0.1
    assert found.fx == pytest.approx(CAMERA.fx, rel=0.01) and found.cy == pytest.approx(CAMERA.cy, abs=6)


def test_views_that_tell_nothing_are_refused() -> None:
    points = np.asarray(make_board(BOARD).getChessboardCorners(), float)
    square_on = Detection(np.arange(len(points)), 1000.0 * points[:, :2] + 42.0, points)
    one_point = Detection(square_on.ids, np.full((len(points), 2), 7.0), points)
    for poor in ([square_on] * 5, [one_point] * 5):
        with pytest.raises(RunError, match="do not determine the camera's optics") as caught:
            calibrate_intrinsics(poor, 640, 480)
        assert "different places" in caught.value.hint


def test_field_of_view_round_trip() -> None:
    assert fovy_deg(from_fovy(640, 480, 44.0)) == pytest.approx(44.0)


def test_the_board_is_found_where_it_is(tmp_path) -> None:
    image = np.pad(board_image(BOARD, 2000), 100, constant_values=255)
    view = BoardDetector(BOARD).detect(image)
    assert view is not None and len(view.ids) == (BOARD.columns - 1) * (BOARD.rows - 1)
    assert view.pixels == pytest.approx(view.points[:, :2] * 2000 + 99.5, abs=0.3)
    assert BoardDetector(BOARD).detect(np.full((200, 200), 128, np.uint8)) is None
    png, pdf = write_board(BOARD, tmp_path)
    page = pdf.read_bytes()
    width, height = (BOARD.columns * 30 + 40) / 25.4 * 72, (BOARD.rows * 30 + 40) / 25.4 * 72
    assert f"/MediaBox [0 0 {width:.4f} {height:.4f}]".encode() in page and page.endswith(b"%%EOF\n")
    assert BoardDetector(BOARD).detect(cv2.imread(str(png))) is not None


@settings(max_examples=6, deadline=None)
@given(seed=SEEDS)
def test_axes_and_principal_point_agree_with_a_mujoco_render(seed: int) -> None:
    """A small ball in a real render lies where ``project`` puts it: no mirrored axis, no mirrored principal point."""
    from s2rctl.render.film import Film

    rng = np.random.default_rng(seed)
    camera = Intrinsics(
        width=320, height=240, fx=300, fy=280, cx=159.5 + rng.uniform(-40, 40), cy=119.5 + rng.uniform(-30, 30)
    )
    pose = _pose(rng, 0.3, 2.0)
    target = np.array([rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1), rng.uniform(0.8, 1.2)])
    assume(np.abs(project(camera, target) - (160, 120)).max() < 90)
    place = pose[:3, :3] @ target + pose[:3, 3]
    px, py = camera.width / 2 - (camera.cx + 0.5), camera.height / 2 - (camera.cy + 0.5)  # MJCF's principalpixel
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, (pose[:3, :3] @ FLIP).ravel())

    def text(values) -> str:
        return " ".join(f"{value:.9f}" for value in values)

    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><worldbody><geom type="sphere" size="0.02" pos="{text(place)}" rgba="1 1 1 1"/>
        <camera name="c" pos="{text(pose[:3, 3])}" quat="{text(quaternion)}" resolution="320 240" sensorsize="1 1"
         focalpixel="{camera.fx} {camera.fy}" principalpixel="{px:.9f} {py:.9f}"/></worldbody></mujoco>"""
    )
    try:
        with Film(model, "c", 320, 240) as film:
            rows, columns = np.nonzero(film.frame(model.qpos0).any(axis=-1))
    except MissingEnvironmentError as error:
        pytest.skip(error.message)
    assert (columns.mean(), rows.mean()) == pytest.approx(tuple(project(camera, target)), abs=0.4)
