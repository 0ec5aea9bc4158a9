"""A camera that keeps only its newest picture: one thread per device, so that a slow camera never holds up the loop."""

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, SafetyStop
from s2rctl.robots.cameras.view import Fit
from s2rctl.robots.protocol import Frame
from s2rctl.schema.cameras import Intrinsics

FIRST_FRAME_S = 5.0
"""How long a camera may take to its first picture."""


@dataclass(frozen=True)
class Shot:
    """One picture as the device delivers it."""

    t: float  # s of time.monotonic, when it was captured
    rgb: np.ndarray  # (H, W, 3) uint8
    depth: np.ndarray | None = None  # (H, W) uint16, counts of the device


class Device(ABC):
    """What a stream needs of a device. Subclasses talk to the vendor's library."""

    serial: str = ""
    intrinsics: Intrinsics
    depth_scale_m: float | None = None
    notes: tuple[str, ...] = ()  # what a person should know, e.g. settings that the device did not take

    @abstractmethod
    def grab(self) -> Shot | None:
        """Wait for the next picture, at most about a second, and return it; None when there is none.

        Raises OSError when the device is gone.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the device."""


class Camera:
    """Implements ``CameraSource``; ``fit`` makes the policy's picture, in the camera's own thread.

    A picture that equals the one before to the last bit is the old one again: sensors have noise, frozen drivers have
    none. It keeps its old time, and the age gate of the loop stops the robot.
    """

    def __init__(self, name: str, device: Device, fit: Fit) -> None:
        self.name = name
        self.device = device
        self._fit = fit
        self._newest: tuple[Shot, Frame] | None = None
        self._fault = ""
        self._arrived = threading.Event()
        self._closed = threading.Event()
        self.pictures = 0
        self.repeats = 0
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self._thread.start()

    def latest(self) -> Frame | None:
        """Return the newest picture of the policy; SafetyStop when the device has failed. Never waits."""
        if self._fault:
            raise SafetyStop(f"the camera '{self.name}' failed: {self._fault}", "check its cable")
        newest = self._newest
        return newest[1] if newest else None

    def shot(self) -> Shot | None:
        """Return the newest picture in full size, for calibration."""
        newest = self._newest
        return newest[0] if newest else None

    def wait(self, timeout: float = FIRST_FRAME_S) -> None:
        """Return when the first picture is there; MissingEnvironmentError when none comes."""
        self._arrived.wait(timeout)
        if self._newest is None:
            raise MissingEnvironmentError(
                f"the camera '{self.name}' delivers no images{': ' + self._fault if self._fault else ''}",
                "check its cable, that no other program uses it, and that it supports this resolution and frame rate",
            )

    def close(self) -> None:
        """Stop the thread and let go of the device."""
        self._closed.set()
        self._thread.join(timeout=3.0)
        self.device.close()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                shot = self.device.grab()
                if shot is not None:
                    self._take(shot)
        except Exception as error:  # whatever the vendor's library raises must reach the loop, not die in a thread
            self._fault = str(error) or type(error).__name__
            self._arrived.set()

    def _take(self, shot: Shot) -> None:
        before = self._newest[0] if self._newest else None
        if before is not None and np.array_equal(before.rgb, shot.rgb) and _same(before.depth, shot.depth):
            self.repeats += 1
            return
        depth = self._fit.depth(shot.depth) if self._fit.view.depth_unit_m and shot.depth is not None else None
        self._newest = (shot, Frame(shot.t, self._fit.colour(shot.rgb), depth))
        self.pictures += 1
        self._arrived.set()


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is b if a is None or b is None else bool(np.array_equal(a, b))


class ClockMatch:
    """Turns times of a device's own clock into times of ``time.monotonic``.

    Pictures arrive late by a varying delay; the smallest difference of arrival and device time in a window is the best
    guess of the clocks' difference (the window follows their drift). What is the least delay stays unknown: a constant
    that the profile may add.
    """

    def __init__(self, window: int = 300, clock: Callable[[], float] = time.monotonic) -> None:
        self._differences: deque[float] = deque(maxlen=window)
        self._clock = clock

    def monotonic(self, device_s: float) -> float:
        """Return the monotonic time in s of a picture taken at ``device_s`` that arrives now."""
        now = self._clock()
        if self._differences and abs(now - device_s - self._differences[-1]) > 1.0:
            self._differences.clear()  # the device was reset and its clock began anew
        self._differences.append(now - device_s)
        return min(now, device_s + min(self._differences))
