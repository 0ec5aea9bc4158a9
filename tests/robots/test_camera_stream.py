import time

import numpy as np
import pytest

from s2rctl.core.errors import MissingEnvironmentError, SafetyStop
from s2rctl.robots.cameras.stream import Camera, ClockMatch, Device, Shot
from s2rctl.robots.cameras.view import Fit, View
from s2rctl.schema.cameras import Intrinsics

pytestmark = pytest.mark.paced

LENS = Intrinsics(width=64, height=48, fx=60, fy=60, cx=31.5, cy=23.5)
VIEW = View(8, 8, 30.0, 1e-3, (0.0, 2.0))


class Source(Device):
    """Delivers pictures of growing brightness until it freezes, hangs or breaks."""

    def __init__(self, period=0.005, freeze_after=None, break_after=None):
        self.intrinsics, self.depth_scale_m = LENS, 1e-3
        self.period, self.freeze_after, self.break_after = period, freeze_after, break_after
        self.count, self.closed = 0, False

    def grab(self):
        time.sleep(self.period)
        if self.break_after is not None and self.count >= self.break_after:
            raise OSError("unplugged")
        self.count += 1
        shown = self.count if self.freeze_after is None else min(self.count, self.freeze_after)
        return Shot(time.monotonic(), np.full((48, 64, 3), shown % 256, np.uint8), np.full((48, 64), 500, np.uint16))

    def close(self):
        self.closed = True


@pytest.fixture
def camera():
    made = []

    def make(**behaviour):
        device = Source(**behaviour)
        made.append(Camera("eye", device, Fit(VIEW, LENS, "eye", 1e-3)))
        return made[-1], device

    yield make
    for item in made:
        item.close()


def test_only_the_newest_picture_is_kept_and_reading_never_waits(camera):
    eye, device = camera()
    eye.wait()
    time.sleep(0.1)
    begun = time.monotonic()
    frame = eye.latest()
    assert time.monotonic() - begun < 0.01
    assert time.monotonic() - frame.t < 0.1
    assert frame.rgb.shape == (8, 8, 3) and np.all(frame.depth == 500)
    assert device.count - int(frame.rgb[0, 0, 0]) <= 2
    assert eye.shot().rgb.shape == (48, 64, 3)


def test_a_driver_that_repeats_its_last_picture_grows_old(camera):
    eye, device = camera(freeze_after=3)
    eye.wait()
    time.sleep(0.2)
    first = eye.latest()
    time.sleep(0.1)
    assert device.count > 10 and eye.repeats > 5
    assert eye.latest().t == first.t
    assert time.monotonic() - eye.latest().t > 0.2


def test_a_lost_device_is_a_safety_stop_with_its_words(camera):
    eye, _ = camera(break_after=2)
    deadline = time.monotonic() + 2
    with pytest.raises(SafetyStop, match="'eye' failed: unplugged"):
        while time.monotonic() < deadline:
            eye.latest()
            time.sleep(0.005)


def test_no_first_picture_is_an_environment_error(camera):
    eye, _ = camera(break_after=0)
    with pytest.raises(MissingEnvironmentError, match="no pictures: unplugged"):
        eye.wait(2.0)


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
