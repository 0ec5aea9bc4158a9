"""RealSense cameras. Without a device there are two stand-ins: a module with the calls that we make, for what only a
device does (options, serial numbers, clocks, failures), and the genuine library playing a recording that its own
software device made, for the pipeline, formats, depth scale and intrinsics.
"""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import MissingEnvironmentError, SafetyStop, UsageError
from s2rctl.robots.cameras import realsense
from s2rctl.robots.cameras.opening import close_cameras, open_cameras
from s2rctl.robots.cameras.view import View
from s2rctl.schema.cameras import CameraDevice
from s2rctl.schema.contract import CameraContract
from tests.waiting import wait_for

OPTIONS = ("enable_auto_exposure", "exposure", "gain", "enable_auto_white_balance", "white_balance", "depth_units")


class Sensor:
    def __init__(self, name, options, log):
        self.name, self.options, self.log = name, dict(options), log

    def supports(self, what):
        return what == "name" or what in self.options

    def get_info(self, what):
        return self.name

    def is_option_read_only(self, what):
        return False

    def set_option(self, what, value):
        if what == "exposure" and value > 10_000:
            raise RuntimeError("out of range")
        self.log.append((self.name, what, value))
        self.options[what] = value

    def get_option(self, what):
        return self.options[what]

    def get_option_range(self, what):
        return SimpleNamespace(min=1.0, max=10_000.0)

    def get_depth_scale(self):
        return self.options["depth_units"]


class FakeDevice:
    def __init__(self, model, serial, log):
        self.info = {"name": f"Intel RealSense {model}", "serial_number": serial}
        stereo = {"enable_auto_exposure": 1.0, "exposure": 8500.0, "gain": 16.0, "depth_units": 1e-3}
        colour = {"enable_auto_exposure": 1.0, "exposure": 156.0, "gain": 64.0, "white_balance": 4600.0}
        colour["enable_auto_white_balance"] = 1.0
        self.sensors = [Sensor("Stereo Module", stereo, log)]
        if model == "D435":
            self.sensors.append(Sensor("RGB Camera", colour, log))
        self.resets = 0

    def supports(self, what):
        return what in self.info

    def get_info(self, what):
        return self.info[what]

    def query_sensors(self):
        return self.sensors

    def first_depth_sensor(self):
        return self.sensors[0]

    def hardware_reset(self):
        self.resets += 1


class FakeFrame:
    def __init__(self, data, stamp, domain):
        self.data, self.stamp, self.domain = data, stamp, domain

    def get_data(self):
        return self.data

    def get_timestamp(self):
        return self.stamp

    def get_frame_timestamp_domain(self):
        return self.domain


class Library:
    """A pyrealsense2 with as many devices as wanted."""

    def __init__(self, *models, domain="global_time", failing_starts=0):
        self.log, self.aligned, self.running = [], 0, False
        self.devices = [FakeDevice(model, f"00{number}", self.log) for number, model in enumerate(models)]
        self.failing, self.domain, self.late, self.dead, self.now = failing_starts, domain, 0.02, False, time.time
        self.option = SimpleNamespace(**{name: name for name in OPTIONS})
        self.camera_info = SimpleNamespace(name="name", serial_number="serial_number")
        self.stream = SimpleNamespace(color="color", depth="depth")
        self.format = SimpleNamespace(rgb8="rgb8", z16="z16")
        self.timestamp_domain = SimpleNamespace(hardware_clock="hardware_clock", global_time="global_time")
        self.count = 0

    def context(self):
        return SimpleNamespace(query_devices=lambda: self.devices)

    def config(self):
        config = SimpleNamespace(streams={})
        config.enable_device = lambda serial: setattr(config, "serial", serial)
        config.enable_stream = lambda stream, w, h, form, fps: config.streams.update({stream: (w, h, form, fps)})
        return config

    def pipeline(self):
        return SimpleNamespace(start=self.start, stop=self.stop, try_wait_for_frames=self.frames)

    def start(self, config):
        if self.failing > 0:
            self.failing -= 1
            raise RuntimeError("Couldn't resolve requests")
        self.config_used, self.running = config, True
        device = next(d for d in self.devices if d.info["serial_number"] == config.serial)
        return SimpleNamespace(get_device=lambda: device, get_stream=self.profile)

    def profile(self, stream):
        w, h = self.config_used.streams[stream][:2]
        lens = SimpleNamespace(width=w, height=h, fx=400.0, fy=400.0, ppx=w / 2, ppy=h / 2, coeffs=[0.0] * 5)
        video = SimpleNamespace(get_intrinsics=lambda: lens, width=lambda: w, height=lambda: h)
        return SimpleNamespace(as_video_stream_profile=lambda: video)

    def stop(self):
        self.running = False

    def align(self, stream):
        def process(frames):
            self.aligned += 1
            return frames

        return SimpleNamespace(process=process)

    def frames(self, timeout):
        time.sleep(0.005)
        if self.dead:
            raise RuntimeError("Device disconnected")
        self.count += 1
        w, h = self.config_used.streams["color"][:2]
        stamp = (self.now() - self.late) * 1e3
        colour = FakeFrame(np.full((h, w, 3), self.count % 256, np.uint8), stamp, self.domain)
        depth = FakeFrame(np.full((h, w), 1500, np.uint16), stamp, self.domain)
        return True, SimpleNamespace(get_color_frame=lambda: colour, get_depth_frame=lambda: depth)


@pytest.fixture
def plug(monkeypatch):
    monkeypatch.setattr(realsense, "SETTLE_S", 0.02)

    def plugged(*models, **behaviour):
        library = Library(*models, **behaviour)
        monkeypatch.setitem(sys.modules, "pyrealsense2", library)
        return library

    return plugged


def wrist(**changes):
    fields = {"name": "wrist", "width": 32, "height": 32, "fovy_deg": 50.0, "parent": "arm", "depth_unit_m": 1e-4}
    pose = {"position_m": (0, 0, 0), "quaternion": (1, 0, 0, 0), "depth_range_m": (0.0, 0.4)}
    return CameraContract.model_validate({**fields, **pose, **changes})


def opened(contract=None, **settings):
    return open_cameras({"wrist": CameraDevice(kind="realsense", **settings)}, [contract or wrist()])


def test_the_depth_unit_is_asked_for_and_read_back(plug):
    library = plug("D405")
    cameras = opened()
    frame = cameras[0].latest()
    close_cameras(cameras)
    assert ("Stereo Module", "depth_units", 1e-4) in library.log
    assert np.all(frame.depth == 1500)  # 0.15 m
    assert library.aligned == 0  # colours and depth of a D405 come from one imager
    assert not library.running


def test_a_device_that_keeps_its_own_unit_is_converted(plug):
    library = plug("D435")
    library.devices[0].sensors[0].is_option_read_only = lambda what: what == "depth_units"
    cameras = opened(wrist(depth_range_m=(0.0, 2.0)))
    frame = cameras[0].latest()
    close_cameras(cameras)
    assert np.all(frame.depth == 15_000)  # 1500 counts of 1 mm are 15000 of 0.1 mm
    assert library.aligned > 0


def test_exposure_gain_and_white_balance_are_fixed_in_the_sensors_own_units(plug):
    library = plug("D435")
    close_cameras(opened(exposure_us=8000, gain=70, white_balance_k=5000))
    colour = library.devices[0].sensors[1].options
    assert (colour["exposure"], colour["gain"], colour["white_balance"]) == (80.0, 70, 5000)
    assert colour["enable_auto_exposure"] == colour["enable_auto_white_balance"] == 0.0
    library = plug("D405")
    close_cameras(opened(exposure_us=8000))
    stereo = library.devices[0].sensors[0].options
    assert (stereo["exposure"], stereo["gain"], stereo["enable_auto_exposure"]) == (8000, 16.0, 0.0)


def test_an_exposure_that_the_device_refuses_names_its_range(plug):
    plug("D405")
    with pytest.raises(UsageError, match="exposure") as caught:
        opened(exposure_us=50_000)
    assert "1 to 10000" in caught.value.hint


def test_devices_are_told_apart_by_serial_number(plug):
    library = plug("D405", "D405")
    with pytest.raises(MissingEnvironmentError, match="connected: 000, 001"):
        opened()
    with pytest.raises(MissingEnvironmentError, match="should be the RealSense 77"):
        opened(serial="77")
    close_cameras(opened(serial="001"))
    assert library.config_used.serial == "001"
    plug()
    with pytest.raises(MissingEnvironmentError, match="none is connected"):
        opened()


def device_on(clock, calendar=lambda: 0.0):
    """Return the device itself, without the thread that asks it; exposure is fixed at once."""
    settings = CameraDevice(kind="realsense", exposure_us=8000, white_balance_k=5000)
    return realsense.RealSense("wrist", settings, View.of(wrist()), clock, calendar)


@pytest.mark.parametrize(
    ("domain", "ages"),
    [
        ("global_time", [0.05, 0.08, 0.05]),
        ("hardware_clock", [0.0, 0.03, 0.0]),  # a device's clock only tells differences: its least delay stays unknown
    ],
)
def test_times_are_those_of_capture(plug, domain, ages):
    clock = VirtualClock(3.0)
    library = plug("D405", domain=domain)
    library.now = lambda: clock.now() + 1e9
    device = device_on(clock, library.now)
    seen = []
    for late in (0.05, 0.08, 0.05):
        clock.sleep_until(clock.now() + 1 / 30)
        library.late = late
        seen.append(clock.now() - device.grab().t)
    device.close()
    np.testing.assert_allclose(seen, ages, atol=1e-4)


def test_a_stubborn_device_is_reset_once_and_then_given_up(plug):
    clock = VirtualClock()
    library = plug("D405", failing_starts=2)
    device_on(clock).close()
    assert library.devices[0].resets == 1
    assert clock.now() == pytest.approx(2.0)  # what it needs to be back on the bus
    plug("D405", failing_starts=99)
    with pytest.raises(MissingEnvironmentError, match="does not stream: Couldn't resolve"):
        device_on(clock)


def test_an_unplugged_camera_stops_the_robot(plug):
    library = plug("D405")
    cameras = opened()
    library.dead = True

    def failed():
        try:
            cameras[0].latest()
        except SafetyStop as stop:
            return "'wrist' failed: Device disconnected" in stop.message
        return False

    assert wait_for(failed)
    close_cameras(cameras)


def test_a_device_without_depth_is_refused_for_a_policy_that_needs_it(plug):
    library = plug("D435")

    def none():
        raise RuntimeError("Could not find requested sensor type!")

    library.devices[0].first_depth_sensor = none
    with pytest.raises(MissingEnvironmentError, match="needs depth from 'wrist'"):
        opened()


def test_all_cameras_or_none(plug):
    library = plug("D405")
    with pytest.raises(MissingEnvironmentError):
        open_cameras(
            {"wrist": CameraDevice(kind="realsense"), "other": CameraDevice(kind="realsense", serial="9")},
            [wrist(), wrist(name="other")],
        )
    assert not library.running


def test_a_missing_library_is_exit_7_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(MissingEnvironmentError, match="needs pyrealsense2") as caught:
        opened()
    assert "s2rctl[realsense]" in caught.value.hint


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A D405 of the genuine library's own making, recorded by it: reddish pictures, a wall at 0.15 m."""
    rs = pytest.importorskip("pyrealsense2", reason="the genuine library is an extra")
    path = tmp_path_factory.mktemp("realsense") / "wrist.db3"
    width, height = 160, 120
    lens = rs.intrinsics()
    lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = width, height, 140.0, 140.0, 79.5, 59.5
    lens.model, lens.coeffs = rs.distortion.none, [0.0] * 5
    device = rs.software_device()
    device.register_info(rs.camera_info.name, "Intel RealSense D405")
    device.register_info(rs.camera_info.serial_number, "0042")
    sensor = device.add_sensor("Stereo Module")
    streams = []
    for uid, (kind, form, size) in enumerate(
        ((rs.stream.depth, rs.format.z16, 2), (rs.stream.color, rs.format.rgb8, 3))
    ):
        video = rs.video_stream()
        video.type, video.index, video.uid, video.fmt, video.bpp = kind, 0, uid + 1, form, size
        video.width, video.height, video.fps, video.intrinsics = width, height, 30, lens
        streams.append((sensor.add_video_stream(video), size))
    sensor.add_read_only_option(rs.option.depth_units, 1e-4)
    recorder = rs.recorder(str(path), device)
    recorded = recorder.query_sensors()[0]
    recorded.open([stream for stream, _ in streams])
    recorded.start(lambda frame: None)
    noise = np.random.default_rng(0)
    for number in range(20):
        red = np.full((height, width, 3), (200, 100, 10), np.uint8) + noise.integers(0, 9, (height, width, 3), np.uint8)
        for (stream, size), image in zip(streams, (np.full((height, width), 1500, np.uint16), red), strict=True):
            frame = rs.software_video_frame()
            frame.pixels, frame.stride, frame.bpp = np.ascontiguousarray(image), width * size, size
            frame.timestamp, frame.frame_number = number * 33.3, number
            frame.domain, frame.profile = rs.timestamp_domain.hardware_clock, stream.as_video_stream_profile()
            if size == 2:
                frame.depth_units = 1e-4
            sensor.on_video_frame(frame)
        time.sleep(0.01)
    recorded.stop()
    recorded.close()
    return path


def test_the_genuine_library_delivers_through_our_driver(recording):
    cameras = opened(wrist(fovy_deg=40.0), device=str(recording), width=160, height=120)
    device, frame = cameras[0].device, cameras[0].latest()
    close_cameras(cameras)
    assert device.serial == "0042"
    assert device.depth_scale_m == pytest.approx(1e-4)
    assert (device.intrinsics.fx, device.intrinsics.cx) == (140.0, 79.5)
    assert np.all(frame.depth == 1500)
    assert np.all(np.abs(frame.rgb.astype(int).mean((0, 1)) - (204, 104, 14)) < 2)


def test_a_missing_recording_is_named():
    pytest.importorskip("pyrealsense2", reason="the genuine library is an extra")
    with pytest.raises(MissingEnvironmentError, match=r"no recording nothing\.db3"):
        opened(device="nothing.db3")
