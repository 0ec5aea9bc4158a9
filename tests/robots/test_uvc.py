"""UVC cameras against a real video file: the same OpenCV calls, without a webcam on the test machine."""

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is an extra")

import cv2

from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import MissingEnvironmentError, SafetyStop, UsageError
from s2rctl.core.exits import ExitCode
from s2rctl.robots.cameras.opening import close_cameras, open_cameras
from s2rctl.robots.cameras.uvc import Uvc
from s2rctl.schema.cameras import CameraDevice, Intrinsics
from s2rctl.schema.contract import CameraContract
from tests.waiting import wait_for

WIDTH, HEIGHT, FRAMES = 160, 120, 12


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Red on the left, blue on the right, green growing with time."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(FRAMES):
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[:, : WIDTH // 2, 2] = 200
        image[:, WIDTH // 2 :, 0] = 200
        image[..., 1] = 10 * number
        writer.write(image)
    writer.release()
    return path


def contract(**changes):
    fields = {"name": "side", "width": 20, "height": 20, "fovy_deg": 40.0, "parent": "base"}
    pose = {"position_m": (0, 0, 0), "quaternion": (1, 0, 0, 0)}
    return CameraContract.model_validate({**fields, **pose, **changes})


def device(film, **changes):
    fields = {"kind": "uvc", "device": str(film), "width": WIDTH, "height": HEIGHT, "fps": 50, "fovy_deg": 50.0}
    return CameraDevice.model_validate({**fields, **changes})


def uvc(film, clock, **changes):
    lens = Intrinsics(width=WIDTH, height=HEIGHT, fx=130, fy=130, cx=79.5, cy=59.5)
    return Uvc("side", device(film, **changes), lens, clock)


def test_a_film_plays_at_its_own_pace(film):
    clock = VirtualClock(7.0)
    camera = uvc(film, clock)
    shots = [camera.grab() for _ in range(FRAMES)]
    assert np.allclose([shot.t for shot in shots], 7.0 + np.arange(1, FRAMES + 1) / 50)
    greens = [int(shot.rgb[0, 0, 1]) for shot in shots]
    assert greens == sorted(greens) and greens[-1] > greens[0] + 80
    with pytest.raises(OSError, match="the film is over"):
        camera.grab()
    camera.close()


def test_who_looks_away_for_long_does_not_get_the_film_in_a_burst(film):
    clock = VirtualClock()
    camera = uvc(film, clock)
    camera.grab()
    clock.sleep_until(10.0)
    times = [camera.grab().t for _ in range(3)]
    assert np.allclose(times, [10.0, 10.0, 10.02])  # one that was due, and on at its pace
    camera.close()


def test_a_film_in_the_policys_colours_ends_in_a_stop(film):
    cameras = open_cameras({"side": device(film)}, [contract()])
    try:
        frame = cameras[0].latest()

        def over():
            try:
                cameras[0].latest()
            except SafetyStop as stop:
                return "the film is over" in stop.message
            return False

        assert wait_for(over)
        assert frame.rgb.shape == (20, 20, 3)
        left, right = frame.rgb[10, 2].astype(int), frame.rgb[10, -3].astype(int)
        assert left[0] > 150 > left[2] and right[2] > 150 > right[0]  # RGB, not OpenCV's BGR
    finally:
        close_cameras(cameras)


def test_a_known_delay_makes_pictures_older(film):
    camera = uvc(film, VirtualClock(7.0), delay_s=0.5)
    assert camera.grab().t == pytest.approx(7.0 + 1 / 50 - 0.5)
    camera.close()


def test_distortion_is_taken_out(film):
    focal = 0.5 * HEIGHT / np.tan(np.radians(25))
    lens = {"width": WIDTH, "height": HEIGHT, "fx": focal, "fy": focal, "cx": 79.5, "cy": 59.5}
    bent = Intrinsics(**lens, distortion=(0.0, 0.0, 0.05, 0.3, 0.0))  # tangential: moves the middle of the picture
    columns = []
    for optics in (Intrinsics(**lens), bent):
        cameras = open_cameras({"side": device(film, intrinsics=optics, fovy_deg=None)}, [contract()])
        columns.append(int((cameras[0].latest().rgb[0, :, 0] > 100).sum()))
        close_cameras(cameras)
    assert columns[0] == 10 and columns[1] != 10


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"width": 320, "height": 240}, "delivers 160 x 120, not 320 x 240"),
        ({"device": "/dev/video97"}, "cannot open the camera 'side'"),
        ({"device": "nothing.avi"}, "cannot open the camera 'side'"),
        ({"fovy_deg": 30.0}, "sees 30° vertically"),
    ],
)
def test_what_does_not_fit_is_exit_7(film, changes, text):
    with pytest.raises(MissingEnvironmentError, match=text) as caught:
        open_cameras({"side": device(film, **changes)}, [contract()])
    assert caught.value.exit_code == ExitCode.ENVIRONMENT
    assert caught.value.hint


def test_what_the_profile_leaves_unsaid_is_named(film):
    with pytest.raises(UsageError, match="does not assign it a device") as caught:
        open_cameras({}, [contract()])
    assert "robot.cameras.side.kind" in caught.value.hint
    with pytest.raises(UsageError, match="the intrinsics of the camera"):
        open_cameras({"side": device(film, fovy_deg=None)}, [contract()])
    with pytest.raises(UsageError, match="a uvc camera has none"):
        open_cameras({"side": device(film)}, [contract(depth_unit_m=1e-4, depth_range_m=(0, 1))])
