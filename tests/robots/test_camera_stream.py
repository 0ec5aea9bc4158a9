import queue

import numpy as np
import pytest

from s2rctl.core.errors import MissingEnvironmentError, SafetyStop
from s2rctl.robots.cameras.stream import Camera, ClockMatch, Device, Shot
from s2rctl.robots.cameras.view import Fit, View
from s2rctl.schema.cameras import Intrinsics
from tests.waiting import HANG_S, wait_for

LENS = Intrinsics(width=64, height=48, fx=60, fy=60, cx=31.5, cy=23.5)
VIEW = View(8, 8, 30.0, 1e-3, (0.0, 2.0))


class Source(Device):
    """Delivers what the test says: pictures by time and brightness, or the end."""

    def __init__(self):
        self.intrinsics, self.depth_scale_m = LENS, 1e-3
        self.coming, self.closed = queue.Queue(), False
        self.sent = self.delivered = self.dealt_with = 0

    def grab(self):
        self.dealt_with = self.delivered
        try:
            item = self.coming.get(timeout=0.02)
        except queue.Empty:
            return None
        self.delivered += 1
        if isinstance(item, Exception):
            raise item
        return Shot(item[0], *picture(item[1]))

    def show(self, t, brightness):
        """Deliver one picture, and return when the camera has dealt with it."""
        self.sent += 1
        self.coming.put((t, brightness))
        assert wait_for(lambda: self.dealt_with == self.sent)

    def fail(self, error):
        self.coming.put(error)

    def close(self):
        self.closed = True


def picture(brightness):
    return np.full((48, 64, 3), brightness % 256, np.uint8), np.full((48, 64), 500, np.uint16)


@pytest.fixture
def camera():
    made = []

    def make():
        device = Source()
        made.append(Camera("eye", device, Fit(VIEW, LENS, "eye", 1e-3)))
        return made[-1], device

    yield make
    for item in made:
        item.close()


def test_only_the_newest_picture_is_kept_and_reading_never_waits(camera):
    eye, device = camera()
    for number in range(1, 6):
        device.show(number / 30, number)
    for _ in range(2):  # the device is being waited for meanwhile
        frame = eye.latest()
        assert (frame.t, int(frame.rgb[0, 0, 0])) == (5 / 30, 5)
    assert frame.rgb.shape == (8, 8, 3) and np.all(frame.depth == 500)
    assert eye.shot().rgb.shape == (48, 64, 3)
    eye.wait(HANG_S)  # at once: there is a picture


def test_a_driver_that_repeats_its_last_picture_grows_old(camera):
    eye, device = camera()
    for number in range(10):
        device.show(number / 30, min(number, 3))
    assert (eye.latest().t, eye.pictures, eye.repeats) == (3 / 30, 4, 6)


def test_a_lost_device_is_a_safety_stop_with_its_words(camera):
    eye, device = camera()
    device.show(0.0, 1)
    device.fail(OSError("unplugged"))
    eye._thread.join(HANG_S)
    with pytest.raises(SafetyStop, match="'eye' failed: unplugged"):
        eye.latest()


def test_no_first_picture_is_an_environment_error(camera):
    eye, device = camera()
    device.fail(OSError("unplugged"))
    with pytest.raises(MissingEnvironmentError, match="no images: unplugged"):
        eye.wait(HANG_S)


def test_closing_releases_the_device(camera):
    eye, device = camera()
    eye.close()
    assert device.closed
    assert not eye._thread.is_alive()


def test_a_devices_clock_is_matched_to_ours_up_to_its_least_delay():
    rng = np.random.default_rng(0)
    now = [0.0]
    match = ClockMatch(clock=lambda: now[0])
    errors = []
    for number in range(300):
        taken = 100.0 + number / 30 * (1 + 20e-6)  # the device's clock runs 20 ppm fast
        now[0] = 5.0 + number / 30 + 0.010 + rng.exponential(0.008)
        errors.append(match.monotonic(taken) - (5.0 + number / 30))
    late = np.array(errors[30:])
    assert np.all(late > 0.009) and late.max() < 0.013  # only the constant 10 ms stay unknown
    now[0] += 1.0
    assert match.monotonic(3.0) == pytest.approx(now[0])  # the device began anew
    assert match.monotonic(3.0) <= now[0]
