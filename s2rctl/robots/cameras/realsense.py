"""Intel RealSense cameras (D405, D435) through pyrealsense2.

The depth scale and the intrinsics are the device's own, never assumed: a D405 counts 0.1 mm, others 1 mm. A D405 has no
colour sensor: its colours come from the left imager, on which depth is computed too, so nothing has to be aligned.
Exposure of a stereo module is in µs, of a colour sensor in units of 100 µs (librealsense's RS2_OPTION_EXPOSURE).
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.core.clock import WALL, Clock
from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.robots.cameras.stream import Camera, ClockMatch, Device, Shot
from s2rctl.robots.cameras.view import Fit, View
from s2rctl.schema.cameras import CameraDevice, Intrinsics

WAIT_MS = 500
SETTLE_S = 1.0
ATTEMPTS = 3
"""Starting a stream fails now and then for no visible reason; the device is reset before the last attempt."""
DISTORTION_PX = 0.5
"""Left-over distortion, in the policy's pixels, above which a person should know."""


def make(
    name: str,
    settings: CameraDevice,
    view: View,
    clock: Clock = WALL,
    calendar: Callable[[], float] = time.time,
) -> Camera:
    """Return the camera, streaming; MissingEnvironmentError without the library or the device.

    ``calendar`` is the time of day in s, on which librealsense's global time runs.
    """
    device = RealSense(name, settings, view, clock, calendar)
    try:
        fit = Fit(view, device.intrinsics, name, device.depth_scale_m)
        device.notes += _distortion_note(device.intrinsics, fit, name)
        return Camera(name, device, fit)
    except BaseException:
        device.close()
        raise


class RealSense(Device):
    """One pipeline of librealsense."""

    def __init__(
        self, name: str, settings: CameraDevice, view: View, clock: Clock, calendar: Callable[[], float]
    ) -> None:
        self._clock, self._calendar = clock, calendar
        self._rs = rs = _library(name)
        self._name, self._settings = name, settings
        self._depth = view.depth_unit_m is not None
        self._recording = settings.device is not None
        self._match, self._delay = ClockMatch(clock=clock.now), settings.delay_s
        if not self._recording:
            self._find(view)
        self._pipeline, profile = self._start()
        try:
            device = profile.get_device()
            self.serial = _info(device, rs.camera_info.serial_number)
            self.intrinsics = settings.intrinsics or _intrinsics(profile, rs)
            self.notes = () if self._recording else tuple(self._fix_exposure(device))
            if self._depth:
                self.depth_scale_m = float(device.first_depth_sensor().get_depth_scale())
            colour = _info(device, rs.camera_info.name)
            same_imager = "D405" in colour and _same_size(profile, rs) if self._depth else True
            self._align = None if same_imager else rs.align(rs.stream.color)
        except BaseException:
            self._pipeline.stop()
            raise

    def grab(self) -> Shot | None:
        """Return the next picture; RuntimeError of the library when the device is gone."""
        rs = self._rs
        ok, frames = self._pipeline.try_wait_for_frames(WAIT_MS)
        if not ok:
            return None
        frames = self._align.process(frames) if self._align is not None else frames
        colour = frames.get_color_frame()
        depth = frames.get_depth_frame() if self._depth else None
        if not colour or (self._depth and not depth):
            return None
        t = self._time(colour, rs)
        # the library takes its buffers back
        pixels = np.array(np.asanyarray(colour.get_data()))
        counts = np.array(np.asanyarray(depth.get_data())) if depth is not None else None
        return Shot(t, pixels, counts)

    def close(self) -> None:
        """Stop the pipeline."""
        self._pipeline.stop()

    def _time(self, frame: Any, rs: Any) -> float:
        """Return when a frame was captured, s of ``time.monotonic``."""
        stamp = frame.get_timestamp() / 1e3
        domain = frame.get_frame_timestamp_domain()
        if self._recording or domain == rs.timestamp_domain.hardware_clock:
            return self._match.monotonic(stamp) - self._delay
        now = self._clock.now()
        return min(now, now - (self._calendar() - stamp))

    def _find(self, view: View) -> None:
        """Check that the device is there and ask it for the policy's depth unit, which must precede streaming."""
        rs, wanted = self._rs, self._settings.serial
        devices = {_info(device, rs.camera_info.serial_number): device for device in rs.context().query_devices()}
        if wanted is None and len(devices) == 1:
            wanted = next(iter(devices))
        if wanted is None or wanted not in devices:
            there = ", ".join(sorted(devices)) or "none is connected"
            what = f"the RealSense {wanted}" if wanted else "one RealSense"
            raise MissingEnvironmentError(
                f"the camera '{self._name}' should be {what}; connected: {there}",
                f"set robot.cameras.{self._name}.serial, or check the cable",
            )
        self._serial = wanted
        if view.depth_unit_m is not None:
            try:
                sensor, option = devices[wanted].first_depth_sensor(), rs.option.depth_units
            except RuntimeError as error:
                raise MissingEnvironmentError(
                    f"the policy needs depth from '{self._name}', and the RealSense {wanted} has none: {error}",
                    f"set robot.cameras.{self._name}.serial to a camera with depth",
                ) from error
            if sensor.supports(option) and not sensor.is_option_read_only(option):
                sensor.set_option(option, view.depth_unit_m)

    def _start(self) -> tuple[Any, Any]:
        """Return a pipeline that streams, and its profile."""
        rs, settings = self._rs, self._settings
        trouble: Exception | None = None
        for attempt in range(1 if self._recording else ATTEMPTS):
            config = rs.config()
            if self._recording:
                if not Path(str(settings.device)).is_file():
                    raise MissingEnvironmentError(f"there is no recording {settings.device}", "check the path")
                config.enable_device_from_file(str(settings.device), repeat_playback=False)
            else:
                config.enable_device(self._serial)
                size = (settings.width, settings.height)
                config.enable_stream(rs.stream.color, *size, rs.format.rgb8, settings.fps)
                if self._depth:
                    config.enable_stream(rs.stream.depth, *size, rs.format.z16, settings.fps)
            pipeline = rs.pipeline()
            try:
                return pipeline, pipeline.start(config)
            except RuntimeError as error:
                trouble = error
                if attempt == ATTEMPTS - 2:
                    self._reset()
        raise MissingEnvironmentError(
            f"the camera '{self._name}' does not stream: {trouble}",
            f"check that {settings.width} x {settings.height} at {settings.fps} Hz exists (rs-enumerate-devices) and "
            "that it is plugged into a USB 3 port",
        ) from trouble

    def _reset(self) -> None:
        """Restart the device and wait until it is back on the bus."""
        rs = self._rs
        for device in rs.context().query_devices():
            if _info(device, rs.camera_info.serial_number) == self._serial:
                device.hardware_reset()
        clock = self._clock
        end = clock.now() + 8.0
        clock.sleep_until(clock.now() + 2.0)
        while clock.now() < end:
            if self._serial in {_info(d, rs.camera_info.serial_number) for d in rs.context().query_devices()}:
                return
            clock.sleep_until(clock.now() + 0.2)

    def _fix_exposure(self, device: Any) -> list[str]:
        """Fix exposure, gain and white balance of the sensor that makes the colours; return what it did not take."""
        rs, settings = self._rs, self._settings
        sensors = {_info(sensor, rs.camera_info.name): sensor for sensor in device.query_sensors()}
        colour = sensors.get("RGB Camera") or sensors.get("Stereo Module") or next(iter(sensors.values()))
        unit = 100.0 if colour is sensors.get("RGB Camera") else 1.0
        exposure = None if settings.exposure_us is None else settings.exposure_us / unit
        option = rs.option
        notes: list[str] = []
        for switch in (option.enable_auto_exposure, option.enable_auto_white_balance):
            _set(colour, switch, 1.0)
        if exposure is None or settings.white_balance_k is None:
            end = self._clock.now() + SETTLE_S
            while self._clock.now() < end:
                self._pipeline.try_wait_for_frames(WAIT_MS)
        # what the automatic found is read before it is switched off
        fixed = [
            ("exposure", option.exposure, exposure),
            ("gain", option.gain, settings.gain),
            ("white balance", option.white_balance, settings.white_balance_k),
        ]
        found = {what: colour.get_option(which) for what, which, _ in fixed if colour.supports(which)}
        _set(colour, option.enable_auto_exposure, 0.0)
        _set(colour, option.enable_auto_white_balance, 0.0)
        for what, which, value in fixed:
            target = found.get(what) if value is None else value
            if target is None:
                continue
            _set(colour, which, target)
            actual = colour.get_option(which) if colour.supports(which) else math.nan
            if value is not None and not math.isclose(actual, value, rel_tol=0.02):
                notes.append(f"{what} {value:g} was not taken (it is {actual:g})")
        return notes


def _library(name: str) -> Any:
    """Return pyrealsense2; MissingEnvironmentError where it or libusb is missing."""
    try:
        import pyrealsense2
    except ImportError as error:
        hint = "pip install 's2rctl[realsense]'"
        if "libusb" in str(error):
            hint = "install libusb 1.0 (Debian, Ubuntu: apt install libusb-1.0-0)"
        raise MissingEnvironmentError(f"the camera '{name}' needs pyrealsense2: {error}", hint) from error
    return pyrealsense2


def _info(thing: Any, which: Any) -> str:
    return str(thing.get_info(which)) if thing.supports(which) else ""


def _set(sensor: Any, option: Any, value: float) -> None:
    if sensor.supports(option) and not sensor.is_option_read_only(option):
        try:
            sensor.set_option(option, value)
        except RuntimeError as error:  # out of the option's range
            span = sensor.get_option_range(option)
            raise UsageError(
                f"the camera does not accept {option} = {value:g}: {error}", f"it accepts {span.min:g} to {span.max:g}"
            ) from error


def _intrinsics(profile: Any, rs: Any) -> Intrinsics:
    """Return the colour stream's intrinsics as the device states them."""
    own = profile.get_stream(rs.stream.color).as_video_stream_profile().get_intrinsics()
    coefficients = [float(value) for value in own.coeffs]
    return Intrinsics(
        width=own.width,
        height=own.height,
        fx=own.fx,
        fy=own.fy,
        cx=own.ppx,
        cy=own.ppy,
        distortion=(coefficients[0], coefficients[1], coefficients[2], coefficients[3], coefficients[4]),
    )


def _same_size(profile: Any, rs: Any) -> bool:
    sizes = set()
    for stream in (rs.stream.color, rs.stream.depth):
        video = profile.get_stream(stream).as_video_stream_profile()
        sizes.add((video.width(), video.height()))
    return len(sizes) == 1


def _distortion_note(lens: Intrinsics, fit: Fit, name: str) -> tuple[str, ...]:
    """Return a note when the lens's own distortion, which is left in, shows in the policy's picture."""
    window, shift = fit.window, _shift(lens)
    corners = [(x, y) for x in (window.left, window.right) for y in (window.top, window.bottom)]
    scale = fit.view.height / (window.bottom - window.top)
    worst = max(shift((x - 0.5 - lens.cx) / lens.fx, (y - 0.5 - lens.cy) / lens.fy) for x, y in corners) * scale
    if worst <= DISTORTION_PX:
        return ()
    return (f"'{name}': the lens bends the corners of the policy's picture by {worst:.1f} px",)


def _shift(lens: Intrinsics) -> Callable[[float, float], float]:
    """Return the function from a direction (x, y) to how far, in px, the radial terms move it."""
    k1, k2, _, _, k3 = lens.distortion

    def move(x: float, y: float) -> float:
        r2 = x * x + y * y
        return abs(k1 * r2 + k2 * r2**2 + k3 * r2**3) * math.hypot(x * lens.fx, y * lens.fy)

    return move
