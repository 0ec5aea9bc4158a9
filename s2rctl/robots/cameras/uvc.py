"""USB video class cameras (webcams) and video files, through OpenCV.

They have no usable clock: a picture's time is its arrival less ``delay_s``. OpenCV's V4L2 backend takes exposure in
units of 100 µs, and 1 for manual, 3 for automatic exposure (the kernel's V4L2_EXPOSURE_MANUAL and _APERTURE_PRIORITY).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.core.clock import WALL, Clock
from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.robots.cameras.stream import Camera, Device, Shot
from s2rctl.robots.cameras.view import Fit, View
from s2rctl.schema.cameras import CameraDevice, Intrinsics

EXPOSURE_UNIT_US = 100.0
_MANUAL, _AUTOMATIC = 1.0, 3.0
SETTLE_S = 1.0
"""How long automatic exposure may look before its values are kept."""


def make(name: str, settings: CameraDevice, view: View) -> Camera:
    """Return the camera, streaming; MissingEnvironmentError without OpenCV or without the device."""
    if view.depth_unit_m is not None:
        raise UsageError(
            f"the policy needs depth from '{name}', and a uvc camera has none",
            f"--set robot.cameras.{name}.kind=realsense",
        )
    lens = settings.intrinsics or _lens_from_angle(name, settings)
    fit = Fit(view, lens, name)
    return Camera(name, Uvc(name, settings, lens), fit)


class Uvc(Device):
    """One capture of OpenCV."""

    def __init__(self, name: str, settings: CameraDevice, lens: Intrinsics, clock: Clock = WALL) -> None:
        self._clock = clock
        try:
            import cv2
        except ImportError as error:
            raise MissingEnvironmentError(
                f"the camera '{name}' needs OpenCV", "pip install 's2rctl[calibrate]'"
            ) from error
        self._cv2: Any = cv2
        self.intrinsics = lens
        self.serial = str(settings.device)
        self._delay = settings.delay_s
        self._size = (settings.width, settings.height)
        # a recorded film stands in for a device, at its own pace
        self._film = not str(settings.device).startswith("/dev/") and Path(str(settings.device)).is_file()
        backend = cv2.CAP_ANY if self._film else cv2.CAP_V4L2
        self._capture = cv2.VideoCapture(str(settings.device), backend)
        if not self._capture.isOpened():
            raise MissingEnvironmentError(
                f"cannot open the camera '{name}' at {settings.device}",
                "check /dev/v4l/by-id, the cable, and that no other program uses the camera",
            )
        notes = [] if self._film else self._configure(settings)
        self._maps = self._undistortion(lens)
        self._check_size(name)
        self._period = 1.0 / (self._capture.get(cv2.CAP_PROP_FPS) or settings.fps)
        self._due = self._clock.now()
        self.notes = tuple(notes)

    def grab(self) -> Shot | None:
        """Return the next picture; OSError when the device stops delivering."""
        if self._film:
            self._due = max(self._due + self._period, self._clock.now() - self._period)
            self._clock.sleep_until(self._due)
        ok, image = self._capture.read()
        t = self._clock.now() - self._delay
        if not ok or image is None:
            raise OSError("the film is over" if self._film else "the device delivers no more pictures")
        if self._maps is not None:
            image = self._cv2.remap(image, *self._maps, self._cv2.INTER_LINEAR)
        return Shot(t, np.ascontiguousarray(image[:, :, ::-1]))

    def close(self) -> None:
        """Release the capture."""
        self._capture.release()

    def _configure(self, settings: CameraDevice) -> list[str]:
        """Set format and exposure; return what the device did not take."""
        cv2, capture = self._cv2, self._capture
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))  # raw video seldom fits the bus
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        capture.set(cv2.CAP_PROP_FPS, settings.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        exposure = None if settings.exposure_us is None else settings.exposure_us / EXPOSURE_UNIT_US
        if exposure is None:
            capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _AUTOMATIC)
        capture.set(cv2.CAP_PROP_AUTO_WB, 1.0 if settings.white_balance_k is None else 0.0)
        if exposure is None or settings.white_balance_k is None:
            self._settle()
        wanted = (
            ("exposure", cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL, cv2.CAP_PROP_EXPOSURE, exposure),
            ("gain", None, 0.0, cv2.CAP_PROP_GAIN, settings.gain),
            ("white balance", cv2.CAP_PROP_AUTO_WB, 0.0, cv2.CAP_PROP_WB_TEMPERATURE, settings.white_balance_k),
        )
        notes = []
        for what, switch, off, option, value in wanted:
            keep = capture.get(option) if value is None else value
            taken = switch is None or bool(capture.set(switch, off))
            taken = bool(capture.set(option, keep)) and taken
            # a device without the option answers nothing or -1; only what was asked for has to be there
            if value is not None and (not taken or not math.isclose(capture.get(option), value, rel_tol=0.1)):
                notes.append(f"{what} {value:g} was not taken (it is {capture.get(option):g})")
            elif value is None and not taken and what == "exposure":
                notes.append("automatic exposure cannot be switched off")
        return notes

    def _settle(self) -> None:
        """Let the automatic look at pictures for a while."""
        end = self._clock.now() + SETTLE_S
        while self._clock.now() < end and self._capture.read()[0]:
            pass

    def _undistortion(self, lens: Intrinsics) -> tuple[np.ndarray, np.ndarray] | None:
        if not any(lens.distortion):
            return None
        matrix = np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1.0]])
        size = (lens.width, lens.height)
        first, second = self._cv2.initUndistortRectifyMap(
            matrix, np.array(lens.distortion), None, matrix, size, self._cv2.CV_16SC2
        )
        return first, second

    def _check_size(self, name: str) -> None:
        cv2 = self._cv2
        size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        if size != self._size:
            self._capture.release()
            raise MissingEnvironmentError(
                f"the camera '{name}' delivers {size[0]} x {size[1]}, not {self._size[0]} x {self._size[1]}",
                f"--set robot.cameras.{name}.width={size[0]} --set robot.cameras.{name}.height={size[1]}",
            )


def _lens_from_angle(name: str, settings: CameraDevice) -> Intrinsics:
    """Return a centred pinhole with the profile's field of view."""
    if settings.fovy_deg is None:
        raise UsageError(
            f"the intrinsics of the camera '{name}' are unknown",
            f"set robot.cameras.{name}.intrinsics (s2rctl calibrate-camera finds them) or .fovy_deg",
        )
    focal = 0.5 * settings.height / math.tan(math.radians(settings.fovy_deg) / 2)
    return Intrinsics(
        width=settings.width,
        height=settings.height,
        fx=focal,
        fy=focal,
        cx=(settings.width - 1) / 2,
        cy=(settings.height - 1) / 2,
    )
